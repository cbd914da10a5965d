//! `[tokens]`: keys are read and tried, so that a broken one is found before a port is bound.

use queue_token::SigningKey;

use super::Checker;
use crate::config::keys::MIN_SEAL_BYTES;
use crate::config::raw::{RawAlgorithm, RawKey, RawTokens};
use crate::config::{Algorithm, NamedKey, Tokens};

/// Longest issuer: it is in every token.
const MAX_ISSUER_BYTES: usize = 128;

pub(super) fn check(checker: &mut Checker<'_>, raw: &RawTokens) -> Option<Tokens> {
    let algorithm = match raw.algorithm {
        RawAlgorithm::EdDsa => Algorithm::EdDsa,
        RawAlgorithm::Hs256 => Algorithm::Hs256,
    };
    let issuer_ok =
        (1..=MAX_ISSUER_BYTES).contains(&raw.issuer.len()) && raw.issuer.bytes().all(|b| b.is_ascii_graphic());
    if !issuer_ok {
        checker.mistake("tokens.issuer", format!("must be 1 to {MAX_ISSUER_BYTES} visible ASCII characters"));
    }
    let keys = keys(checker, "tokens.keys", &raw.keys, |key| match algorithm {
        Algorithm::EdDsa => SigningKey::from_pem(&*key.kid, key.expose()).map(drop).map_err(|e| e.to_string()),
        Algorithm::Hs256 => SigningKey::hs256(&*key.kid, key.expose()).map(drop).map_err(|e| e.to_string()),
    });
    let seal_keys = self::keys(checker, "tokens.seal_keys", &raw.seal_keys, |key| {
        let bytes = key.expose().len();
        if bytes >= MIN_SEAL_BYTES {
            return Ok(());
        }
        Err(format!("has {bytes} bytes, at least {MIN_SEAL_BYTES} are needed: `waitroom-proxy keygen` makes one"))
    });
    for (key, given) in [("tokens.keys", raw.keys.len()), ("tokens.seal_keys", raw.seal_keys.len())] {
        if given == 0 {
            checker.warning(
                key,
                "is empty, so one is made at start: after a restart, and at other proxies, nobody's place or \
                 session counts; `waitroom-proxy keygen` makes keys to keep",
            );
        }
    }
    Some(Tokens { issuer: issuer_ok.then(|| raw.issuer.clone())?, algorithm, keys: keys?, seal_keys: seal_keys? })
}

fn keys(
    checker: &mut Checker<'_>,
    key: &str,
    raw: &[RawKey],
    try_out: impl Fn(&NamedKey) -> Result<(), String>,
) -> Option<Vec<NamedKey>> {
    let mut read: Vec<NamedKey> = Vec::with_capacity(raw.len());
    for (i, raw) in raw.iter().enumerate() {
        let kid = raw.kid.as_deref().and_then(|kid| checker.accept(&format!("{key}[{i}].kid"), kid_of(kid)));
        if kid.is_some_and(|kid| read.iter().any(|other| other.kid == kid)) {
            checker.mistake(&format!("{key}[{i}].kid"), "is used by another key: give each its own");
            continue;
        }
        let file_key = format!("{key}[{i}].file");
        let bytes = raw.file.as_deref().and_then(|file| checker.secret_file(&file_key, file));
        let (Some(kid), Some(bytes)) = (kid, bytes) else { continue };
        let named = NamedKey::new(kid, bytes);
        if checker.accept(&file_key, try_out(&named)).is_some() {
            read.push(named);
        }
    }
    (read.len() == raw.len()).then_some(read)
}

fn kid_of(kid: &str) -> Result<&str, String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if (1..=64).contains(&kid.len()) && kid.bytes().all(plain) {
        return Ok(kid);
    }
    Err(format!("{kid:?} must be 1 to 64 of the characters A-Z a-z 0-9 . _ -"))
}
