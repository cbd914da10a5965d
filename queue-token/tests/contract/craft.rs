//! Tokens with exactly one thing wrong: header and payload as written, the signature always true.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use queue_token::{Claims, KeyRing, SigningKey, Verifier};
use ring::{hmac, signature::Ed25519KeyPair};

/// The time at which these tests play.
pub(crate) const NOW_S: u64 = 1_795_161_700;
pub(crate) const ISSUER: &str = "waitroom";
pub(crate) const ROOM: &str = "concert";

/// The key named `ed`, and the one named `hs`.
pub(crate) const SEED: [u8; 32] = [7; 32];
pub(crate) const SECRET: [u8; 32] = [9; 32];

pub(crate) const ED_HEADER: &str = r#"{"alg":"EdDSA","kid":"ed","typ":"JWT"}"#;
pub(crate) const HS_HEADER: &str = r#"{"alg":"HS256","kid":"hs","typ":"JWT"}"#;

pub(crate) fn claims() -> Claims {
    Claims {
        iss: ISSUER.into(),
        aud: ROOM.into(),
        sub: "Gk3vV0cVbGmQ0pXz".into(),
        jti: "01JQ8Z4T7M".into(),
        iat: NOW_S - 100,
        exp: NOW_S + 500,
        generation: 3,
        seq: 88_123,
        auth_time: NOW_S - 700,
    }
}

pub(crate) fn payload() -> String {
    serde_json::to_string(&claims()).unwrap()
}

/// `claims()` with one member replaced, or taken out with `None`.
pub(crate) fn payload_with(member: &str, value: Option<serde_json::Value>) -> String {
    let mut claims = serde_json::to_value(claims()).unwrap();
    let members = claims.as_object_mut().unwrap();
    match value {
        Some(value) => members.insert(member.to_owned(), value),
        None => members.remove(member),
    };
    claims.to_string()
}

pub(crate) fn ed_key() -> SigningKey {
    SigningKey::from_pem("ed", ed_pem(&SEED).as_bytes()).unwrap()
}

pub(crate) fn hs_key() -> SigningKey {
    SigningKey::hs256("hs", &SECRET).unwrap()
}

pub(crate) fn ed_pem(seed: &[u8; 32]) -> String {
    let mut der = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    der.extend_from_slice(seed);
    pem(&der)
}

pub(crate) fn pem(der: &[u8]) -> String {
    let base64 = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN PRIVATE KEY-----\n{base64}\n-----END PRIVATE KEY-----\n")
}

/// Both keys; the Ed25519 one signs.
pub(crate) fn key_ring() -> KeyRing {
    KeyRing::new(vec![ed_key(), hs_key()]).unwrap()
}

pub(crate) fn verifier() -> Verifier {
    key_ring().verifier(ISSUER)
}

pub(crate) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A token signed with the key `ed`, whatever its header says.
pub(crate) fn ed_signed(header: &str, payload: &str) -> String {
    ed_sign_parts(&b64(header), &b64(payload))
}

/// The same from parts that are encoded already.
pub(crate) fn ed_sign_parts(header: &str, payload: &str) -> String {
    let signed = format!("{header}.{payload}");
    let signature = Ed25519KeyPair::from_seed_unchecked(&SEED).unwrap().sign(signed.as_bytes());
    format!("{signed}.{}", b64(signature))
}

/// A token with an HMAC under any secret, whatever its header says.
pub(crate) fn hs_signed(header: &str, payload: &str, secret: &[u8]) -> String {
    let signed = format!("{}.{}", b64(header), b64(payload));
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes());
    format!("{signed}.{}", b64(signature))
}
