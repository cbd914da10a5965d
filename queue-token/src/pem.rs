//! Ed25519 private keys in PKCS#8 PEM (RFC 5958, 7468, 8410): one block in, one block out.
//! Must not put the file's content into an error.

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::key::ED25519_BYTES;

/// Why a file is not a PEM file with one private key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// Raw bytes, DER, an empty file, …
    #[error("not a PEM file (no line `-----BEGIN PRIVATE KEY-----`)")]
    NotPem,
    /// The key is protected by a password.
    #[error("the private key is encrypted; decrypt it first (`openssl pkey -in FILE -out FILE`)")]
    Encrypted,
    /// A public key or certificate where the private key is needed.
    #[error("this file has a public key or certificate; the private key is needed")]
    Public,
    /// Another kind of private key file: RSA, EC, OpenSSH.
    #[error("not PKCS#8; convert it (`openssl pkcs8 -topk8 -nocrypt`)")]
    NotPkcs8,
    /// More than one block: which one is meant would be a guess.
    #[error("more than one PEM block in the file")]
    Several,
    /// No end line, or not base64 in between.
    #[error("the PEM block is damaged")]
    Damaged,
}

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";
const LABEL: &str = "PRIVATE KEY";

/// PKCS#8 version 1 of an Ed25519 key, up to where the seed stands (RFC 8410 §7). Version 1, since
/// version 2 (with the public key) is what older OpenSSL cannot read.
const PKCS8_V1: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// What stands in front of the seed in either version: the algorithm, and two octet strings.
const BEFORE_SEED: &[u8] = PKCS8_V1.split_at(5).1;

/// The DER in the only block of a PEM file.
pub(crate) fn decode_private_key(pem: &[u8]) -> Result<Vec<u8>, PemError> {
    let text = std::str::from_utf8(pem).map_err(|_| PemError::NotPem)?;
    let mut lines = text.lines().map(str::trim);
    // Text before the block is a comment (RFC 7468 §2).
    let label = lines.find_map(|line| line.strip_prefix(BEGIN)?.strip_suffix(DASHES)).ok_or(PemError::NotPem)?;
    check_label(label)?;
    let end = format!("-----END {LABEL}-----");
    let mut base64 = String::new();
    loop {
        match lines.next() {
            None => return Err(PemError::Damaged),
            Some(line) if line == end => break,
            Some(line) => base64.push_str(line),
        }
    }
    if lines.any(|line| line.starts_with(BEGIN)) {
        return Err(PemError::Several);
    }
    STANDARD.decode(base64).map_err(|_| PemError::Damaged)
}

fn check_label(label: &str) -> Result<(), PemError> {
    match label {
        LABEL => Ok(()),
        "ENCRYPTED PRIVATE KEY" => Err(PemError::Encrypted),
        "PUBLIC KEY" | "CERTIFICATE" | "RSA PUBLIC KEY" => Err(PemError::Public),
        _ => Err(PemError::NotPkcs8),
    }
}

/// The seed in PKCS#8 that ring has already accepted as an Ed25519 key.
pub(crate) fn ed25519_seed(der: &[u8]) -> Option<[u8; ED25519_BYTES]> {
    let start = der.windows(BEFORE_SEED.len()).position(|window| window == BEFORE_SEED)?;
    der.get(start + BEFORE_SEED.len()..)?.first_chunk().copied()
}

/// A PEM file with this key.
pub(crate) fn encode_ed25519(seed: &[u8; ED25519_BYTES]) -> String {
    let mut der = [0; PKCS8_V1.len() + ED25519_BYTES];
    let (head, tail) = der.split_at_mut(PKCS8_V1.len());
    head.copy_from_slice(&PKCS8_V1);
    tail.copy_from_slice(seed);
    // 48 bytes are 64 characters: exactly one line.
    format!("-----BEGIN {LABEL}-----\n{}\n-----END {LABEL}-----\n", STANDARD.encode(der))
}
