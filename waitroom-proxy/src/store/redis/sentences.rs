//! What a person is told when Redis gives no answer: one sentence with what to do. Never a password.

use redis::{ErrorKind, RedisError};

use super::super::StoreError;

/// A failed call: what the caller is told, and what it says about the connection.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: StoreError,
    /// The connection, or the server behind it, is of no use: connect anew, and soon no more calls.
    pub(super) broken: bool,
}

impl Failure {
    pub(super) fn slow(address: &str, limit: std::time::Duration) -> Self {
        let limit = limit.as_millis();
        Self::broken(format!("Redis at {address} did not answer within {limit} ms: look at its load and the network"))
    }

    fn broken(sentence: String) -> Self {
        Self { error: StoreError::Unavailable(sentence), broken: true }
    }

    fn unavailable(sentence: String) -> Self {
        Self { error: StoreError::Unavailable(sentence), broken: false }
    }

    /// Translates what the client library reports about the server at `address`.
    pub(super) fn explain(error: &RedisError, address: &str) -> Self {
        let code = error.code().unwrap_or_default();
        let detail = error.detail().unwrap_or_default();
        // Servers before 7.0 wrap what happens inside a script: the code is then in the text.
        let says = |word: &str| code == word || detail.contains(word);
        if matches!(code, "BATCH" | "ARG" | "SPAN") {
            return Self { error: StoreError::Refused(format!("{code}: {detail}")), broken: false };
        }
        if error.kind() == ErrorKind::AuthenticationFailed || says("NOAUTH") || says("WRONGPASS") {
            return Self::broken(format!(
                "Redis at {address} does not accept this user and password: put the right ones into the store's `url` \
                 (redis://user:password@host:port)"
            ));
        }
        if error.is_io_error() {
            return Self::broken(io_sentence(error, address));
        }
        if says("READONLY") || says("MASTERDOWN") {
            return Self::broken(format!(
                "Redis at {address} is a replica and takes no writes: point the store's `url` at the primary"
            ));
        }
        if says("LOADING") {
            return Self::broken(format!(
                "Redis at {address} is still reading its data from disk: wait until it is done"
            ));
        }
        if says("OOM") {
            return Self::unavailable(format!(
                "Redis at {address} is out of memory: raise its `maxmemory`, and keep `maxmemory-policy noeviction`"
            ));
        }
        if says("MISCONF") {
            return Self::unavailable(format!(
                "Redis at {address} refuses writes because it cannot save to disk: look at its log and the disk's space"
            ));
        }
        if says("NOPERM") {
            return Self::unavailable(format!(
                "the user on Redis at {address} may not do this: allow `~queue:* +@all -@dangerous +info` (Redis: {detail})"
            ));
        }
        Self::unavailable(format!("Redis at {address} answered {code} {detail}"))
    }
}

fn io_sentence(error: &RedisError, address: &str) -> String {
    if error.is_connection_refusal() {
        return format!("nothing listens at {address}: start Redis, or correct the store's `url`");
    }
    if error.is_timeout() {
        return format!("Redis at {address} did not answer in time: look at its load and the network");
    }
    if error.is_connection_dropped() {
        return format!("Redis at {address} closed the connection");
    }
    format!("Redis at {address} cannot be reached: {error}")
}
