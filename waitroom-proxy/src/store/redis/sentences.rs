//! What a person is told when Redis gives no answer: one sentence with what to do. Never a password.

use redis::{ErrorKind, RedisError};

use super::super::StoreError;

/// A failed call: what the caller is told, and what it says about the connection.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: StoreError,
    /// The connection, or the server behind it, is of no use: connect anew, and soon no more calls.
    pub(super) broken: bool,
    /// The server was there and said this.
    pub(super) answered: bool,
    /// Where it says that the room is now.
    pub(super) moved: Option<(String, u16)>,
}

impl Failure {
    pub(super) fn slow(address: &str, limit: std::time::Duration) -> Self {
        let limit = limit.as_millis();
        Self::broken(format!("Redis at {address} did not answer within {limit} ms: look at its load and the network"))
    }

    /// Turns that too few replicas have.
    pub(super) fn unacknowledged(address: &str, got: u32, asked: u32) -> Self {
        Self::told(format!(
            "only {got} of the {asked} replicas that `min_acks` asks for have the last turns of Redis at {address}: \
             look at its replicas and the network between them"
        ))
    }

    /// An answer after which the server, or what was asked, is of no use.
    pub(super) fn told(sentence: String) -> Self {
        Self { answered: true, ..Self::broken(sentence) }
    }

    fn broken(sentence: String) -> Self {
        Self { error: StoreError::Unavailable(sentence), broken: true, answered: false, moved: None }
    }

    fn unavailable(sentence: String) -> Self {
        Self { broken: false, ..Self::told(sentence) }
    }

    /// Translates what the client library reports about the server at `address`.
    pub(super) fn explain(error: &RedisError, address: &str) -> Self {
        let code = error.code().unwrap_or_default();
        let detail = error.detail().unwrap_or_default();
        // Servers before 7.0 wrap what happens inside a script: the code is then in the text.
        let says = |word: &str| code == word || detail.contains(word);
        if matches!(code, "BATCH" | "ARG" | "SPAN") {
            return Self {
                error: StoreError::Refused(format!("{code}: {detail}")),
                ..Self::unavailable(String::new())
            };
        }
        if error.kind() == ErrorKind::AuthenticationFailed || says("NOAUTH") || says("WRONGPASS") {
            return Self::told(format!(
                "Redis at {address} does not accept this user and password: put the right ones into the store's `url` \
                 (redis://user:password@host:port)"
            ));
        }
        if error.is_io_error() {
            return Self::broken(io_sentence(error, address));
        }
        if says("READONLY") || says("MASTERDOWN") || says("UNBLOCKED") {
            return Self::told(format!(
                "Redis at {address} is a replica and takes no writes: point the store's `url` at the primary"
            ));
        }
        if says("LOADING") {
            return Self::told(format!(
                "Redis at {address} is still reading its data from disk: wait until it is done"
            ));
        }
        if matches!(code, "MOVED" | "ASK" | "TRYAGAIN" | "CLUSTERDOWN") {
            return Self::of_cluster(code, detail, address);
        }
        if says("NOREPLICAS") {
            return Self::unavailable(format!(
                "Redis at {address} takes no writes while it has fewer replicas than its `min-replicas-to-write`: look \
                 at them and the network between"
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

    /// What only nodes of a cluster say.
    fn of_cluster(code: &str, detail: &str, address: &str) -> Self {
        match code {
            "MOVED" => Self {
                moved: moved_to(detail),
                ..Self::told(format!(
                    "another node of its cluster than Redis at {address} keeps this room: use redis+cluster:// in the \
                     store's `url`, which follows"
                ))
            },
            "CLUSTERDOWN" => Self::told(format!(
                "the cluster of Redis at {address} does not serve this room: the room's shard, or a majority of all, is \
                 down"
            )),
            // Followed by nobody: some of the room's keys are here and some are there, and it must not begin anew.
            _ => Self::unavailable(format!(
                "the cluster of Redis at {address} is moving this room to another node: it goes on when that is done"
            )),
        }
    }
}

/// The address in `slot host:port`; none when the host is left out.
fn moved_to(detail: &str) -> Option<(String, u16)> {
    let (host, port) = detail.split_whitespace().last()?.rsplit_once(':')?;
    let host = host.trim_matches(['[', ']']);
    if host.is_empty() || host == "?" { None } else { Some((host.to_owned(), port.parse().ok()?)) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_names_the_next_node() {
        assert_eq!(moved_to("3999 127.0.0.1:6381"), Some(("127.0.0.1".to_owned(), 6381)));
        assert_eq!(moved_to("3999 ::1:6381"), Some(("::1".to_owned(), 6381)));
        assert_eq!((moved_to("3999 :6381"), moved_to("")), (None, None));
    }
}
