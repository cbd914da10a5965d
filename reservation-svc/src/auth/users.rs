//! Checks a user's bearer token, and makes one for development.

use std::sync::Arc;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use secrecy::{ExposeSecret, SecretSlice};
use serde::{Deserialize, Serialize};

use super::AuthError;
use super::jwks::{JwksCache, JwksError, REFRESH_GAP};
use crate::seat::UserId;

/// Clocks may differ by this much, seconds.
const LEEWAY_S: u64 = 30;

/// Longest token looked at. Real ones are a few hundred bytes.
const MAX_TOKEN: usize = 4096;

/// Algorithms accepted from a key set: signatures only, never a shared secret.
const PUBLIC_ALGORITHMS: &[Algorithm] = &[Algorithm::EdDSA, Algorithm::ES256, Algorithm::ES384, Algorithm::RS256];

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    sub: String,
    exp: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    iat: Option<u64>,
}

/// Checks users' tokens with a shared secret or with fetched keys.
pub enum UserGate {
    /// HS256 with this secret.
    Secret(Box<DecodingKey>),
    /// Signed by one of these keys.
    Keys(Arc<JwksCache<JwkSet>>),
}

impl UserGate {
    /// Tokens signed with HS256 and this secret.
    pub fn with_secret(secret: &SecretSlice<u8>) -> Self {
        Self::Secret(Box::new(DecodingKey::from_secret(secret.expose_secret())))
    }

    /// Tokens signed by a key published at `url`.
    pub fn with_jwks(url: &str) -> Result<Self, JwksError> {
        let parse = |bytes: &[u8]| serde_json::from_slice(bytes).map_err(|error| error.to_string());
        Ok(Self::Keys(Arc::new(JwksCache::new(url, parse)?)))
    }

    /// Who the token says is asking.
    pub async fn check(&self, token: &str, now_s: u64) -> Result<UserId, AuthError> {
        if token.len() > MAX_TOKEN {
            return Err(AuthError::Refused("too long"));
        }
        let claims = match self {
            Self::Secret(key) => read(token, key, Algorithm::HS256)?,
            Self::Keys(keys) => {
                let header = decode_header(token).map_err(|_| AuthError::Refused("malformed"))?;
                if !PUBLIC_ALGORITHMS.contains(&header.alg) {
                    return Err(AuthError::Refused("algorithm"));
                }
                let kid = header.kid.ok_or(AuthError::Refused("no kid"))?;
                let mut known = keys.known().await.ok_or(AuthError::KeysUnavailable)?;
                if known.find(&kid).is_none() {
                    keys.refresh(REFRESH_GAP).await;
                    known = keys.current().ok_or(AuthError::KeysUnavailable)?;
                }
                let jwk = known.find(&kid).ok_or(AuthError::Refused("unknown kid"))?;
                let key = DecodingKey::from_jwk(jwk).map_err(|_| AuthError::Refused("unusable key"))?;
                // Fails unless the key is of the algorithm's family.
                read(token, &key, header.alg)?
            }
        };
        if claims.exp.saturating_add(LEEWAY_S) <= now_s {
            return Err(AuthError::Refused("expired"));
        }
        if claims.nbf.is_some_and(|from| from > now_s.saturating_add(LEEWAY_S)) {
            return Err(AuthError::Refused("not yet valid"));
        }
        claims.sub.parse().ok().and_then(UserId::new).ok_or(AuthError::Refused("subject"))
    }
}

/// Verifies the signature. The times are checked by the caller, whose clock it is.
fn read(token: &str, key: &DecodingKey, algorithm: Algorithm) -> Result<Claims, AuthError> {
    let mut rules = Validation::new(algorithm);
    rules.validate_exp = false;
    rules.validate_nbf = false;
    rules.validate_aud = false;
    rules.set_required_spec_claims(&["exp", "sub"]);
    decode(token, key, &rules).map(|data| data.claims).map_err(|_| AuthError::Refused("invalid"))
}

/// A token for development: HS256, for this user, good for `ttl_s` seconds.
pub fn mint(
    secret: &SecretSlice<u8>,
    user: UserId,
    now_s: u64,
    ttl_s: u64,
) -> Result<String, jsonwebtoken::errors::Error> {
    let claims = Claims { sub: user.get().to_string(), exp: now_s.saturating_add(ttl_s), nbf: None, iat: Some(now_s) };
    encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(secret.expose_secret()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn secret(byte: u8) -> SecretSlice<u8> {
        SecretSlice::from(vec![byte; 32])
    }

    #[tokio::test]
    async fn a_minted_token_names_its_user() {
        let gate = UserGate::with_secret(&secret(1));
        let token = mint(&secret(1), UserId::new(7).unwrap(), NOW, 60).unwrap();
        assert_eq!(gate.check(&token, NOW).await.unwrap().get(), 7);
    }

    #[tokio::test]
    async fn refused_user_tokens() {
        let gate = UserGate::with_secret(&secret(1));
        let user = UserId::new(7).unwrap();
        let expired = mint(&secret(1), user, NOW - 120, 60).unwrap();
        let forged = mint(&secret(2), user, NOW, 60).unwrap();
        let good = mint(&secret(1), user, NOW, 60).unwrap();
        // {"alg":"none"} with the good payload and no signature.
        let none = format!("eyJhbGciOiJub25lIn0.{}.", good.split('.').nth(1).unwrap());
        for (name, token) in [("expired", expired), ("forged", forged), ("none", none), ("garbage", "a.b.c".into())] {
            assert!(matches!(gate.check(&token, NOW).await, Err(AuthError::Refused(_))), "{name}");
        }
        for subject in ["0", "-1", "seven", ""] {
            let claims = Claims { sub: subject.to_owned(), exp: NOW + 60, nbf: None, iat: None };
            let key = EncodingKey::from_secret(secret(1).expose_secret());
            let token = encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap();
            assert!(gate.check(&token, NOW).await.is_err(), "sub {subject:?}");
        }
    }
}
