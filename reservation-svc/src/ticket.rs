//! Tickets: signed so that a gate without a network can check them, and drawn as a QR code. No database, no clock.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use qrcode::render::svg;
use qrcode::{EcLevel, QrCode};
use serde::{Deserialize, Serialize};

use crate::ledger::tickets::Admits;

/// Who signs. A gate accepts no other token of ours as a ticket.
pub const ISSUER: &str = "reservation-svc";

/// What the token is for, in its header: a ticket can not pass for a user's token, or the other way.
const TYPE: &str = "ticket+jwt";

/// Good until so long after the beginning, seconds: doors close late.
const GOOD_AFTER_START_S: i64 = 24 * 3_600;

/// Side of the drawn code, CSS pixels, at least.
const SIDE_PX: u32 = 320;

/// Why there is no ticket key.
#[derive(Debug, thiserror::Error)]
pub enum TicketKeyError {
    /// The file can not be read.
    #[error("tickets.key_file {}: {cause}; make one with `openssl genpkey -algorithm ed25519 -out {}`", path.display(), path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why. Said in the sentence, so not a source: the chain would say it twice.
        cause: std::io::Error,
    },
    /// It holds no Ed25519 private key.
    #[error("tickets.key_file {}: not an Ed25519 private key in PEM (openssl genpkey -algorithm ed25519)", path.display())]
    NotAKey {
        /// Which file.
        path: PathBuf,
    },
    /// A retired key's file can not be read.
    #[error("tickets.old_key_files {}: {cause}", path.display())]
    UnreadableOld {
        /// Which file.
        path: PathBuf,
        /// Why. Said in the sentence, so not a source: the chain would say it twice.
        cause: std::io::Error,
    },
    /// It holds neither half of an Ed25519 key.
    #[error("tickets.old_key_files {}: not an Ed25519 key in PEM, public (openssl pkey -pubout) or private", path.display())]
    NotAnOldKey {
        /// Which file.
        path: PathBuf,
    },
}

/// Why a ticket could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TicketError {
    /// It could not be signed.
    #[error("the ticket could not be signed: {0}")]
    Sign(jsonwebtoken::errors::Error),
    /// More seats than a QR code has room for.
    #[error("the ticket has too many seats for a QR code: {0}")]
    TooLong(qrcode::types::QrError),
}

/// What a ticket says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketClaims {
    /// [`ISSUER`].
    pub iss: String,
    /// The reservation's id.
    pub sub: String,
    /// The evening.
    pub schedule_id: i64,
    /// When it begins, seconds since 1970.
    pub starts_at: i64,
    /// The seats that it admits to.
    pub seats: Vec<String>,
    /// When the reservation was made.
    pub iat: i64,
    /// When the ticket is worth nothing any more.
    pub exp: i64,
}

/// The key that signs tickets, and those that did before. Cheap to clone.
#[derive(Clone)]
pub struct TicketKey(Arc<Inner>);

struct Inner {
    header: Header,
    signing: EncodingKey,
    /// Its public half first, then those of retired keys.
    public: Vec<Jwk>,
}

impl TicketKey {
    /// Reads an Ed25519 private key in PEM.
    pub fn read(path: &Path) -> Result<Self, TicketKeyError> {
        Self::read_with_old(path, &[])
    }

    /// The same with keys that signed tickets before, of which the public half in PEM is enough.
    pub fn read_with_old(path: &Path, old: &[PathBuf]) -> Result<Self, TicketKeyError> {
        let pem = std::fs::read(path).map_err(|cause| TicketKeyError::Unreadable { path: path.to_owned(), cause })?;
        let old = old.iter().map(|path| read_old(path)).collect::<Result<Vec<_>, _>>()?;
        Self::new(&pem, old).map_err(|_| TicketKeyError::NotAKey { path: path.to_owned() })
    }

    /// The same from the text of a file.
    pub fn from_pem(pem: &[u8]) -> Result<Self, jsonwebtoken::errors::Error> {
        Self::new(pem, Vec::new())
    }

    fn new(pem: &[u8], old: Vec<Jwk>) -> Result<Self, jsonwebtoken::errors::Error> {
        let signing = EncodingKey::from_ed_pem(pem)?;
        let current = named(Jwk::from_encoding_key(&signing, Algorithm::EdDSA)?)?;
        let kid = current.common.key_id.clone();
        let header = Header { typ: Some(TYPE.to_owned()), kid, ..Header::new(Algorithm::EdDSA) };
        let mut public = vec![current];
        for key in old {
            // The current one may be listed already, for the day on which it is retired.
            if public.iter().all(|known| known.common.key_id != key.common.key_id) {
                public.push(key);
            }
        }
        Ok(Self(Arc::new(Inner { header, signing, public })))
    }

    /// The ticket of a reservation. The same each time: nothing in it depends on when it was made.
    pub fn sign(&self, admits: &Admits) -> Result<String, TicketError> {
        let claims = TicketClaims {
            iss: ISSUER.to_owned(),
            sub: admits.reservation_id.to_string(),
            schedule_id: admits.schedule_id,
            starts_at: admits.starts_at.timestamp(),
            seats: admits.seats.clone(),
            iat: admits.reserved_at.timestamp(),
            exp: admits.starts_at.timestamp().saturating_add(GOOD_AFTER_START_S),
        };
        encode(&self.0.header, &claims, &self.0.signing).map_err(TicketError::Sign)
    }

    /// What a gate needs to check tickets: the public keys, that of the key that signs first.
    pub fn public_keys(&self) -> JwkSet {
        JwkSet { keys: self.0.public.clone() }
    }
}

fn read_old(path: &Path) -> Result<Jwk, TicketKeyError> {
    let pem = std::fs::read(path).map_err(|cause| TicketKeyError::UnreadableOld { path: path.to_owned(), cause })?;
    let private = || EncodingKey::from_ed_pem(&pem).and_then(|key| Jwk::from_encoding_key(&key, Algorithm::EdDSA));
    let public = || DecodingKey::from_ed_pem(&pem).and_then(|key| Jwk::from_decoding_key(&key, Some(Algorithm::EdDSA)));
    let key = private().or_else(|_| public()).and_then(named);
    key.map_err(|_| TicketKeyError::NotAnOldKey { path: path.to_owned() })
}

/// Named by its thumbprint, which both halves have in common.
fn named(mut key: Jwk) -> Result<Jwk, jsonwebtoken::errors::Error> {
    key.common.key_id = Some(key.thumbprint(ThumbprintHash::SHA256)?);
    key.common.public_key_use = Some(PublicKeyUse::Signature);
    Ok(key)
}

/// What a gate does: the claims of a ticket whose signature, type and issuer are right. Time is the gate's matter.
pub fn check(token: &str, keys: &JwkSet) -> Result<TicketClaims, jsonwebtoken::errors::Error> {
    let header = jsonwebtoken::decode_header(token)?;
    let refused = || jsonwebtoken::errors::Error::from(jsonwebtoken::errors::ErrorKind::InvalidToken);
    if header.typ.as_deref() != Some(TYPE) {
        return Err(refused());
    }
    let key = header.kid.as_deref().and_then(|kid| keys.find(kid)).ok_or_else(refused)?;
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.validate_exp = false;
    validation.set_issuer(&[ISSUER]);
    Ok(decode(token, &DecodingKey::from_jwk(key)?, &validation)?.claims)
}

/// The ticket as a QR code, an SVG document. The most forgiving one that has room.
pub fn qr_svg(token: &str) -> Result<String, TicketError> {
    let code = QrCode::with_error_correction_level(token, EcLevel::M)
        .or_else(|_| QrCode::with_error_correction_level(token, EcLevel::L))
        .map_err(TicketError::TooLong)?;
    Ok(code.render::<svg::Color<'_>>().min_dimensions(SIDE_PX, SIDE_PX).build())
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use chrono::DateTime;
    use jsonwebtoken::jwk::AlgorithmParameters;
    use uuid::Uuid;

    use super::*;

    fn key() -> TicketKey {
        let pem = queue_token::SigningKey::generate_ed25519("t").unwrap().to_pem().unwrap();
        TicketKey::from_pem(pem.as_bytes()).unwrap()
    }

    fn admits(seats: usize) -> Admits {
        Admits {
            reservation_id: Uuid::nil(),
            schedule_id: 1,
            starts_at: DateTime::from_timestamp(1_800_000_000, 0).unwrap(),
            seats: (1..=seats).map(|seat| format!("A-{seat}")).collect(),
            reserved_at: DateTime::from_timestamp(1_790_000_000, 0).unwrap(),
            cancelled: false,
            token: None,
        }
    }

    #[test]
    fn a_gate_reads_what_was_signed_and_nothing_else() {
        let (ours, other) = (key(), key());
        let token = ours.sign(&admits(2)).unwrap();
        let claims = check(&token, &ours.public_keys()).unwrap();
        assert_eq!((claims.seats, claims.exp), (vec!["A-1".to_owned(), "A-2".to_owned()], 1_800_086_400));
        assert_eq!(token, ours.sign(&admits(2)).unwrap(), "the same each time");
        assert!(check(&token, &other.public_keys()).is_err());
        let (head, signature) = token.rsplit_once('.').unwrap();
        assert!(check(&format!("{head}x.{signature}"), &ours.public_keys()).is_err());
        let plain = encode(&Header::new(Algorithm::EdDSA), &serde_json::json!({}), &ours.0.signing).unwrap();
        assert!(check(&plain, &ours.public_keys()).is_err(), "another token of the same key is no ticket");
    }

    #[test]
    fn tickets_of_a_retired_key_are_good_and_its_public_half_is_enough() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            path
        };
        let pem = || queue_token::SigningKey::generate_ed25519("t").unwrap().to_pem().unwrap();
        let (old, older, new) = (pem(), pem(), pem());
        let tickets = [&old, &older].map(|pem| TicketKey::from_pem(pem.as_bytes()).unwrap().sign(&admits(1)).unwrap());
        let key = TicketKey::from_pem(older.as_bytes()).unwrap();
        let AlgorithmParameters::OctetKeyPair(half) = &key.0.public[0].algorithm else { panic!("no key pair") };
        // What `openssl pkey -pubout` writes: the algorithm's DER in front of the 32 bytes.
        let mut der = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
        der.extend(URL_SAFE_NO_PAD.decode(&half.x).unwrap());
        let public = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der));
        let (current, older) = (file("new.pem", &new), file("older.pub", &public));
        let old = file("old.pem", &old);

        let key = TicketKey::read_with_old(&current, &[old.clone(), older, current.clone()]).unwrap();
        assert_eq!(key.public_keys().keys.len(), 3);
        for ticket in &tickets {
            assert!(check(ticket, &key.public_keys()).is_ok());
            assert!(check(ticket, &TicketKey::read(&current).unwrap().public_keys()).is_err());
        }
        let signed = key.sign(&admits(1)).unwrap();
        assert!(check(&signed, &TicketKey::read(&current).unwrap().public_keys()).is_ok(), "the new one signs");

        let garbage = file("garbage", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n");
        let refused = |old: PathBuf| TicketKey::read_with_old(&current, &[old]).err().unwrap().to_string();
        assert!(refused(garbage).contains("not an Ed25519 key"));
        assert!(refused(folder.path().join("nowhere")).starts_with("tickets.old_key_files "));
    }

    #[test]
    fn a_ticket_is_a_picture_also_with_many_seats() {
        for seats in [1, 4, 100] {
            let svg = qr_svg(&key().sign(&admits(seats)).unwrap()).unwrap();
            assert!(svg.contains("<svg") && svg.len() < 200_000, "{seats} seats: {} bytes", svg.len());
        }
        assert!(matches!(qr_svg(&"x".repeat(5_000)), Err(TicketError::TooLong(_))));
    }

    #[test]
    fn refused_keys() {
        assert!(matches!(TicketKey::read(Path::new("/nowhere")), Err(TicketKeyError::Unreadable { .. })));
        assert!(TicketKey::from_pem(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").is_err());
    }
}
