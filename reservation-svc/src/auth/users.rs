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

/// What a token must say besides who its user is; `None`: is not looked at. An identity provider signs tokens for
/// many applications with the same keys: only these tell ours from theirs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Expected {
    /// Who issued it.
    #[serde(rename = "iss", skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Whom it is for; one of those that it names.
    #[serde(rename = "aud", skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
}

/// Checks users' tokens with a shared secret or with fetched keys.
pub struct UserGate {
    keys: Keys,
    expected: Expected,
}

enum Keys {
    /// HS256 with this secret.
    Secret(Box<DecodingKey>),
    /// Signed by one of these keys.
    Fetched(Arc<JwksCache<JwkSet>>),
}

impl UserGate {
    /// Tokens signed with HS256 and this secret.
    pub fn with_secret(secret: &SecretSlice<u8>, expected: Expected) -> Self {
        Self { keys: Keys::Secret(Box::new(DecodingKey::from_secret(secret.expose_secret()))), expected }
    }

    /// Tokens signed by a key published at `url`.
    pub fn with_jwks(url: &str, expected: Expected) -> Result<Self, JwksError> {
        let parse = |bytes: &[u8]| serde_json::from_slice(bytes).map_err(|error| error.to_string());
        Ok(Self { keys: Keys::Fetched(Arc::new(JwksCache::new(url, parse)?)), expected })
    }

    /// The fetched keys, to be kept fresh; `None` with a secret.
    pub fn fetched(&self) -> Option<Arc<JwksCache<JwkSet>>> {
        match &self.keys {
            Keys::Secret(_) => None,
            Keys::Fetched(keys) => Some(Arc::clone(keys)),
        }
    }

    /// Who the token says is asking.
    pub async fn check(&self, token: &str, now_s: u64) -> Result<UserId, AuthError> {
        if token.len() > MAX_TOKEN {
            return Err(AuthError::Refused("too long"));
        }
        let claims = match &self.keys {
            Keys::Secret(key) => read(token, key, Algorithm::HS256, &self.expected)?,
            Keys::Fetched(keys) => {
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
                read(token, &key, header.alg, &self.expected)?
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

/// Verifies the signature, and that the token is meant for us. The times are checked by the caller, whose clock it is.
fn read(token: &str, key: &DecodingKey, algorithm: Algorithm, expected: &Expected) -> Result<Claims, AuthError> {
    let mut rules = Validation::new(algorithm);
    rules.validate_exp = false;
    rules.validate_nbf = false;
    rules.validate_aud = expected.audience.is_some();
    let mut required = vec!["exp", "sub"];
    if let Some(audience) = &expected.audience {
        rules.set_audience(&[audience]);
        required.push("aud");
    }
    if let Some(issuer) = &expected.issuer {
        rules.set_issuer(&[issuer]);
        required.push("iss");
    }
    rules.set_required_spec_claims(&required);
    decode(token, key, &rules).map(|data| data.claims).map_err(|_| AuthError::Refused("invalid"))
}

/// A token for development: HS256, for this user, good for `ttl_s` seconds.
pub fn mint(
    secret: &SecretSlice<u8>,
    user: UserId,
    now_s: u64,
    ttl_s: u64,
) -> Result<String, jsonwebtoken::errors::Error> {
    mint_for(secret, &Expected::default(), user, now_s, ttl_s)
}

/// The same with what a service expects of its tokens.
pub fn mint_for(
    secret: &SecretSlice<u8>,
    expected: &Expected,
    user: UserId,
    now_s: u64,
    ttl_s: u64,
) -> Result<String, jsonwebtoken::errors::Error> {
    #[derive(Serialize)]
    struct Minted<'a> {
        #[serde(flatten)]
        expected: &'a Expected,
        #[serde(flatten)]
        claims: Claims,
    }
    let claims = Claims { sub: user.get().to_string(), exp: now_s.saturating_add(ttl_s), nbf: None, iat: Some(now_s) };
    let key = EncodingKey::from_secret(secret.expose_secret());
    encode(&Header::new(Algorithm::HS256), &Minted { expected, claims }, &key)
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
        let gate = UserGate::with_secret(&secret(1), Expected::default());
        let token = mint(&secret(1), UserId::new(7).unwrap(), NOW, 60).unwrap();
        assert_eq!(gate.check(&token, NOW).await.unwrap().get(), 7);
    }

    #[tokio::test]
    async fn refused_tokens_of_another_issuer_or_for_another_application() {
        let said = |issuer: Option<&str>, audience: Option<&str>| Expected {
            issuer: issuer.map(str::to_owned),
            audience: audience.map(str::to_owned),
        };
        let token = |expected: &Expected| mint_for(&secret(1), expected, UserId::new(7).unwrap(), NOW, 60).unwrap();
        let ours = said(Some("https://id.example"), Some("tickets"));
        let gate = UserGate::with_secret(&secret(1), ours.clone());
        assert_eq!(gate.check(&token(&ours), NOW).await.unwrap().get(), 7);
        for other in [
            said(None, None),
            said(Some("https://id.example"), None),
            said(None, Some("tickets")),
            said(Some("https://id.example"), Some("newsletter")),
            said(Some("https://other.example"), Some("tickets")),
        ] {
            assert!(gate.check(&token(&other), NOW).await.is_err(), "{other:?}");
        }
        let any = UserGate::with_secret(&secret(1), Expected::default());
        assert!(any.check(&token(&ours), NOW).await.is_ok(), "where nothing is expected, anything may be said");
    }

    #[tokio::test]
    async fn refused_user_tokens() {
        let gate = UserGate::with_secret(&secret(1), Expected::default());
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
