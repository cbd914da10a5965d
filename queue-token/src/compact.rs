//! The compact form `header.payload.signature`: taking it apart and putting it together.
//! Must not decide whether a token is true.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;

use crate::{Algorithm, Claims};

/// Longest token ever signed or looked at, in bytes. A cookie of 4 KiB is the browser's limit, and the
/// claims with their longest sensible values stay under 600 bytes.
pub const MAX_TOKEN_BYTES: usize = 1024;

/// Longest `kid`, in bytes.
pub(crate) const MAX_KID_BYTES: usize = 64;

/// A token in its three encoded parts, not yet looked into.
#[derive(Clone, Copy)]
pub(crate) struct Parts<'a> {
    pub(crate) header: &'a str,
    pub(crate) payload: &'a str,
    pub(crate) signature: &'a str,
    /// `header.payload`, which is what was signed.
    pub(crate) signed: &'a [u8],
}

impl<'a> Parts<'a> {
    /// Splits at exactly two dots.
    pub(crate) fn split(token: &'a str) -> Option<Self> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        // A dot too many stays in the payload, and base64 refuses it there.
        Some(Self { header, payload, signature, signed: signed.as_bytes() })
    }
}

/// The header members we know. Any other (`crit`, `jwk`, `jku`, `b64`, …) wants to change how the
/// token is checked, and is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header<'a> {
    pub(crate) alg: &'a str,
    pub(crate) kid: &'a str,
    pub(crate) typ: Option<&'a str>,
}

/// A decoded part in a buffer on the stack: a token is at most [`MAX_TOKEN_BYTES`] long.
pub(crate) struct Decoded {
    bytes: [u8; MAX_TOKEN_BYTES],
    len: usize,
}

impl Decoded {
    /// Decodes canonical base64url without padding, and nothing else.
    pub(crate) fn from_part(part: &str) -> Option<Self> {
        let mut bytes = [0; MAX_TOKEN_BYTES];
        let len = URL_SAFE_NO_PAD.decode_slice(part, &mut bytes).ok()?;
        Some(Self { bytes, len })
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// The encoded header of tokens signed by this key.
pub(crate) fn encode_header(algorithm: Algorithm, kid: &str) -> String {
    // A kid needs no escaping in JSON: `check_kid` saw to that.
    URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{}","kid":"{kid}","typ":"JWT"}}"#, algorithm.as_str()))
}

/// Whether a `kid` is short and free of anything that would need escaping in JSON, a log or a file name.
pub(crate) fn is_plain_kid(kid: &str) -> bool {
    (1..=MAX_KID_BYTES).contains(&kid.len())
        && kid.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// The `kid` that a token names in its header, **not verified**: good only for deciding whether to
/// fetch the JWKS again.
pub fn peek_kid(token: &str) -> Option<String> {
    let header = Decoded::from_part(bounded_parts(token)?.header)?;
    let header: Header<'_> = serde_json::from_slice(header.as_slice()).ok()?;
    is_plain_kid(header.kid).then(|| header.kid.to_owned())
}

/// The claims that a token makes, **not verified**: good only for explaining to an operator why a
/// token was refused.
pub fn peek_unverified_claims(token: &str) -> Option<Claims> {
    let payload = Decoded::from_part(bounded_parts(token)?.payload)?;
    serde_json::from_slice(payload.as_slice()).ok()
}

fn bounded_parts(token: &str) -> Option<Parts<'_>> {
    (token.len() <= MAX_TOKEN_BYTES).then(|| Parts::split(token)).flatten()
}
