//! A refusal on its way out, as `application/problem+json`: a public sentence here, the cause in the log.

pub mod kind;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

use crate::auth::AuthError;
use crate::ledger::LedgerError;
pub use kind::Kind;

/// Seconds after which it is worth trying again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// One refusal.
#[derive(Debug, Clone)]
pub struct Problem {
    kind: Kind,
    detail: String,
    members: Map<String, Value>,
    /// Whole seconds after which it is worth trying again, where that is not always the same.
    retry_after_s: Option<u64>,
}

impl Problem {
    /// A refusal with what is particular about this one.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), members: Map::new(), retry_after_s: None }
    }

    /// Adds a member that a program can act on.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// Says when to come back.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// A bug of ours; the cause was logged where it was seen.
    pub fn internal() -> Self {
        Self::new(Kind::Internal, "The error has been logged.")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.kind.status();
        let mut body = Map::new();
        body.insert("type".to_owned(), self.kind.uri().into());
        body.insert("title".to_owned(), self.kind.title().into());
        body.insert("status".to_owned(), status.as_u16().into());
        body.insert("detail".to_owned(), self.detail.into());
        body.extend(self.members);
        let mut answer = (status, Value::Object(body).to_string()).into_response();
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        match status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, RETRY_AFTER);
            }
            _ if matches!(self.kind, Kind::KeyInProgress | Kind::PaymentInProgress) => {
                headers.insert(header::RETRY_AFTER, RETRY_AFTER);
            }
            _ => {}
        }
        answer
    }
}

impl From<LedgerError> for Problem {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Unavailable(_) => {
                tracing::warn!(%error, "answered 503");
                Self::new(Kind::DatabaseUnavailable, "Nothing is known to have changed; repeat with the same key.")
            }
            // The database is well: the crowd is at one place. Nothing was changed.
            LedgerError::Contended | LedgerError::Conflict => {
                tracing::debug!(%error, "answered 503");
                Self::new(Kind::Busy, "Nothing was changed; repeat it in a moment.")
            }
            LedgerError::KeyReused => {
                Self::new(Kind::KeyReused, "Use a new key for a new request; the first one stands.")
            }
            LedgerError::KeyInProgress => {
                Self::new(Kind::KeyInProgress, "Repeat it in a moment to get the answer of the first.")
            }
            LedgerError::UserUnknown => Self::new(Kind::UnknownUser, "The token is good, but there is no such user."),
            LedgerError::BalanceLimit => {
                Self::new(Kind::BalanceLimitReached, "The balance would exceed what a wallet can hold.")
            }
            LedgerError::BadUrl | LedgerError::Schema(_) | LedgerError::Broken(_) => {
                tracing::error!(%error, "answered 500");
                Self::internal()
            }
        }
    }
}

impl AuthError {
    /// The same words for everything that is wrong with a token.
    pub(crate) fn into_problem(self, refused: Problem) -> Problem {
        match self {
            Self::Refused(_) => refused,
            Self::KeysUnavailable => Problem::new(Kind::KeysUnavailable, "The issuer of the keys does not answer."),
        }
    }
}
