//! Checks that a visitor came through the waiting room: the queue token, against the proxy's public keys.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;
use queue_token::{Claims, Jwks, Verifier, peek_kid, peek_unverified_claims};
use ring::digest;

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

/// Longest token looked at. Real ones are a few hundred bytes.
const MAX_TOKEN: usize = 4096;

/// Verified tokens that are remembered: 20 MiB at most. An Ed25519 check costs some 70 µs, a digest one.
const REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(65_535);

/// A token that was good when it was verified, and the second in which it expires.
type Known = (QueueSession, u64);

/// Keys with the tokens that were verified by them: whoever withdraws a key withdraws these with it.
pub struct Keys {
    verifier: Verifier,
    /// By digest. A plain mutex: held for a look-up.
    seen: Mutex<LruCache<[u8; 32], Known>>,
}

/// The gate: knows the keys, or fetches them.
pub struct QueueGate {
    audiences: Vec<String>,
    keys: Arc<JwksCache<Keys>>,
    max_purchases: u32,
}

impl QueueGate {
    /// A gate that has fetched nothing yet.
    pub fn new(settings: QueueGateSettings) -> Result<Self, JwksError> {
        let issuer = settings.issuer;
        let keys = JwksCache::new(&settings.jwks_url, move |bytes| {
            let jwks: Jwks = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
            let verifier = Verifier::from_jwks(&jwks, &issuer).map_err(|error| error.to_string())?;
            Ok(Keys { verifier, seen: Mutex::new(LruCache::new(REMEMBERED)) })
        })?;
        Ok(Self { audiences: settings.audiences, keys: Arc::new(keys), max_purchases: settings.max_purchases })
    }

    /// The keys, to be kept fresh.
    pub fn keys(&self) -> Arc<JwksCache<Keys>> {
        Arc::clone(&self.keys)
    }

    /// Purchases per session; 0 for no limit.
    pub fn max_purchases(&self) -> u32 {
        self.max_purchases
    }

    /// Verifies a token in full, or finds that it was verified by these keys before and has not expired.
    pub async fn check(&self, token: &str, now_s: u64) -> Result<QueueSession, AuthError> {
        if token.len() > MAX_TOKEN {
            return Err(AuthError::Refused("too long"));
        }
        let digest = digest_of(token);
        if let Some(session) = self.keys.current().and_then(|keys| keys.remembered(&digest, now_s)) {
            return Ok(session);
        }
        let (keys, (session, expires_s)) = self.verify(token, now_s).await?;
        keys.remember(digest, (session.clone(), expires_s));
        Ok(session)
    }

    async fn verify(&self, token: &str, now_s: u64) -> Result<(Arc<Keys>, Known), AuthError> {
        // Before any key is asked for: garbage costs nothing.
        let kid = peek_kid(token).ok_or(AuthError::Refused("malformed"))?;
        let mut keys = self.keys.known().await.ok_or(AuthError::KeysUnavailable)?;
        if !keys.verifier.knows_kid(&kid) {
            // The proxy may have begun to sign with a new key.
            self.keys.refresh(REFRESH_GAP).await;
            keys = self.keys.current().ok_or(AuthError::KeysUnavailable)?;
        }
        // Says only which of our rooms to check it for; the check itself trusts nothing of it.
        let claimed = peek_unverified_claims(token).ok_or(AuthError::Refused("malformed"))?;
        let audience =
            self.audiences.iter().find(|room| **room == claimed.aud).ok_or(AuthError::Refused("audience"))?;
        let verified = keys.verifier.verify(token, audience, now_s).map_err(|_| AuthError::Refused("invalid"))?;
        let claims = verified.into_claims();
        if !can_be_kept(&claims) {
            return Err(AuthError::Refused("claims"));
        }
        let session = QueueSession {
            audience: claims.aud,
            generation: claims.generation,
            subject: claims.sub,
            session_at_s: claims.auth_time,
            jti: claims.jti,
        };
        Ok((keys, (session, claims.exp)))
    }
}

impl Keys {
    fn remembered(&self, digest: &[u8; 32], now_s: u64) -> Option<QueueSession> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (session, expires_s) = seen.get(digest)?;
        if now_s < *expires_s {
            return Some(session.clone());
        }
        seen.pop(digest);
        None
    }

    fn remember(&self, digest: [u8; 32], known: Known) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).put(digest, known);
    }
}

/// Whether the database can hold what the claims say, however well they are signed.
fn can_be_kept(claims: &Claims) -> bool {
    /// The end of the year 9999.
    const LATEST_S: u64 = 253_402_300_799;
    i64::try_from(claims.generation).is_ok()
        && claims.auth_time <= LATEST_S
        && !claims.sub.chars().chain(claims.jti.chars()).any(char::is_control)
}

fn digest_of(token: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
    bytes
}
