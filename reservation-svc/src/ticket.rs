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

/// The key that signs tickets. Cheap to clone.
#[derive(Clone)]
pub struct TicketKey(Arc<Inner>);

struct Inner {
    header: Header,
    signing: EncodingKey,
    public: Jwk,
}

impl TicketKey {
    /// Reads an Ed25519 private key in PEM.
    pub fn read(path: &Path) -> Result<Self, TicketKeyError> {
        let pem = std::fs::read(path).map_err(|cause| TicketKeyError::Unreadable { path: path.to_owned(), cause })?;
        Self::from_pem(&pem).map_err(|_| TicketKeyError::NotAKey { path: path.to_owned() })
    }

    /// The same from the text of a file.
    pub fn from_pem(pem: &[u8]) -> Result<Self, jsonwebtoken::errors::Error> {
        let signing = EncodingKey::from_ed_pem(pem)?;
        let mut public = Jwk::from_encoding_key(&signing, Algorithm::EdDSA)?;
        let kid = public.thumbprint(ThumbprintHash::SHA256)?;
        public.common.key_id = Some(kid.clone());
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        let header = Header { typ: Some(TYPE.to_owned()), kid: Some(kid), ..Header::new(Algorithm::EdDSA) };
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

    /// What a gate needs to check tickets: the public key.
    pub fn public_keys(&self) -> JwkSet {
        JwkSet { keys: vec![self.0.public.clone()] }
    }
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
    use chrono::DateTime;
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
