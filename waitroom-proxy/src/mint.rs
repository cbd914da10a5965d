//! Tokens and tickets as this proxy makes and checks them. Knows keys; knows no room's state.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use queue_token::{KeyRing, Verifier};
use ring::digest;

use crate::credentials::Credentials;
use crate::seal::Sealer;
use crate::session::Session;
use crate::store::{Epoch, Vid};
use crate::ticket::Ticket;

/// Verified bare tokens that are remembered, in all shards together. An Ed25519 check costs some 70 µs.
const REMEMBERED: usize = 131_072;
const SHARDS: usize = 16;

/// Makes and checks tickets and tokens.
pub struct Mint {
    ring: KeyRing,
    verifier: Verifier,
    issuer: String,
    sealer: Sealer,
    /// Digest of token and room → session. Bounded; dropped at expiry.
    verified: Vec<Mutex<HashMap<[u8; 32], Session>>>,
    /// Draws visitors' ids, and what makes a token's id unique.
    draw: fn() -> u64,
    /// (room, number) → the last renewal, so that a burst of requests renews once.
    renewed: Mutex<HashMap<(String, u64), (u64, Minted)>>,
}

/// A session with its token, both ways that it travels.
#[derive(Clone, Debug)]
pub struct Minted {
    /// The session.
    pub session: Session,
    /// The JWT.
    pub token: Arc<str>,
}

/// A session that a request showed and that we signed.
#[derive(Clone, Debug)]
pub struct ShownSession {
    /// The session.
    pub session: Session,
    /// The JWT.
    pub token: Arc<str>,
}

impl Mint {
    /// A mint of these keys.
    #[must_use]
    pub fn new(ring: KeyRing, issuer: String, sealer: Sealer) -> Self {
        let verifier = ring.verifier(&issuer);
        let verified = (0..SHARDS).map(|_| Mutex::new(HashMap::new())).collect();
        Self { ring, verifier, issuer, sealer, verified, draw: rand::random, renewed: Mutex::default() }
    }

    /// Draws by this instead of by the system's generator: a simulation repeats itself. Never for visitors.
    #[must_use]
    pub fn drawing_by(self, draw: fn() -> u64) -> Self {
        Self { draw, ..self }
    }

    /// The id of a new visitor.
    #[must_use]
    pub fn draw_vid(&self) -> Vid {
        let mut vid = [0; 12];
        vid[..8].copy_from_slice(&(self.draw)().to_be_bytes());
        vid[8..].copy_from_slice(&(self.draw)().to_be_bytes()[..4]);
        Vid(vid)
    }

    /// The public keys, as the JWKS document.
    ///
    /// # Errors
    /// When the document can't be written as JSON, which no key ring can cause.
    pub fn jwks(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&self.ring.jwks())
    }

    /// The most bytes that a session's cookie can have in this room.
    ///
    /// # Errors
    /// As [`Mint::sign`].
    pub fn longest_cookie(&self, room: &str) -> Result<usize, queue_token::SignError> {
        let epoch = Epoch { generation: u64::MAX, life: u32::MAX };
        let vid = Vid([u8::MAX; 12]);
        let (seq, began_s, expires_s) = (u64::MAX, u64::from(u32::MAX), u64::from(u32::MAX) + 1);
        let session = Session { epoch, vid, seq, began_s, expires_s, provisional: true };
        let token = self.ring.sign(&session.claims(&self.issuer, room, began_s, u64::MAX))?;
        Ok(session.seal(&self.sealer, room, &token).len())
    }

    /// The sealer of tickets.
    #[must_use]
    pub fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    /// Signs a session's token.
    ///
    /// # Errors
    /// When the key can't sign, which a checked config excludes.
    pub fn sign(&self, session: Session, room: &str, now_s: u64) -> Result<Minted, queue_token::SignError> {
        let token = self.ring.sign(&session.claims(&self.issuer, room, now_s, (self.draw)()))?;
        Ok(Minted { session, token: token.into() })
    }

    /// The session that a request shows. Garbage in a cookie never costs a signature check.
    #[must_use]
    pub fn session(&self, room: &str, shown: &Credentials<'_>, now_s: u64) -> Option<ShownSession> {
        if let Some(sealed) = shown.cookie_token
            && let Some((session, token)) = Session::open(&self.sealer, room, sealed, now_s)
        {
            return Some(ShownSession { session, token: token.into() });
        }
        let token = shown.header_token?;
        let session = self.verify(room, token, now_s)?;
        Some(ShownSession { session, token: token.into() })
    }

    /// The ticket that a request shows; one in a header counts before one in a cookie.
    #[must_use]
    pub fn ticket(&self, room: &str, shown: &Credentials<'_>, now_ms: u64, max_age: Duration) -> Option<Ticket> {
        [shown.header_ticket, shown.cookie_ticket]
            .into_iter()
            .flatten()
            .find_map(|sealed| Ticket::open(&self.sealer, room, sealed, now_ms, max_age))
    }

    /// A renewal of this session that is younger than `within`, if there was one.
    #[must_use]
    pub fn recent_renewal(&self, room: &str, seq: u64, now_ms: u64, within: Duration) -> Option<Minted> {
        let renewed = self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        let (at_ms, minted) = renewed.get(&(room.to_owned(), seq))?;
        (u128::from(now_ms.saturating_sub(*at_ms)) < within.as_millis()).then(|| minted.clone())
    }

    /// Remembers a renewal.
    pub fn note_renewal(&self, room: &str, now_ms: u64, within: Duration, minted: &Minted) {
        let mut renewed = self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        if renewed.len() >= REMEMBERED {
            renewed.retain(|_, (at_ms, _)| u128::from(now_ms.saturating_sub(*at_ms)) < within.as_millis());
            if renewed.len() >= REMEMBERED {
                renewed.clear();
            }
        }
        renewed.insert((room.to_owned(), minted.session.seq), (now_ms, minted.clone()));
    }

    fn verify(&self, room: &str, token: &str, now_s: u64) -> Option<Session> {
        let key = digest_of(room, token);
        let shard = &self.verified[usize::from(key[0]) % SHARDS];
        let known = shard.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied();
        if let Some(session) = known {
            return session.live(now_s).then_some(session);
        }
        let verified = self.verifier.verify(token, room, now_s).ok()?;
        let session = Session::from_claims(verified.claims())?;
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if shard.len() >= REMEMBERED / SHARDS {
            shard.retain(|_, session| session.live(now_s));
            if shard.len() >= REMEMBERED / SHARDS {
                shard.clear();
            }
        }
        shard.insert(key, session);
        Some(session)
    }
}

fn digest_of(room: &str, token: &str) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(room.as_bytes());
    context.update(b"\0");
    context.update(token.as_bytes());
    let mut key = [0; 32];
    key.copy_from_slice(context.finish().as_ref());
    key
}

#[cfg(test)]
mod tests {
    use queue_token::SigningKey;

    use super::*;

    #[test]
    fn refused_issuers_that_make_cookies_too_long() {
        let cookie = |issuer: usize, room: usize| {
            let ring = KeyRing::new(vec![SigningKey::generate_ed25519("k".repeat(16)).unwrap()]).unwrap();
            let sealer = Sealer::new([[1; 32].as_slice()]).unwrap();
            Mint::new(ring, "i".repeat(issuer), sealer).longest_cookie(&"r".repeat(room)).unwrap()
        };
        assert!(cookie(32, 64) <= crate::seal::MAX_SEALED, "{}", cookie(32, 64));
        assert!(cookie(330, 64) > crate::seal::MAX_SEALED);
    }
}
