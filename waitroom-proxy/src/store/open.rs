//! From the `url` of the config to a store.

use std::sync::Arc;

use super::QueueStore;
use super::memory::MemoryStore;
use super::redis::RedisStore;

/// What a store's URL may be; part of every refusal.
const ACCEPTED: &str =
    "accepted are memory://, redis://[user:password@]host[:port][/db] and rediss:// (the same over TLS)";

/// Why a URL names no store. The sentences never contain the URL: it may hold a password.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum OpenError {
    /// Nothing known begins like this.
    #[error("a store's url does not begin with `{0}`: {ACCEPTED}")]
    Scheme(String),
    /// Known, and not spoken yet.
    #[error("{0}:// is not spoken by this version: {ACCEPTED}")]
    NotYet(String),
    /// The right scheme and something wrong behind it.
    #[error("the store's url cannot be read ({0}): {ACCEPTED}")]
    Malformed(String),
}

/// Makes the store that a URL names. Connects to nothing yet.
///
/// # Errors
/// A sentence that says what is accepted.
pub fn open(url: &str) -> Result<Arc<dyn QueueStore>, OpenError> {
    let (scheme, rest) = url.split_once("://").ok_or_else(|| OpenError::Malformed("no `://` in it".to_owned()))?;
    match scheme {
        "memory" if rest.is_empty() => Ok(Arc::new(MemoryStore::new())),
        "memory" => Err(OpenError::Malformed("nothing follows memory://".to_owned())),
        "redis" | "rediss" if rest.contains('#') => Err(OpenError::Malformed(
            "no `#` in it: a certificate that cannot be verified is never accepted".to_owned(),
        )),
        "redis" | "rediss" => {
            let client =
                ::redis::Client::open(url).map_err(|error| OpenError::Malformed(error.category().to_owned()))?;
            Ok(Arc::new(RedisStore::new(client)))
        }
        "redis+sentinel" | "redis+cluster" => Err(OpenError::NotYet(scheme.to_owned())),
        // Only what looks like a scheme is repeated: a password without one must not be.
        _ if scheme.len() <= 20 && scheme.bytes().all(|b| b.is_ascii_lowercase() || b == b'+') => {
            Err(OpenError::Scheme(format!("{scheme}://")))
        }
        _ => Err(OpenError::Malformed("unknown scheme".to_owned())),
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
        for url in ["memory://", "redis://127.0.0.1/", "redis://:secret@localhost:6380/2", "rediss://user:secret@host"]
        {
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
            "redis+sentinel://:hunter2@h1:1/NAME",
            "redis+cluster://:hunter2@h1:1",
        ] {
            let sentence = refusal(url);
            assert!(sentence.contains("memory://") && sentence.contains("rediss://"), "{sentence}");
            assert!(!sentence.contains("hunter2"), "{sentence}");
        }
        assert!(refusal("redis+sentinel://h1:1/NAME").contains("not spoken by this version"));
        assert!(refusal("http://host").contains("`http://`"));
    }
}
