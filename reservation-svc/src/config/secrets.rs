//! Reads secret files. What is in them leaves only wrapped, and never reaches a message.

use std::path::{Path, PathBuf};

use secrecy::{SecretSlice, SecretString};

/// Fewer bytes than the digest has could be guessed more easily than the signature forged.
pub const MIN_SECRET_BYTES: usize = 32;

/// Why a secret file can not be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It can not be read.
    #[error("{key} {}: {cause}; make one with `{how} > {}`", path.display(), path.display())]
    Unreadable {
        /// Which setting names it.
        key: &'static str,
        /// Which file.
        path: PathBuf,
        /// A command that makes one.
        how: &'static str,
        /// Why. Said in the sentence, so not a source: the chain would say it twice.
        cause: std::io::Error,
    },
    /// It is too short to be safe.
    #[error("{key} {}: has {bytes} bytes, at least {MIN_SECRET_BYTES} are needed", path.display())]
    TooShort {
        /// Which setting names it.
        key: &'static str,
        /// Which file.
        path: PathBuf,
        /// How many it has.
        bytes: usize,
    },
    /// It can not stand in a header.
    #[error("{key} {}: must be one line of printable ASCII without spaces", path.display())]
    NotText {
        /// Which setting names it.
        key: &'static str,
        /// Which file.
        path: PathBuf,
    },
}

/// The secret of HS256: the file's raw bytes, all of them.
pub fn hs256_secret(path: &Path) -> Result<SecretSlice<u8>, SecretError> {
    bytes("users.hs256_secret_file", "head -c 32 /dev/urandom", path)
}

/// A secret that is used as raw bytes: all of the file's.
pub fn bytes(key: &'static str, how: &'static str, path: &Path) -> Result<SecretSlice<u8>, SecretError> {
    Ok(SecretSlice::from(long_enough(key, how, path)?))
}

/// A secret that travels as text, such as a bearer's: the file's only line.
pub fn text(key: &'static str, path: &Path) -> Result<SecretString, SecretError> {
    let mut bytes = long_enough(key, "openssl rand -hex 32", path)?;
    while bytes.last().is_some_and(|last| matches!(last, b'\n' | b'\r')) {
        bytes.pop();
    }
    if bytes.len() < MIN_SECRET_BYTES {
        return Err(SecretError::TooShort { key, path: path.to_owned(), bytes: bytes.len() });
    }
    match String::from_utf8(bytes) {
        Ok(text) if text.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(text.into()),
        _ => Err(SecretError::NotText { key, path: path.to_owned() }),
    }
}

fn long_enough(key: &'static str, how: &'static str, path: &Path) -> Result<Vec<u8>, SecretError> {
    let unreadable = |cause| SecretError::Unreadable { key, path: path.to_owned(), how, cause };
    let bytes = std::fs::read(path).map_err(unreadable)?;
    if bytes.len() < MIN_SECRET_BYTES {
        return Err(SecretError::TooShort { key, path: path.to_owned(), bytes: bytes.len() });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn refused_secret_texts() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("s");
        let with = |content: &str| {
            std::fs::write(&file, content).unwrap();
            text("gateway.secret_file", &file)
        };
        let good = "0123456789abcdef0123456789abcdef";
        assert_eq!(with(&format!("{good}\n")).unwrap().expose_secret(), good);
        for (content, said) in [
            (good[1..].to_owned() + "\n", "has 31 bytes"),
            (format!("{good} {good}"), "one line of printable ASCII"),
            (format!("{good}\n{good}"), "one line of printable ASCII"),
            (format!("{good}é"), "one line of printable ASCII"),
        ] {
            let error = with(&content).unwrap_err().to_string();
            assert!(error.contains(said) && !error.contains(&good[..16]), "{error}");
        }
    }
}
