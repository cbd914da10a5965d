//! `keygen`: key files that only their owner can read. Overwrites nothing: an old key still verifies tokens.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use queue_token::SigningKey;
use ring::rand::{SecureRandom as _, SystemRandom};

use super::print;
use crate::config::MIN_SEAL_BYTES;

#[derive(Debug, Args)]
pub(super) struct KeygenArgs {
    /// Where to write; made if it is missing.
    #[arg(value_name = "FOLDER", default_value = "secrets")]
    folder: PathBuf,
    /// Id of the signing key.
    #[arg(long, default_value = "k1")]
    kid: String,
    /// Id of the seal key.
    #[arg(long, value_name = "KID", default_value = "s1")]
    seal_kid: String,
    /// How tokens will be signed.
    #[arg(long, value_enum, default_value = "EdDSA")]
    algorithm: KeygenAlgorithm,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum KeygenAlgorithm {
    #[value(name = "EdDSA")]
    EdDsa,
    #[value(name = "HS256")]
    Hs256,
}

/// Writes both files, or neither when one is there already.
pub(super) fn keygen(args: &KeygenArgs) -> ExitCode {
    match write_keys(args) {
        Ok(text) => print::line(&text),
        Err(sentence) => print::failure(1, &sentence),
    }
}

fn write_keys(args: &KeygenArgs) -> Result<String, String> {
    let (signing, extension) = match args.algorithm {
        KeygenAlgorithm::EdDsa => (ed25519(&args.kid)?, "pem"),
        KeygenAlgorithm::Hs256 => {
            let secret = random()?;
            SigningKey::hs256(&*args.kid, &secret).map_err(|error| error.to_string())?;
            (secret, "key")
        }
    };
    // The same rule for both names: they become file names.
    SigningKey::hs256(&*args.seal_kid, &[0; MIN_SEAL_BYTES]).map_err(|error| error.to_string())?;
    let signing_file = args.folder.join(format!("{}.{extension}", args.kid));
    let seal_file = args.folder.join(format!("{}.key", args.seal_kid));
    if signing_file == seal_file {
        return Err("both keys would be written to one file: give them different ids".to_owned());
    }
    for file in [&signing_file, &seal_file] {
        if file.symlink_metadata().is_ok() {
            return Err(format!("{} exists and is not overwritten: choose another kid or folder", file.display()));
        }
    }
    make_folder(&args.folder)?;
    write_new(&signing_file, &signing)?;
    write_new(&seal_file, &random()?)?;
    let algorithm = match args.algorithm {
        KeygenAlgorithm::EdDsa => "EdDSA",
        KeygenAlgorithm::Hs256 => "HS256",
    };
    Ok(format!(
        "# Paths in a config are relative to the config file.\n\
         [tokens]\n\
         algorithm = \"{algorithm}\"\n\
         keys = [{{ kid = \"{}\", file = {:?} }}]\n\
         seal_keys = [{{ kid = \"{}\", file = {:?} }}]",
        args.kid,
        signing_file.display().to_string(),
        args.seal_kid,
        seal_file.display().to_string()
    ))
}

fn ed25519(kid: &str) -> Result<Vec<u8>, String> {
    let key = SigningKey::generate_ed25519(kid).map_err(|error| error.to_string())?;
    key.to_pem().map(String::into_bytes).ok_or_else(|| "the key has no PEM form".to_owned())
}

fn random() -> Result<Vec<u8>, String> {
    let mut bytes = vec![0; MIN_SEAL_BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_| "the system gave no randomness for a new key".to_owned())?;
    Ok(bytes)
}

fn make_folder(folder: &Path) -> Result<(), String> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| format!("cannot make the folder {}: {error}", folder.display()))
}

fn write_new(file: &Path, bytes: &[u8]) -> Result<(), String> {
    let opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    let written = opened.and_then(|mut open| open.write_all(bytes).and_then(|()| open.sync_all()));
    written.map_err(|error| format!("cannot write {}: {error}", file.display()))
}
