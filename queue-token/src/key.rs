//! Signing keys: made, read, written. Must not show key material in `Debug` or in an error.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    hmac,
    rand::{SecureRandom, SystemRandom},
    signature::{Ed25519KeyPair, KeyPair},
};

use crate::{
    compact::{MAX_KID_BYTES, encode_header, is_plain_kid},
    pem::{self, PemError},
};

/// Bytes of an Ed25519 seed, and of its public key.
pub(crate) const ED25519_BYTES: usize = 32;

/// Shortest HS256 secret: as long as its output (RFC 7518 §3.2), since a shorter one can be searched for.
pub const MIN_HS256_SECRET_BYTES: usize = 32;

/// How a key signs. Belongs to the key, never to the token: a token that names another is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// Ed25519 (RFC 8037). The default: backends verify with a public key.
    EdDsa,
    /// HMAC-SHA256 with a secret that proxy and backend share.
    Hs256,
}

impl Algorithm {
    /// The name in a token's header and in the config.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Hs256 => "HS256",
        }
    }
}

/// Why a key, or a set of keys, cannot be used. Never contains key material.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The key's name is empty, long, or has odd characters.
    #[error("a kid must be 1 to {MAX_KID_BYTES} of the characters A-Z a-z 0-9 . _ -")]
    Kid,
    /// Not a PEM file with one private key.
    #[error("key {kid}: {source}")]
    Pem {
        /// Name of the key.
        kid: String,
        /// What is wrong with the file.
        source: PemError,
    },
    /// A PKCS#8 file, but not with an Ed25519 key in it, or a broken one.
    #[error("key {kid}: not an Ed25519 private key (make one with `openssl genpkey -algorithm ed25519`)")]
    NotEd25519 {
        /// Name of the key.
        kid: String,
    },
    /// The HS256 secret is too short.
    #[error("key {kid}: an HS256 secret needs at least {MIN_HS256_SECRET_BYTES} bytes, this one has {bytes}")]
    ShortSecret {
        /// Name of the key.
        kid: String,
        /// How long the secret is.
        bytes: usize,
    },
    /// Two keys of one name: which of them verifies would depend on their order.
    #[error("key {kid}: two keys have this kid")]
    DuplicateKid {
        /// Name of the keys.
        kid: String,
    },
    /// No key at all.
    #[error("no key: at least one is needed")]
    Empty,
    /// More keys than a rotation ever needs.
    #[error("too many keys: at most {max}")]
    TooMany {
        /// The limit.
        max: usize,
    },
    /// A JWKS without a key that could verify a queue token.
    #[error("the JWKS has no usable key (wanted: kty OKP, crv Ed25519, alg EdDSA, use sig, with a kid)")]
    NoUsableJwk,
    /// A JWK that claims to be an Ed25519 key and is none.
    #[error("key {kid}: the JWK's x is not an Ed25519 public key")]
    BadJwk {
        /// Name of the key.
        kid: String,
    },
    /// Somebody published a private key.
    #[error("the JWKS contains a private key: replace that key, it is no longer secret")]
    PrivateJwk,
    /// The operating system gave no randomness.
    #[error("the system gave no randomness for a new key")]
    NoRandomness,
}

/// A key that signs queue tokens.
pub struct SigningKey {
    kid: String,
    /// Ready to be put in front of every token: the header depends on the key alone.
    encoded_header: String,
    secret: Secret,
}

enum Secret {
    Ed25519 {
        pair: Ed25519KeyPair,
        /// Kept for `to_pem`: ring does not give it back.
        seed: [u8; ED25519_BYTES],
    },
    Hs256(hmac::Key),
}

/// What it takes to check a signature of one key.
#[derive(Clone)]
pub(crate) enum VerifyingKey {
    Ed25519([u8; ED25519_BYTES]),
    Hs256(hmac::Key),
}

impl SigningKey {
    /// Makes a new Ed25519 key from the system's randomness.
    pub fn generate_ed25519(kid: impl Into<String>) -> Result<Self, KeyError> {
        let mut seed = [0; ED25519_BYTES];
        SystemRandom::new().fill(&mut seed).map_err(|_| KeyError::NoRandomness)?;
        Self::from_seed(checked_kid(kid)?, seed)
    }

    /// Reads an Ed25519 private key: PKCS#8 in PEM, version 1 (OpenSSL, [`to_pem`](Self::to_pem)) or
    /// version 2 (with the public key, which must then fit).
    pub fn from_pem(kid: impl Into<String>, pem: &[u8]) -> Result<Self, KeyError> {
        let kid = checked_kid(kid)?;
        let der = match pem::decode_private_key(pem) {
            Ok(der) => der,
            Err(source) => return Err(KeyError::Pem { kid, source }),
        };
        let not_ed25519 = || KeyError::NotEd25519 { kid: kid.clone() };
        // Ring checks the structure, and the public key where there is one.
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(|_| not_ed25519())?;
        let seed = pem::ed25519_seed(&der).ok_or_else(not_ed25519)?;
        Self::from_seed(kid, seed)
    }

    /// An HS256 key from its raw bytes, at least [`MIN_HS256_SECRET_BYTES`] of them.
    pub fn hs256(kid: impl Into<String>, secret: &[u8]) -> Result<Self, KeyError> {
        let kid = checked_kid(kid)?;
        if secret.len() < MIN_HS256_SECRET_BYTES {
            return Err(KeyError::ShortSecret { kid, bytes: secret.len() });
        }
        Ok(Self::new(kid, Algorithm::Hs256, Secret::Hs256(hmac::Key::new(hmac::HMAC_SHA256, secret))))
    }

    /// The private key as PKCS#8 (version 1) in PEM, which every tool reads. `None` for HS256, whose
    /// key is just bytes.
    pub fn to_pem(&self) -> Option<String> {
        match &self.secret {
            Secret::Ed25519 { seed, .. } => Some(pem::encode_ed25519(seed)),
            Secret::Hs256(_) => None,
        }
    }

    /// The key's name, as it stands in the header of its tokens.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// How this key signs.
    pub fn algorithm(&self) -> Algorithm {
        match self.secret {
            Secret::Ed25519 { .. } => Algorithm::EdDsa,
            Secret::Hs256(_) => Algorithm::Hs256,
        }
    }

    pub(crate) fn encoded_header(&self) -> &str {
        &self.encoded_header
    }

    pub(crate) fn verifying_key(&self) -> VerifyingKey {
        match &self.secret {
            Secret::Ed25519 { pair, .. } => VerifyingKey::Ed25519(public_bytes(pair)),
            Secret::Hs256(key) => VerifyingKey::Hs256(key.clone()),
        }
    }

    /// The signature in base64url.
    pub(crate) fn sign(&self, message: &[u8]) -> String {
        match &self.secret {
            Secret::Ed25519 { pair, .. } => URL_SAFE_NO_PAD.encode(pair.sign(message)),
            Secret::Hs256(key) => URL_SAFE_NO_PAD.encode(hmac::sign(key, message)),
        }
    }

    fn from_seed(kid: String, seed: [u8; ED25519_BYTES]) -> Result<Self, KeyError> {
        match Ed25519KeyPair::from_seed_unchecked(&seed) {
            Ok(pair) => Ok(Self::new(kid, Algorithm::EdDsa, Secret::Ed25519 { pair, seed })),
            Err(_) => Err(KeyError::NotEd25519 { kid }),
        }
    }

    fn new(kid: String, algorithm: Algorithm, secret: Secret) -> Self {
        Self { encoded_header: encode_header(algorithm, &kid), kid, secret }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm())
            .finish_non_exhaustive()
    }
}

fn checked_kid(kid: impl Into<String>) -> Result<String, KeyError> {
    let kid = kid.into();
    if is_plain_kid(&kid) { Ok(kid) } else { Err(KeyError::Kid) }
}

fn public_bytes(pair: &Ed25519KeyPair) -> [u8; ED25519_BYTES] {
    let mut bytes = [0; ED25519_BYTES];
    bytes.copy_from_slice(pair.public_key().as_ref());
    bytes
}
