//! Checks that a visitor came through the waiting room: the queue token, against the proxy's public keys.

use std::sync::Arc;

use queue_token::{Jwks, Verifier, peek_kid, peek_unverified_claims};

use super::AuthError;
use super::jwks::{JwksCache, JwksError, REFRESH_GAP};
use crate::ledger::payments::QueueSession;

/// Where tokens come from and whom they are for.
#[derive(Debug, Clone)]
pub struct QueueGateSettings {
    /// The `iss` of good tokens.
    pub issuer: String,
    /// The rooms whose tokens are good here.
    pub audiences: Vec<String>,
    /// Where the proxy publishes its keys.
    pub jwks_url: String,
    /// Purchases per session; 0 for no limit.
    pub max_purchases: u32,
}

/// The gate: knows the keys, or fetches them.
pub struct QueueGate {
    audiences: Vec<String>,
    keys: Arc<JwksCache<Verifier>>,
    max_purchases: u32,
}

impl QueueGate {
    /// A gate that has fetched nothing yet.
    pub fn new(settings: QueueGateSettings) -> Result<Self, JwksError> {
        let issuer = settings.issuer;
        let keys = JwksCache::new(&settings.jwks_url, move |bytes| {
            let jwks: Jwks = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
            Verifier::from_jwks(&jwks, &issuer).map_err(|error| error.to_string())
        })?;
        Ok(Self { audiences: settings.audiences, keys: Arc::new(keys), max_purchases: settings.max_purchases })
    }

    /// The keys, to be kept fresh.
    pub fn keys(&self) -> Arc<JwksCache<Verifier>> {
        Arc::clone(&self.keys)
    }

    /// Purchases per session; 0 for no limit.
    pub fn max_purchases(&self) -> u32 {
        self.max_purchases
    }

    /// Verifies a token in full.
    pub async fn check(&self, token: &str, now_s: u64) -> Result<QueueSession, AuthError> {
        // Before any key is asked for: garbage costs nothing.
        let kid = peek_kid(token).ok_or(AuthError::Refused("malformed"))?;
        let mut verifier = self.keys.known().await.ok_or(AuthError::KeysUnavailable)?;
        if !verifier.knows_kid(&kid) {
            // The proxy may have begun to sign with a new key.
            self.keys.refresh(REFRESH_GAP).await;
            verifier = self.keys.current().ok_or(AuthError::KeysUnavailable)?;
        }
        // Says only which of our rooms to check it for; the check itself trusts nothing of it.
        let claimed = peek_unverified_claims(token).ok_or(AuthError::Refused("malformed"))?;
        let audience =
            self.audiences.iter().find(|room| **room == claimed.aud).ok_or(AuthError::Refused("audience"))?;
        let verified = verifier.verify(token, audience, now_s).map_err(|_| AuthError::Refused("invalid"))?;
        let claims = verified.into_claims();
        Ok(QueueSession {
            audience: claims.aud,
            generation: claims.generation,
            subject: claims.sub,
            session_at_s: claims.auth_time,
            jti: claims.jti,
        })
    }
}
