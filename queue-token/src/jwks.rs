//! The published public keys (RFC 7517, 8037). Must never hold anything secret.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use crate::{KeyError, compact::is_plain_kid, key::ED25519_BYTES};

/// A JSON Web Key Set, as at `/.well-known/jwks.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwks {
    /// The keys, the signing one first.
    pub keys: Vec<Jwk>,
}

/// One public key. Members of kinds of keys that queue tokens never use are not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwk {
    /// Kind of key; `OKP` for Ed25519.
    pub kty: String,
    /// Curve: `Ed25519`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crv: Option<String>,
    /// Name of the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// What for: `sig`.
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    pub usage: Option<String>,
    /// `EdDSA`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alg: Option<String>,
    /// The public key, base64url.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x: Option<String>,
    /// Whether the key came with its private part, which is itself not kept.
    #[serde(rename = "d", default, skip_serializing, deserialize_with = "was_present")]
    pub(crate) has_private_part: bool,
}

impl Jwk {
    pub(crate) fn ed25519(kid: &str, public: &[u8; ED25519_BYTES]) -> Self {
        Self {
            kty: "OKP".to_owned(),
            crv: Some("Ed25519".to_owned()),
            kid: Some(kid.to_owned()),
            usage: Some("sig".to_owned()),
            alg: Some("EdDSA".to_owned()),
            x: Some(URL_SAFE_NO_PAD.encode(public)),
            has_private_part: false,
        }
    }

    /// The key's name and public bytes. `None` for keys of other kinds, which a set may well contain
    /// (RFC 7517 §5) and which then verify nothing.
    pub(crate) fn ed25519_public(&self) -> Result<Option<(&str, [u8; ED25519_BYTES])>, KeyError> {
        if self.has_private_part {
            return Err(KeyError::PrivateJwk);
        }
        let says = |member: &Option<String>, wanted: &str| member.as_deref().is_none_or(|value| value == wanted);
        let ours = self.kty == "OKP"
            && self.crv.as_deref() == Some("Ed25519")
            && says(&self.alg, "EdDSA")
            && says(&self.usage, "sig");
        let Some(kid) = self.kid.as_deref().filter(|kid| ours && is_plain_kid(kid)) else { return Ok(None) };
        let bad = || KeyError::BadJwk { kid: kid.to_owned() };
        let public = URL_SAFE_NO_PAD.decode(self.x.as_deref().ok_or_else(bad)?).map_err(|_| bad())?;
        Ok(Some((kid, public.try_into().map_err(|_| bad())?)))
    }
}

fn was_present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    serde::de::IgnoredAny::deserialize(deserializer).map(|_| true)
}
