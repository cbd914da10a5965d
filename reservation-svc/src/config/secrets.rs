//! Reads secret files. What is in them leaves only wrapped, and never reaches a message.

use std::path::{Path, PathBuf};

use secrecy::SecretSlice;

/// Fewer bytes than the digest has could be guessed more easily than the signature forged.
pub const MIN_SECRET_BYTES: usize = 32;

/// Why a secret file can not be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It can not be read.
    #[error("users.hs256_secret_file {}: {cause}; make one with `head -c 32 /dev/urandom > {}`", path.display(), path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why. Said in the sentence, so not a source: the chain would say it twice.
        cause: std::io::Error,
    },
    /// It is too short to be safe.
    #[error("users.hs256_secret_file {}: has {bytes} bytes, at least {MIN_SECRET_BYTES} are needed", path.display())]
    TooShort {
        /// Which file.
        path: PathBuf,
        /// How many it has.
        bytes: usize,
    },
}

/// The secret of HS256: the file's raw bytes, all of them.
pub fn hs256_secret(path: &Path) -> Result<SecretSlice<u8>, SecretError> {
    let bytes = std::fs::read(path).map_err(|cause| SecretError::Unreadable { path: path.to_owned(), cause })?;
    if bytes.len() < MIN_SECRET_BYTES {
        return Err(SecretError::TooShort { path: path.to_owned(), bytes: bytes.len() });
    }
    Ok(SecretSlice::from(bytes))
}
