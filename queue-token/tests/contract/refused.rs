//! Every way to present a token that is not one.

use crate::craft::*;
use queue_token::{KeyRing, MAX_TOKEN_BYTES, REFUSED, SigningKey, VerifyError};
use serde_json::json;

#[track_caller]
fn refused(token: &str, reason: VerifyError) {
    assert_eq!(verifier().verify(token, ROOM, NOW_S).unwrap_err(), reason, "{token}");
}

#[test]
fn the_crafted_tokens_are_good_when_nothing_is_wrong_with_them() {
    for token in [ed_signed(ED_HEADER, &payload()), hs_signed(HS_HEADER, &payload(), &SECRET)] {
        assert_eq!(verifier().verify(&token, ROOM, NOW_S).unwrap().claims(), &claims());
    }
    // Another signer's order of members, and no `typ`.
    let token = ed_signed(r#"{ "kid":"ed", "alg":"EdDSA" }"#, &payload());
    assert_eq!(verifier().verify(&token, ROOM, NOW_S).unwrap().into_claims(), claims());
}

#[test]
fn refused_alg_none() {
    for alg in ["none", "None", "NONE", ""] {
        let header = format!(r#"{{"alg":"{alg}","kid":"ed","typ":"JWT"}}"#);
        refused(&format!("{}.{}.", b64(&header), b64(payload())), VerifyError::WrongAlgorithm);
        refused(&ed_signed(&header, &payload()), VerifyError::WrongAlgorithm);
    }
    refused(&format!("{}.{}.", b64(ED_HEADER), b64(payload())), VerifyError::BadSignature);
}

#[test]
fn refused_swapped_algorithm() {
    let public = key_ring().jwks().keys.remove(0).x.unwrap();
    let raw = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, &public).unwrap();
    let hs_of_ed = r#"{"alg":"HS256","kid":"ed","typ":"JWT"}"#;
    for secret in [raw.as_slice(), public.as_bytes()] {
        refused(&hs_signed(hs_of_ed, &payload(), secret), VerifyError::WrongAlgorithm);
        // The algorithm is the key's, also when the header agrees with it.
        refused(&hs_signed(ED_HEADER, &payload(), secret), VerifyError::BadSignature);
        refused(&hs_signed(HS_HEADER, &payload(), secret), VerifyError::BadSignature);
    }
    refused(&ed_signed(r#"{"alg":"EdDSA","kid":"hs","typ":"JWT"}"#, &payload()), VerifyError::WrongAlgorithm);
    refused(&ed_signed(HS_HEADER, &payload()), VerifyError::BadSignature);
    for alg in ["HS512", "ES256", "RS256", "eddsa", "Ed25519", "EdDSA "] {
        let header = format!(r#"{{"alg":"{alg}","kid":"ed","typ":"JWT"}}"#);
        refused(&ed_signed(&header, &payload()), VerifyError::WrongAlgorithm);
    }
}

#[test]
fn refused_unknown_kid() {
    for kid in ["other", "", "ED", "ed ", "../ed"] {
        let header = format!(r#"{{"alg":"EdDSA","kid":"{kid}","typ":"JWT"}}"#);
        refused(&ed_signed(&header, &payload()), VerifyError::UnknownKid);
    }
    let header = r#"{"alg":"EdDSA","typ":"JWT"}"#;
    refused(&ed_signed(header, &payload()), VerifyError::Malformed);
}

#[test]
fn refused_signed_with_another_key() {
    let other = KeyRing::new(vec![SigningKey::generate_ed25519("ed").unwrap()]).unwrap();
    refused(&other.sign(&claims()).unwrap(), VerifyError::BadSignature);
    refused(&hs_signed(HS_HEADER, &payload(), &[8; 32]), VerifyError::BadSignature);
}

#[test]
fn refused_header_members_that_change_the_rules() {
    for member in [
        r#""crit":["exp"]"#,
        r#""crit":[]"#,
        r#""b64":false"#,
        r#""jku":"https://evil.example/jwks.json""#,
        r#""jwk":{"kty":"OKP","crv":"Ed25519","x":"AA"}"#,
        r#""x5u":"https://evil.example/""#,
        r#""zip":"DEF""#,
        r#""enc":"A256GCM""#,
        r#""kid":"ed""#,
        r#""alg":"EdDSA""#,
    ] {
        let header = format!(r#"{{"alg":"EdDSA","kid":"ed","typ":"JWT",{member}}}"#);
        refused(&ed_signed(&header, &payload()), VerifyError::Malformed);
    }
    refused(&ed_signed(r#"{"alg":"EdDSA","kid":"ed","typ":"JWE"}"#, &payload()), VerifyError::Malformed);
    for header in ["", "[]", "null", r#"{"alg":"EdDSA","kid":7}"#, r#"{"alg":["EdDSA"],"kid":"ed"}"#] {
        refused(&ed_signed(header, &payload()), VerifyError::Malformed);
    }
}

#[test]
fn refused_missing_claims() {
    for member in ["iss", "aud", "sub", "jti", "iat", "exp", "gen", "seq", "auth_time"] {
        refused(&ed_signed(ED_HEADER, &payload_with(member, None)), VerifyError::BadClaims);
        refused(&ed_signed(ED_HEADER, &payload_with(member, Some(json!(null)))), VerifyError::BadClaims);
    }
}

#[test]
fn refused_doubled_claims() {
    for member in [r#""exp":99999999999"#, r#""aud":"other""#, r#""iss":"waitroom""#, r#""gen":4"#, r#""seq":1"#] {
        let doubled = payload().replacen('{', &format!("{{{member},"), 1);
        refused(&ed_signed(ED_HEADER, &doubled), VerifyError::BadClaims);
    }
}

#[test]
fn refused_claims_of_the_wrong_type() {
    for (member, value) in [
        ("aud", json!(["concert"])),
        ("aud", json!(["concert", "other"])),
        ("iss", json!(["waitroom"])),
        ("exp", json!((NOW_S + 500).to_string())),
        ("exp", json!(1.9e12)),
        ("exp", json!(-1)),
        ("iat", json!(-1)),
        ("seq", json!(1.5)),
        ("gen", json!(true)),
        ("sub", json!(5)),
    ] {
        refused(&ed_signed(ED_HEADER, &payload_with(member, Some(value))), VerifyError::BadClaims);
    }
    for payload in ["", "null", "[]", "\"x\"", "{}", "{"] {
        refused(&ed_signed(ED_HEADER, payload), VerifyError::BadClaims);
    }
    let trailing = format!("{} {{}}", payload());
    refused(&ed_signed(ED_HEADER, &trailing), VerifyError::BadClaims);
}

#[test]
fn i11_refused_in_another_room_or_of_another_issuer() {
    let token = key_ring().sign(&claims()).unwrap();
    for room in ["other", "", "Concert", "concert "] {
        assert_eq!(verifier().verify(&token, room, NOW_S).unwrap_err(), VerifyError::WrongAudience);
    }
    let other = key_ring().verifier("somebody-else");
    assert_eq!(other.verify(&token, ROOM, NOW_S).unwrap_err(), VerifyError::WrongIssuer);
}

#[test]
fn refused_at_the_second_of_exp_and_not_one_before() {
    let token = key_ring().sign(&claims()).unwrap();
    let exp = claims().exp;
    assert!(verifier().verify(&token, ROOM, exp - 1).is_ok());
    for now_s in [exp, exp + 1, u64::MAX] {
        assert_eq!(verifier().verify(&token, ROOM, now_s).unwrap_err(), VerifyError::Expired);
    }
}

#[test]
fn f7_clocks_may_be_two_minutes_apart_and_no_more() {
    let token = key_ring().sign(&claims()).unwrap();
    let iat = claims().iat;
    assert!(verifier().verify(&token, ROOM, iat - 120).is_ok());
    assert_eq!(verifier().verify(&token, ROOM, iat - 121).unwrap_err(), VerifyError::FromTheFuture);
    let later = ed_signed(ED_HEADER, &payload_with("nbf", Some(json!(NOW_S + 121))));
    refused(&later, VerifyError::FromTheFuture);
    let from_now = ed_signed(ED_HEADER, &payload_with("nbf", Some(json!(NOW_S))));
    assert!(verifier().verify(&from_now, ROOM, NOW_S).is_ok());
}

#[test]
fn a_claim_that_a_later_version_adds_is_passed_over() {
    let token = ed_signed(ED_HEADER, &payload_with("tier", Some(json!("gold"))));
    assert!(verifier().verify(&token, ROOM, NOW_S).is_ok());
}

#[test]
fn refused_oversize() {
    let of_sub = |length: usize| ed_signed(ED_HEADER, &payload_with("sub", Some(json!("s".repeat(length)))));
    let too_long = (0..MAX_TOKEN_BYTES).find(|length| of_sub(*length).len() > MAX_TOKEN_BYTES).unwrap();
    let longest = of_sub(too_long - 1);
    // Base64 cannot have every length.
    assert!(longest.len() > MAX_TOKEN_BYTES - 2);
    assert!(verifier().verify(&longest, ROOM, NOW_S).is_ok());
    let token = of_sub(too_long);
    refused(&token, VerifyError::TooLong);
    refused(&"a".repeat(1 << 20), VerifyError::TooLong);
    assert_eq!(queue_token::peek_kid(&token), None);
    assert_eq!(queue_token::peek_unverified_claims(&token), None);
}

#[test]
fn refused_base64_that_is_not_canonical() {
    let good = ed_signed(ED_HEADER, &payload());
    for changed in
        [format!("{good}="), format!("{good}=="), format!("{good}\n"), format!(" {good}"), good.replace('_', "/")]
    {
        if changed != good {
            assert!(verifier().verify(&changed, ROOM, NOW_S).is_err(), "{changed}");
        }
    }
    // 64 bytes end in a character with four unused bits: 15 other characters mean the same bytes.
    let last = good.chars().next_back().unwrap();
    let others = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for other in others.chars().filter(|other| *other != last) {
        let changed = format!("{}{other}", &good[..good.len() - 1]);
        assert!(verifier().verify(&changed, ROOM, NOW_S).is_err(), "{changed}");
    }
    // Well signed over parts that are padded or end in unused bits.
    let header = ED_HEADER.to_owned() + " ";
    refused(&ed_sign_parts(&format!("{}=", b64(&header)), &b64(payload())), VerifyError::Malformed);
    let padded = payload() + &" ".repeat((4 - payload().len() % 3) % 3);
    assert_eq!(padded.len() % 3, 1);
    refused(&ed_sign_parts(&b64(ED_HEADER), &format!("{}==", b64(&padded))), VerifyError::Malformed);
    let mut unused_bits = b64(&padded);
    let end = unused_bits.pop().unwrap();
    unused_bits.push(char::from(end as u8 + 1));
    refused(&ed_sign_parts(&b64(ED_HEADER), &unused_bits), VerifyError::Malformed);
}

#[test]
fn refused_anything_that_is_not_three_parts() {
    let good = ed_signed(ED_HEADER, &payload());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    for token in ["", ".", "..", "...", "a.b", "a.b.c.d", signed, &format!("{good}.x"), &format!("{good}."), "é.é.é"]
    {
        assert!(verifier().verify(token, ROOM, NOW_S).is_err(), "{token}");
    }
    refused(&format!("{signed}."), VerifyError::BadSignature);
    refused(&format!("{signed}.{}", &signature[..84]), VerifyError::BadSignature);
}

#[test]
fn the_public_sentence_is_the_same_for_every_reason() {
    let forged = verifier().verify(&hs_signed(HS_HEADER, &payload(), &[1; 32]), ROOM, NOW_S).unwrap_err();
    let token = key_ring().sign(&claims()).unwrap();
    let expired = verifier().verify(&token, ROOM, u64::MAX).unwrap_err();
    let wrong_room = verifier().verify(&token, "other", NOW_S).unwrap_err();
    for error in [forged, expired, wrong_room] {
        assert_eq!(error.public_sentence(), REFUSED);
        assert!(!error.to_string().contains(&token[..8]));
    }
    assert_ne!(expired, wrong_room);
}
