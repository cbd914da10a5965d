//! Who is calling: the user, and the visitor's turn in the queue. The edge where the clock is read.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, header};

use super::problem::{Kind, Problem};
use super::{App, limits};
use crate::auth::AuthError;
use crate::ledger::payments::QueueSession;
use crate::seat::UserId;

const QUEUE_TOKEN: HeaderName = HeaderName::from_static("x-queue-token");

/// The user whose bearer token came along.
pub struct User(pub UserId);

impl FromRequestParts<Arc<App>> for User {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let refused = || Problem::new(Kind::Unauthorized, "Send Authorization: Bearer and the user's token.");
        let token = only(&parts.headers, &header::AUTHORIZATION).and_then(bearer).ok_or_else(refused)?;
        match app.users.check(token, now_s()).await {
            Ok(user) => limits::admit(app, &parts.extensions, user).map(|()| Self(user)),
            Err(error) => {
                tracing::debug!(%error, "user token");
                Err(error.into_problem(refused()))
            }
        }
    }
}

/// A visitor who may pass; with their queue session where one is required.
pub struct Admitted(pub Option<QueueSession>);

impl FromRequestParts<Arc<App>> for Admitted {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let Some(gate) = &app.queue else { return Ok(Self(None)) };
        let checked = match only(&parts.headers, &QUEUE_TOKEN) {
            Some(token) => gate.check(token, now_s()).await,
            None => Err(AuthError::Refused("missing")),
        };
        checked.map(|session| Self(Some(session))).map_err(|error| {
            let reason = match error {
                AuthError::Refused(reason) => reason,
                AuthError::KeysUnavailable => "no_keys",
            };
            app.metrics.token_refused(reason);
            error.into_problem(Problem::new(Kind::QueueTokenRequired, "Take your turn in the waiting room first."))
        })
    }
}

/// A header that occurs exactly once, as text.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "an edge of the process reads the clock")]
pub(super) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Milliseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "an edge of the process reads the clock")]
pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
