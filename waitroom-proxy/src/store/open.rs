//! From the `url` of the config to a store.

use std::sync::Arc;

use super::QueueStore;
use super::memory::MemoryStore;
use super::redis::{RedisStore, Target};

/// What a store's URL may be; part of every refusal.
const ACCEPTED: &str = "accepted are memory://, redis://[user:password@]host[:port][/db], \
    redis+sentinel://[user:password@]host[:port],…/NAME[/db], redis+cluster://[user:password@]host[:port],…, and with \
    rediss in place of redis the same over TLS";

/// Why a URL names no store. The sentences never contain the URL: it may hold a password.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum OpenError {
    /// Nothing known begins like this.
    #[error("a store's url does not begin with `{0}`: {ACCEPTED}")]
    Scheme(String),
    /// The right scheme and something wrong behind it.
    #[error("the store's url cannot be read ({0}): {ACCEPTED}")]
    Malformed(String),
    /// Nobody can acknowledge what only this process has.
    #[error("`min_acks` must be 0 with memory://: it has no replicas")]
    NoReplicas,
}

/// Makes the store that a URL names. Connects to nothing yet.
///
/// # Errors
/// A sentence that says what is accepted.
pub fn open(url: &str) -> Result<Arc<dyn QueueStore>, OpenError> {
    open_with(url, 0)
}

/// As [`open`]; turns and sessions count only when `min_acks` replicas have them.
///
/// # Errors
/// As [`open`], and [`OpenError::NoReplicas`].
pub fn open_with(url: &str, min_acks: u32) -> Result<Arc<dyn QueueStore>, OpenError> {
    let (scheme, rest) = url.split_once("://").ok_or_else(|| OpenError::Malformed("no `://` in it".to_owned()))?;
    match scheme {
        "memory" if rest.is_empty() && min_acks > 0 => return Err(OpenError::NoReplicas),
        "memory" if rest.is_empty() => return Ok(Arc::new(MemoryStore::new())),
        "memory" => return Err(OpenError::Malformed("nothing follows memory://".to_owned())),
        _ => {}
    }
    match Target::parse(scheme, rest) {
        Some(target) => {
            let target = target.map_err(OpenError::Malformed)?;
            Ok(Arc::new(RedisStore::at(target).with_min_acks(min_acks)))
        }
        // Only what looks like a scheme is repeated: a password without one must not be.
        None if scheme.len() <= 20 && scheme.bytes().all(|b| b.is_ascii_lowercase() || b == b'+') => {
            Err(OpenError::Scheme(format!("{scheme}://")))
        }
        None => Err(OpenError::Malformed("unknown scheme".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str) -> String {
        open(url).err().map(|error| error.to_string()).expect(url)
    }

    #[test]
    fn the_accepted_schemes_open_without_connecting() {
        for url in [
            "memory://",
            "redis://127.0.0.1/",
            "redis://:secret@localhost:6380/2",
            "rediss://user:secret@host",
            "redis+sentinel://:secret@h1:1,h2:2/main",
            "rediss+cluster://h1:1,h2:2",
        ] {
            assert!(open(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn refused_urls_say_what_is_accepted_and_never_a_password() {
        for url in [
            "",
            "localhost:6379",
            "http://user:hunter2@host",
            "memory://hunter2",
            "redis://:hunter2@host:port",
            "rediss://:hunter2@host/#insecure",
            "hunter2://x",
            "redis+sentinel://:hunter2@h1:1",
            "redis+cluster://:hunter2@h1:1/3",
        ] {
            let sentence = refusal(url);
            assert!(sentence.contains("memory://") && sentence.contains("rediss in place"), "{sentence}");
            assert!(!sentence.contains("hunter2"), "{sentence}");
        }
        assert!(open_with("memory://", 1).is_err_and(|error| error.to_string().contains("no replicas")));
        assert!(refusal("http://host").contains("`http://`"));
    }
}
