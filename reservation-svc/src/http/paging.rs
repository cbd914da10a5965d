//! Pages of long lists: `limit` and `cursor`. The cursor is the id of the last row shown.

use std::str::FromStr;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::Deserialize;

use super::problem::{Kind, Problem};

#[derive(Deserialize)]
struct Raw {
    limit: Option<String>,
    cursor: Option<String>,
}

/// Which page; `C` is what ids of the list are. `DEFAULT` rows on it unless asked otherwise, `MAX` at most.
pub struct Page<C, const DEFAULT: i64 = 50, const MAX: i64 = 200> {
    /// Rows at most.
    pub limit: i64,
    /// Rows after this one.
    pub cursor: Option<C>,
}

impl<C: FromStr, const DEFAULT: i64, const MAX: i64, S: Send + Sync> FromRequestParts<S> for Page<C, DEFAULT, MAX> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let bad = |detail: String| Problem::new(Kind::InvalidQuery, detail);
        let Query(raw) =
            Query::<Raw>::from_request_parts(parts, state).await.map_err(|error| bad(error.body_text()))?;
        let limit = match raw.limit.map(|limit| limit.parse::<i64>()) {
            None => DEFAULT,
            Some(Ok(limit)) if (1..=MAX).contains(&limit) => limit,
            Some(_) => return Err(bad(format!("limit must be a whole number from 1 to {MAX}."))),
        };
        let cursor =
            raw.cursor.map(|cursor| cursor.parse().map_err(|_| bad("cursor must be one that a page gave.".to_owned())));
        Ok(Self { limit, cursor: cursor.transpose()? })
    }
}

impl<C, const DEFAULT: i64, const MAX: i64> Page<C, DEFAULT, MAX> {
    /// The cursor of the next page: only a full page can have one.
    pub fn next(&self, shown: usize, last: Option<String>) -> Option<String> {
        last.filter(|_| i64::try_from(shown).is_ok_and(|shown| shown >= self.limit))
    }
}
