//! Idempotency keys: one key, one effect. The rows live in the transaction of their effect; the SQL functions
//! begin and end them, so this file only shapes what goes in and tidies up.

use ring::digest;
use serde::Serialize;

use super::{Ledger, LedgerError};
use crate::seat::UserId;

/// Longest key accepted.
pub const MAX_KEY: usize = 255;

/// Expired keys removed at a time: a bounded piece of work.
const TIDY_ROWS: i64 = 1_000;

/// A key with the digest of the request that it came with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    key: String,
    request_hash: [u8; 32],
}

/// Not a key: empty, too long, or not printable ASCII.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("An Idempotency-Key is 1 to {MAX_KEY} printable ASCII characters.")]
pub struct BadKey;

impl IdempotencyKey {
    /// Binds `key` to a request: what it does, and the body as it was understood (not as it was spelt).
    pub fn new(key: &str, operation: &str, body: &impl Serialize) -> Result<Self, BadKey> {
        if key.is_empty() || key.len() > MAX_KEY || !key.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
            return Err(BadKey);
        }
        let body = serde_json::to_vec(body).map_err(|_| BadKey)?;
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(operation.as_bytes());
        hash.update(b"\n");
        hash.update(&body);
        let mut request_hash = [0; 32];
        request_hash.copy_from_slice(hash.finish().as_ref());
        Ok(Self { key: key.to_owned(), request_hash })
    }

    /// Tells requests of this user with this key from all others, in letters and digits. Says nothing of the key itself.
    pub fn mark(&self, user: UserId) -> String {
        let digest = digest::digest(&digest::SHA256, format!("{}:{}", user.get(), self.key).as_bytes());
        // 128 bits: nobody finds a second key of the same mark.
        digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The two arguments of the SQL functions; nulls when there is no key.
    pub(super) fn arguments(key: Option<&Self>) -> (Option<&str>, Option<&[u8]>) {
        (key.map(|key| key.key.as_str()), key.map(|key| key.request_hash.as_slice()))
    }
}

impl Ledger {
    /// Removes the keys that are older than a day, piece by piece until a piece is not full: in a sale as many expire
    /// as are written. Returns how many.
    pub async fn tidy_idempotency_keys(&self) -> Result<i64, LedgerError> {
        let mut all = 0;
        loop {
            let removed = self.tidy_some_keys().await?;
            all += removed;
            if removed < TIDY_ROWS {
                return Ok(all);
            }
        }
    }

    async fn tidy_some_keys(&self) -> Result<i64, LedgerError> {
        let (removed,): (i64,) = self
            .one(
                sqlx::query_as(
                    "WITH removed AS (DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(
                         SELECT ctid FROM idempotency_keys WHERE expires_at <= now()
                         ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED)) RETURNING 1)
                     SELECT count(*) FROM removed",
                )
                .bind(TIDY_ROWS),
            )
            .await?;
        Ok(removed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_covers_operation_and_body() {
        let key = |operation, body: &str| IdempotencyKey::new("k", operation, &body).unwrap().request_hash;
        assert_eq!(key("POST /a", "x"), key("POST /a", "x"));
        assert_ne!(key("POST /a", "x"), key("POST /b", "x"));
        assert_ne!(key("POST /a", "x"), key("POST /a", "y"));
    }

    #[test]
    fn refused_keys() {
        for bad in ["", "tab\there", "nul\0", "ключ", &"k".repeat(MAX_KEY + 1)] {
            assert_eq!(IdempotencyKey::new(bad, "POST /a", &1), Err(BadKey), "{bad:?}");
        }
    }
}
