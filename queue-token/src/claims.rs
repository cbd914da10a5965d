//! What a queue token says. Data only: nothing here makes a token true.

use serde::{Deserialize, Serialize};

/// The claims of a queue token. All times are seconds since the Unix epoch.
///
/// Anybody can fill in this struct; only a [`QueueToken`](crate::QueueToken) is proof of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who signed: the proxy's configured issuer.
    pub iss: String,
    /// The room this session belongs to.
    pub aud: String,
    /// The visitor's id (`vid`).
    pub sub: String,
    /// The token's own id; a renewed session gets a new one.
    pub jti: String,
    /// When it was signed.
    pub iat: u64,
    /// First second in which it is no longer good.
    pub exp: u64,
    /// The room's generation: a reset of the room makes every older token void.
    #[serde(rename = "gen")]
    pub generation: u64,
    /// The visitor's number in the room's line.
    pub seq: u64,
    /// When the session began; renewals keep it.
    pub auth_time: u64,
}
