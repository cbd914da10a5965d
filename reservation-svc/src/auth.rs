//! Who is asking: users by their bearer token, admitted visitors by their queue token. Knows no web framework.

pub mod demo;
pub mod jwks;
pub mod queue;
pub mod users;

/// Why a token was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The token is missing or not good; the reason is for the log, never for the client.
    #[error("refused: {0}")]
    Refused(&'static str),
    /// The keys to check it with are not known yet.
    #[error("the keys to check tokens with are not known yet")]
    KeysUnavailable,
}
