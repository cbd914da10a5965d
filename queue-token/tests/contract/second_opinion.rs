//! The `jsonwebtoken` crate accepts what we sign, and we accept what it signs.

use crate::craft::*;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode, jwk::JwkSet};
use queue_token::{Claims, KeyRing};

fn validation(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[ROOM]);
    // These tests play at a fixed time.
    validation.validate_exp = false;
    validation
}

#[test]
fn it_verifies_our_tokens_from_the_jwks() {
    let ring = key_ring();
    let jwks: JwkSet = serde_json::from_str(&serde_json::to_string(&ring.jwks()).unwrap()).unwrap();
    let key = DecodingKey::from_jwk(jwks.find("ed").unwrap()).unwrap();
    let token = ring.sign(&claims()).unwrap();
    let theirs = decode::<Claims>(&token, &key, &validation(Algorithm::EdDSA)).unwrap();
    assert_eq!(theirs.claims, claims());
    assert_eq!(theirs.header.kid.as_deref(), Some("ed"));
}

#[test]
fn it_verifies_our_hs256_tokens() {
    let token = KeyRing::new(vec![hs_key()]).unwrap().sign(&claims()).unwrap();
    let key = DecodingKey::from_secret(&SECRET);
    assert_eq!(decode::<Claims>(&token, &key, &validation(Algorithm::HS256)).unwrap().claims, claims());
}

#[test]
fn we_verify_its_tokens() {
    let pem = ed_key().to_pem().unwrap();
    for (algorithm, kid, key) in [
        (Algorithm::EdDSA, "ed", EncodingKey::from_ed_pem(pem.as_bytes()).unwrap()),
        (Algorithm::HS256, "hs", EncodingKey::from_secret(&SECRET)),
    ] {
        let header = Header { kid: Some(kid.to_owned()), ..Header::new(algorithm) };
        let token = encode(&header, &claims(), &key).unwrap();
        assert_eq!(verifier().verify(&token, ROOM, NOW_S).unwrap().claims(), &claims());
    }
}
