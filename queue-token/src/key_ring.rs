//! Keys in rotation: the first signs, all verify. Must not read a file or a clock.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{
    Claims, Jwk, Jwks, KeyError, SigningKey, Verifier, compact::MAX_TOKEN_BYTES, key::VerifyingKey, verify::KnownKey,
};

/// Most keys in a ring or a JWKS. A rotation needs two or three; the search is linear.
pub const MAX_KEYS: usize = 32;

/// Longest signature (Ed25519) in base64url.
const SIGNATURE_CHARS: usize = 86;

/// Why claims could not be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// Nobody would accept the token.
    #[error("the token would have {bytes} bytes, at most {MAX_TOKEN_BYTES} are accepted")]
    TooLong {
        /// How long it would be.
        bytes: usize,
    },
    /// The claims did not become JSON.
    #[error("the claims cannot be written as JSON")]
    Json,
}

/// The proxy's signing keys. The first signs, all verify: to rotate, put the new key at the end
/// everywhere, then move it to the front everywhere, then drop the old one when its tokens are gone.
pub struct KeyRing {
    first: SigningKey,
    /// They only verify.
    others: Vec<SigningKey>,
}

impl KeyRing {
    /// Takes the keys in the order of the config.
    pub fn new(keys: Vec<SigningKey>) -> Result<Self, KeyError> {
        check_kids(keys.iter().map(SigningKey::kid))?;
        let mut keys = keys.into_iter();
        let first = keys.next().ok_or(KeyError::Empty)?;
        Ok(Self { first, others: keys.collect() })
    }

    /// Signs with the first key.
    pub fn sign(&self, claims: &Claims) -> Result<String, SignError> {
        let payload = serde_json::to_vec(claims).map_err(|_| SignError::Json)?;
        let header = self.first.encoded_header();
        let mut token = String::with_capacity(header.len() + payload.len().div_ceil(3) * 4 + SIGNATURE_CHARS + 2);
        token.push_str(header);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(&payload, &mut token);
        let signature = self.first.sign(token.as_bytes());
        token.push('.');
        token.push_str(&signature);
        if token.len() > MAX_TOKEN_BYTES {
            return Err(SignError::TooLong { bytes: token.len() });
        }
        Ok(token)
    }

    /// A verifier that accepts the tokens of every key here, of this issuer.
    pub fn verifier(&self, issuer: &str) -> Verifier {
        Verifier::new(self.keys().map(|key| KnownKey::new(key.kid(), key.verifying_key())).collect(), issuer)
    }

    /// The public keys. An HS256 key is a secret and never in it.
    pub fn jwks(&self) -> Jwks {
        let public = self.keys().filter_map(|key| match key.verifying_key() {
            VerifyingKey::Ed25519(public) => Some(Jwk::ed25519(key.kid(), &public)),
            VerifyingKey::Hs256(_) => None,
        });
        Jwks { keys: public.collect() }
    }

    fn keys(&self) -> impl Iterator<Item = &SigningKey> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys()).finish()
    }
}

/// At least one key, not too many, and no name twice.
pub(crate) fn check_kids<'a>(kids: impl Iterator<Item = &'a str>) -> Result<(), KeyError> {
    let mut seen: Vec<&str> = Vec::new();
    for kid in kids {
        if seen.contains(&kid) {
            return Err(KeyError::DuplicateKid { kid: kid.to_owned() });
        }
        if seen.len() == MAX_KEYS {
            return Err(KeyError::TooMany { max: MAX_KEYS });
        }
        seen.push(kid);
    }
    if seen.is_empty() { Err(KeyError::Empty) } else { Ok(()) }
}
