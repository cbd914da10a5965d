//! For all claims and keys: what was signed comes back, and nothing that was changed does.

use crate::craft::{self, ed_pem, verifier};
use proptest::{collection::vec, prelude::*};
use queue_token::{Claims, KeyRing, SigningKey, Verifier, peek_kid, peek_unverified_claims};

prop_compose! {
    fn any_claims()(
        iss in "\\PC{0,12}", aud in "\\PC{0,12}", sub in ".{0,16}", jti in ".{0,16}",
        iat in 0..=u64::MAX, exp in 1..=u64::MAX, generation: u64, seq: u64, auth_time: u64,
    ) -> Claims {
        Claims { iss, aud, sub, jti, iat: iat.min(exp - 1), exp, generation, seq, auth_time }
    }
}

fn any_ring() -> impl Strategy<Value = KeyRing> {
    (any::<bool>(), any::<[u8; 32]>(), "[A-Za-z0-9._-]{1,64}").prop_map(|(ed, bytes, kid)| {
        let key =
            if ed { SigningKey::from_pem(kid, ed_pem(&bytes).as_bytes()) } else { SigningKey::hs256(kid, &bytes) };
        KeyRing::new(vec![key.unwrap()]).unwrap()
    })
}

proptest! {
    #[test]
    fn round_trip(claims in any_claims(), ring in any_ring()) {
        let token = ring.sign(&claims).unwrap();
        let verifier = ring.verifier(&claims.iss);
        for now_s in [claims.iat, claims.exp - 1] {
            let verified = verifier.verify(&token, &claims.aud, now_s).unwrap();
            prop_assert_eq!(verified.claims(), &claims);
        }
        prop_assert!(verifier.verify(&token, &claims.aud, claims.exp).is_err());
        prop_assert!(verifier.knows_kid(&peek_kid(&token).unwrap()));
        prop_assert_eq!(peek_unverified_claims(&token), Some(claims.clone()));
        if let Ok(from_jwks) = Verifier::from_jwks(&ring.jwks(), &claims.iss) {
            prop_assert!(from_jwks.verify(&token, &claims.aud, claims.iat).is_ok());
        }
    }

    #[test]
    fn any_changed_byte_is_refused(
        claims in any_claims(), ring in any_ring(), place: prop::sample::Index, bit in 0..7u8,
    ) {
        let mut bytes = ring.sign(&claims).unwrap().into_bytes();
        let place = place.index(bytes.len());
        bytes[place] ^= 1 << bit;
        let changed = String::from_utf8(bytes).unwrap();
        prop_assert!(ring.verifier(&claims.iss).verify(&changed, &claims.aud, claims.iat).is_err());
    }

    #[test]
    fn any_cut_is_refused(claims in any_claims(), ring in any_ring(), place: prop::sample::Index) {
        let token = ring.sign(&claims).unwrap();
        let cut = &token[..place.index(token.len())];
        prop_assert!(ring.verifier(&claims.iss).verify(cut, &claims.aud, claims.iat).is_err());
    }

    #[test]
    fn garbage_never_panics(text in ".{0,200}", parts in vec(vec(any::<u8>(), 0..90), 3)) {
        let encoded: Vec<String> = parts.iter().map(craft::b64).collect();
        for token in [text, encoded.join(".")] {
            prop_assert!(verifier().verify(&token, craft::ROOM, craft::NOW_S).is_err());
            peek_kid(&token);
            peek_unverified_claims(&token);
        }
    }

    #[test]
    fn garbage_key_files_never_panic(file in vec(any::<u8>(), 0..120), der in vec(any::<u8>(), 0..90)) {
        prop_assert!(SigningKey::from_pem("k", &file).is_err());
        prop_assert!(SigningKey::from_pem("k", craft::pem(&der).as_bytes()).is_err());
    }
}
