//! Tokens that another implementation made from fixed keys and claims: byte for byte what we make.

use queue_token::{Claims, Jwks, KeyRing, SigningKey, Verifier};
use serde::Deserialize;

#[derive(Deserialize)]
struct Vector {
    kid: String,
    private_key_pem: Option<String>,
    secret_hex: Option<String>,
    claims: Claims,
    token: String,
    jwks: Jwks,
}

impl Vector {
    fn key(&self) -> SigningKey {
        match (&self.private_key_pem, &self.secret_hex) {
            (Some(pem), None) => SigningKey::from_pem(&self.kid, pem.as_bytes()).unwrap(),
            (None, Some(hex)) => {
                let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
                let secret: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
                SigningKey::hs256(&self.kid, &secret).unwrap()
            }
            _ => panic!("a vector has either a private key or a secret"),
        }
    }
}

fn check(json: &str) -> Vector {
    let vector: Vector = serde_json::from_str(json).unwrap();
    let ring = KeyRing::new(vec![vector.key()]).unwrap();
    assert_eq!(ring.sign(&vector.claims).unwrap(), vector.token);
    assert_eq!(ring.jwks(), vector.jwks);
    let verified = ring.verifier("waitroom").verify(&vector.token, "concert", vector.claims.iat).unwrap();
    assert_eq!(verified.claims(), &vector.claims);
    vector
}

#[test]
fn eddsa() {
    let vector = check(include_str!("../vectors/eddsa.json"));
    assert_eq!(vector.key().to_pem(), vector.private_key_pem);
    let from_jwks = Verifier::from_jwks(&vector.jwks, "waitroom").unwrap();
    assert!(from_jwks.verify(&vector.token, "concert", vector.claims.iat).is_ok());
}

#[test]
fn hs256() {
    check(include_str!("../vectors/hs256.json"));
}
