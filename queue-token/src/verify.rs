//! Checking a token: the only way to a [`QueueToken`]. Must not read a clock: `now_s` is an argument.

use std::fmt;

use ring::{hmac, signature};

use crate::{
    Algorithm, Claims, Jwks, KeyError,
    compact::{Decoded, Header, MAX_TOKEN_BYTES, Parts, encode_header},
    key::VerifyingKey,
    key_ring::check_kids,
};

/// How far in the future a token may have been signed, in seconds. Proxies' clocks may be a minute off
/// in either direction, so two of them two minutes apart.
const MAX_CLOCK_SKEW_S: u64 = 120;
const _: () = assert!(MAX_CLOCK_SKEW_S >= 2 * 60);

/// What to tell whoever sent a token that was refused. The same for every reason: which check failed
/// is of use only to somebody who is forging one.
pub const REFUSED: &str = "The queue token is not valid.";

/// Why a token was refused. The text is for logs; tell the sender [`VerifyError::public_sentence`].
/// Never contains any part of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// Longer than any token of ours.
    #[error("queue token longer than {MAX_TOKEN_BYTES} bytes")]
    TooLong,
    /// Not three parts of canonical base64url, or its header is not ours.
    #[error("queue token malformed")]
    Malformed,
    /// The header names no key that is known here (any more, or yet).
    #[error("queue token signed with an unknown key")]
    UnknownKid,
    /// The header names another algorithm than the key has, `none` included.
    #[error("queue token names another algorithm than its key has")]
    WrongAlgorithm,
    /// The signature is not this key's over this token.
    #[error("queue token forged: bad signature")]
    BadSignature,
    /// Well signed, but a claim is missing, doubled or of the wrong type.
    #[error("queue token with missing or malformed claims")]
    BadClaims,
    /// Of another issuer.
    #[error("queue token of another issuer")]
    WrongIssuer,
    /// For another room.
    #[error("queue token of another room")]
    WrongAudience,
    /// `exp` is now or earlier.
    #[error("queue token expired")]
    Expired,
    /// Signed in the future (`iat`), or not good yet (`nbf`).
    #[error("queue token from the future: a clock is wrong")]
    FromTheFuture,
}

impl VerifyError {
    /// The sentence for whoever sent the token: one and the same for every reason.
    pub fn public_sentence(self) -> &'static str {
        REFUSED
    }
}

/// A token that was verified: proof of a session in the room that was asked for. Only
/// [`Verifier::verify`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueToken {
    claims: Claims,
}

impl QueueToken {
    /// What it says.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// What it says, without copying.
    pub fn into_claims(self) -> Claims {
        self.claims
    }
}

/// Checks tokens of one issuer.
#[derive(Clone)]
pub struct Verifier {
    keys: Vec<KnownKey>,
    issuer: String,
}

/// A key by its name, and the header that its own tokens have.
#[derive(Clone)]
pub(crate) struct KnownKey {
    kid: String,
    /// As our signer writes it. Equal bytes spare the parsing; other signers order their members
    /// differently and are parsed.
    encoded_header: String,
    key: VerifyingKey,
}

impl Verifier {
    /// From the proxy's published keys. Keys of other kinds in the set are passed over; a set without
    /// any usable key, with two of one name or with a private key in it is an error.
    pub fn from_jwks(jwks: &Jwks, issuer: &str) -> Result<Self, KeyError> {
        let mut keys = Vec::new();
        for jwk in &jwks.keys {
            if let Some((kid, public)) = jwk.ed25519_public()? {
                keys.push(KnownKey::new(kid, VerifyingKey::Ed25519(public)));
            }
        }
        match check_kids(keys.iter().map(|known| known.kid.as_str())) {
            Ok(()) => Ok(Self::new(keys, issuer)),
            Err(KeyError::Empty) => Err(KeyError::NoUsableJwk),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn new(keys: Vec<KnownKey>, issuer: &str) -> Self {
        Self { keys, issuer: issuer.to_owned() }
    }

    /// Whether a key of this name is known: if not, it may be time to fetch the JWKS again.
    pub fn knows_kid(&self, kid: &str) -> bool {
        self.keys.iter().any(|known| known.kid == kid)
    }

    /// Verifies a token for a room (`audience`) at a time (`now_s`, seconds since the Unix epoch).
    /// The signature comes before any claim is read.
    pub fn verify(&self, token: &str, audience: &str, now_s: u64) -> Result<QueueToken, VerifyError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(VerifyError::TooLong);
        }
        let parts = Parts::split(token).ok_or(VerifyError::Malformed)?;
        let known = self.key_of(parts.header)?;
        known.key.check_signature(&parts)?;
        let payload = Decoded::from_part(parts.payload).ok_or(VerifyError::Malformed)?;
        let claims = parse_claims(payload.as_slice(), now_s)?;
        if claims.iss != self.issuer {
            return Err(VerifyError::WrongIssuer);
        }
        if claims.aud != audience {
            return Err(VerifyError::WrongAudience);
        }
        if claims.exp <= now_s {
            return Err(VerifyError::Expired);
        }
        Ok(QueueToken { claims })
    }

    fn key_of(&self, encoded_header: &str) -> Result<&KnownKey, VerifyError> {
        if let Some(known) = self.keys.iter().find(|known| known.encoded_header == encoded_header) {
            return Ok(known);
        }
        let header = Decoded::from_part(encoded_header).ok_or(VerifyError::Malformed)?;
        let header: Header<'_> = serde_json::from_slice(header.as_slice()).map_err(|_| VerifyError::Malformed)?;
        if header.typ.is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT")) {
            return Err(VerifyError::Malformed);
        }
        let known = self.keys.iter().find(|known| known.kid == header.kid).ok_or(VerifyError::UnknownKid)?;
        if header.alg != known.key.algorithm().as_str() {
            return Err(VerifyError::WrongAlgorithm);
        }
        Ok(known)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kids: Vec<&str> = self.keys.iter().map(|known| known.kid.as_str()).collect();
        f.debug_struct("Verifier").field("issuer", &self.issuer).field("kids", &kids).finish()
    }
}

impl KnownKey {
    pub(crate) fn new(kid: &str, key: VerifyingKey) -> Self {
        Self { kid: kid.to_owned(), encoded_header: encode_header(key.algorithm(), kid), key }
    }
}

impl VerifyingKey {
    fn algorithm(&self) -> Algorithm {
        match self {
            Self::Ed25519(_) => Algorithm::EdDsa,
            Self::Hs256(_) => Algorithm::Hs256,
        }
    }

    fn check_signature(&self, parts: &Parts<'_>) -> Result<(), VerifyError> {
        let bytes = Decoded::from_part(parts.signature).ok_or(VerifyError::Malformed)?;
        let checked = match self {
            Self::Ed25519(public) => {
                signature::UnparsedPublicKey::new(&signature::ED25519, public).verify(parts.signed, bytes.as_slice())
            }
            // Compared in constant time.
            Self::Hs256(key) => hmac::verify(key, parts.signed, bytes.as_slice()),
        };
        checked.map_err(|_| VerifyError::BadSignature)
    }
}

/// The claims, and the checks that need no setting.
fn parse_claims(payload: &[u8], now_s: u64) -> Result<Claims, VerifyError> {
    /// Claims that a later version may add are passed over, except for this one, which has a meaning
    /// that every verifier must honour (RFC 7519 §4.1.5).
    #[derive(serde::Deserialize)]
    struct NotBefore {
        nbf: Option<u64>,
    }
    let claims: Claims = serde_json::from_slice(payload).map_err(|_| VerifyError::BadClaims)?;
    let not_before: NotBefore = serde_json::from_slice(payload).map_err(|_| VerifyError::BadClaims)?;
    let latest = now_s.saturating_add(MAX_CLOCK_SKEW_S);
    if claims.iat > latest || not_before.nbf.is_some_and(|nbf| nbf > latest) {
        return Err(VerifyError::FromTheFuture);
    }
    Ok(claims)
}
