//! Keys, their files, rotation and the JWKS.

use crate::craft::*;
use queue_token::{
    Algorithm, Jwks, KeyError, KeyRing, MAX_KEYS, PemError, SigningKey, Verifier, VerifyError, peek_kid,
};
use serde_json::json;

#[test]
fn f23_a_rotated_key_verifies_until_it_is_dropped() {
    let with = |kids: &[&str]| {
        let key = |kid: &&str| SigningKey::from_pem(*kid, ed_pem(&[kid.as_bytes()[0]; 32]).as_bytes()).unwrap();
        KeyRing::new(kids.iter().map(key).collect()).unwrap()
    };
    let old_token = with(&["old"]).sign(&claims()).unwrap();
    let new_token = with(&["new", "old"]).sign(&claims()).unwrap();
    assert_eq!(peek_kid(&old_token).as_deref(), Some("old"));
    assert_eq!(peek_kid(&new_token).as_deref(), Some("new"));
    for order in [["old", "new"], ["new", "old"]] {
        let ring = with(&order);
        for verifier in [ring.verifier(ISSUER), Verifier::from_jwks(&ring.jwks(), ISSUER).unwrap()] {
            assert!(verifier.verify(&old_token, ROOM, NOW_S).is_ok());
            assert!(verifier.verify(&new_token, ROOM, NOW_S).is_ok());
        }
    }
    let only_new = with(&["new"]).verifier(ISSUER);
    assert!(!only_new.knows_kid("old") && only_new.knows_kid("new"));
    assert_eq!(only_new.verify(&old_token, ROOM, NOW_S).unwrap_err(), VerifyError::UnknownKid);
}

#[test]
fn the_first_key_decides_the_algorithm() {
    let ring = KeyRing::new(vec![hs_key(), ed_key()]).unwrap();
    let token = ring.sign(&claims()).unwrap();
    assert_eq!(peek_kid(&token).as_deref(), Some("hs"));
    assert_eq!(ring.verifier(ISSUER).verify(&token, ROOM, NOW_S).unwrap().claims(), &claims());
    assert_eq!((hs_key().algorithm(), ed_key().algorithm()), (Algorithm::Hs256, Algorithm::EdDsa));
}

#[test]
fn refused_rings() {
    assert_eq!(KeyRing::new(vec![]).unwrap_err(), KeyError::Empty);
    let twice = KeyRing::new(vec![ed_key(), SigningKey::hs256("ed", &SECRET).unwrap()]);
    assert_eq!(twice.unwrap_err(), KeyError::DuplicateKid { kid: "ed".into() });
    let many = (0..=MAX_KEYS).map(|n| SigningKey::hs256(format!("k{n}"), &SECRET).unwrap()).collect();
    assert_eq!(KeyRing::new(many).unwrap_err(), KeyError::TooMany { max: MAX_KEYS });
}

#[test]
fn refused_kids_and_secrets() {
    for kid in ["", "a b", "k\n", "k\"", "k/1", "clé", &"k".repeat(65)] {
        assert_eq!(SigningKey::generate_ed25519(kid).unwrap_err(), KeyError::Kid, "{kid:?}");
        assert_eq!(SigningKey::hs256(kid, &SECRET).unwrap_err(), KeyError::Kid, "{kid:?}");
    }
    let short = SigningKey::hs256("hs", &[0; 31]).unwrap_err();
    assert_eq!(short, KeyError::ShortSecret { kid: "hs".into(), bytes: 31 });
}

#[test]
fn refused_to_sign_what_nobody_would_accept() {
    let long = queue_token::Claims { sub: "s".repeat(1024), ..claims() };
    let error = key_ring().sign(&long).unwrap_err();
    assert!(matches!(error, queue_token::SignError::TooLong { bytes } if bytes > 1024));
}

#[test]
fn a_new_key_survives_its_pem_file() {
    let made = SigningKey::generate_ed25519("k1").unwrap();
    let pem = made.to_pem().unwrap();
    let read = SigningKey::from_pem("k1", pem.as_bytes()).unwrap();
    assert_eq!(read.to_pem(), Some(pem));
    let token = KeyRing::new(vec![read]).unwrap().sign(&claims()).unwrap();
    assert!(KeyRing::new(vec![made]).unwrap().verifier(ISSUER).verify(&token, ROOM, NOW_S).is_ok());
    assert_eq!(hs_key().to_pem(), None);
    let other = SigningKey::generate_ed25519("k1").unwrap();
    assert!(KeyRing::new(vec![other]).unwrap().verifier(ISSUER).verify(&token, ROOM, NOW_S).is_err());
}

#[test]
fn reads_version_1_of_openssl_and_both_forms_of_version_2() {
    let openssl = include_str!("../vectors/openssl_v1.pem");
    assert_eq!(SigningKey::from_pem("k", openssl.as_bytes()).unwrap().to_pem().unwrap(), openssl);

    // RFC 8410 §10.3, with attributes and the public key; its version 1 has the same seed.
    let v2 = SigningKey::from_pem("k", include_bytes!("../vectors/rfc8410_v2.pem")).unwrap();
    let v1 = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    assert_eq!(v2.to_pem().unwrap(), v1);

    let random = ring::rand::SystemRandom::new();
    let ring_v2 = ring::signature::Ed25519KeyPair::generate_pkcs8(&random).unwrap();
    let key = SigningKey::from_pem("k", pem(ring_v2.as_ref()).as_bytes()).unwrap();
    let again = SigningKey::from_pem("k", key.to_pem().unwrap().as_bytes()).unwrap();
    let token = KeyRing::new(vec![again]).unwrap().sign(&claims()).unwrap();
    assert!(KeyRing::new(vec![key]).unwrap().verifier(ISSUER).verify(&token, ROOM, NOW_S).is_ok());

    let windows = format!("comment\r\n{}", openssl.replace('\n', "\r\n"));
    assert!(SigningKey::from_pem("k", windows.as_bytes()).is_ok());
}

#[test]
fn refused_key_files_say_what_is_wrong_and_show_nothing() {
    let good = ed_pem(&SEED);
    let relabelled = |label: &str| good.replace("PRIVATE KEY", label);
    let cases: [(Vec<u8>, PemError); 10] = [
        (vec![], PemError::NotPem),
        (SEED.to_vec(), PemError::NotPem),
        (vec![0xff; 40], PemError::NotPem),
        (relabelled("ENCRYPTED PRIVATE KEY").into(), PemError::Encrypted),
        (relabelled("PUBLIC KEY").into(), PemError::Public),
        (relabelled("RSA PRIVATE KEY").into(), PemError::NotPkcs8),
        (relabelled("OPENSSH PRIVATE KEY").into(), PemError::NotPkcs8),
        (good.repeat(2).into(), PemError::Several),
        (good.split("-----END").next().unwrap().into(), PemError::Damaged),
        (good.replace("MC4C", "MC4!").into(), PemError::Damaged),
    ];
    for (file, reason) in cases {
        let error = SigningKey::from_pem("k1", &file).unwrap_err();
        assert_eq!(error, KeyError::Pem { kid: "k1".into(), source: reason });
        assert!(!format!("{error} {error:?}").contains("MC4C"));
    }
    let public_of_another = include_str!("../vectors/rfc8410_v2.pem").replace("ZuE=", "ZuA=");
    for file in [pem(b"not DER"), pem(&[0x30, 0]), public_of_another] {
        let error = SigningKey::from_pem("k1", file.as_bytes()).unwrap_err();
        assert_eq!(error, KeyError::NotEd25519 { kid: "k1".into() });
    }
}

#[test]
fn debug_shows_no_key() {
    let text = format!("{:?} {:?} {:?} {:?}", ed_key(), hs_key(), key_ring(), verifier());
    assert!(text.contains("\"ed\"") && text.contains("\"hs\""));
    // The seed is all 7, the secret all 9.
    assert!(!text.contains('7') && !text.contains('9'), "{text}");
}

#[test]
fn the_jwks_has_public_ed25519_keys_and_nothing_else() {
    let jwks = serde_json::to_value(key_ring().jwks()).unwrap();
    let x = "6kpsY-KcUgq-9VB7Ey7F-ZVHdq6-vnuSQh7qaRRG0iw";
    assert_eq!(
        jwks,
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "ed", "use": "sig", "alg": "EdDSA", "x": x}]})
    );
    assert_eq!(KeyRing::new(vec![hs_key()]).unwrap().jwks(), Jwks { keys: vec![] });
}

fn jwk(changes: serde_json::Value) -> serde_json::Value {
    let mut jwk = serde_json::to_value(&key_ring().jwks().keys[0]).unwrap();
    for (member, value) in changes.as_object().unwrap() {
        jwk[member] = value.clone();
    }
    jwk
}

fn from_jwks(keys: Vec<serde_json::Value>) -> Result<Verifier, KeyError> {
    let jwks: Jwks = serde_json::from_value(json!({ "keys": keys })).unwrap();
    Verifier::from_jwks(&jwks, ISSUER)
}

#[test]
fn keys_of_other_kinds_in_a_jwks_are_passed_over() {
    let token = key_ring().sign(&claims()).unwrap();
    let others = [
        json!({"kty": "RSA", "kid": "ed", "n": "AQAB", "e": "AQAB", "use": "sig", "alg": "RS256"}),
        json!({"kty": "oct", "kid": "ed", "k": "AAAA"}),
        json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}),
        jwk(json!({"crv": "X25519"})),
        jwk(json!({"use": "enc"})),
        jwk(json!({"alg": "HS256"})),
        jwk(json!({"kid": null})),
        jwk(json!({"kid": "not plain"})),
    ];
    for other in &others {
        assert_eq!(from_jwks(vec![other.clone()]).unwrap_err(), KeyError::NoUsableJwk, "{other}");
    }
    let mut keys = others.to_vec();
    keys.push(jwk(json!({})));
    assert!(from_jwks(keys).unwrap().verify(&token, ROOM, NOW_S).is_ok());
    // `alg` and `use` are optional members.
    assert!(from_jwks(vec![jwk(json!({"alg": null, "use": null}))]).unwrap().verify(&token, ROOM, NOW_S).is_ok());
}

#[test]
fn refused_jwks() {
    assert_eq!(from_jwks(vec![]).unwrap_err(), KeyError::NoUsableJwk);
    let same = KeyError::DuplicateKid { kid: "ed".into() };
    assert_eq!(from_jwks(vec![jwk(json!({})), jwk(json!({}))]).unwrap_err(), same);
    assert_eq!(from_jwks(vec![jwk(json!({"d": "AAAA"}))]).unwrap_err(), KeyError::PrivateJwk);
    for x in [json!(null), json!(""), json!("AAAA"), json!("6kpsY-KcUgq-9VB7Ey7F-ZVHdq6-vnuSQh7qaRRG0iw="), json!("!")]
    {
        assert_eq!(from_jwks(vec![jwk(json!({ "x": x }))]).unwrap_err(), KeyError::BadJwk { kid: "ed".into() });
    }
}

#[test]
fn a_jwks_never_verifies_hs256() {
    let jwks = key_ring().jwks();
    let verifier = Verifier::from_jwks(&jwks, ISSUER).unwrap();
    let hs_token = hs_signed(HS_HEADER, &payload(), &SECRET);
    assert_eq!(verifier.verify(&hs_token, ROOM, NOW_S).unwrap_err(), VerifyError::UnknownKid);
}

#[test]
fn peeking_needs_no_key_and_survives_garbage() {
    let token = key_ring().sign(&claims()).unwrap();
    assert_eq!(queue_token::peek_unverified_claims(&token), Some(claims()));
    for garbage in ["", ".", "..", "a.b.c", "e30.e30.", "\u{0}.\u{0}.\u{0}"] {
        assert_eq!(peek_kid(garbage), None);
        assert_eq!(queue_token::peek_unverified_claims(garbage), None);
    }
}
