//! The `Idempotency-Key` header.

use axum::http::HeaderMap;
use serde::Serialize;

use super::problem::{Kind, Problem};
use crate::ledger::idempotency::{BadKey, IdempotencyKey};

/// The key of a request bound to what the request asks for, if it has one.
pub fn key_of(headers: &HeaderMap, operation: &str, body: &impl Serialize) -> Result<Option<IdempotencyKey>, Problem> {
    let mut keys = headers.get_all("idempotency-key").iter();
    let key = match (keys.next(), keys.next()) {
        (None, _) => return Ok(None),
        (Some(_), Some(_)) => return Err(Problem::new(Kind::InvalidIdempotencyKey, "The header came more than once.")),
        (Some(key), None) => key,
    };
    let bad = |error: BadKey| Problem::new(Kind::InvalidIdempotencyKey, error.to_string());
    let text = key.to_str().map_err(|_| bad(BadKey))?;
    IdempotencyKey::new(text, operation, body).map(Some).map_err(bad)
}
