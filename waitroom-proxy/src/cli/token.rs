//! `token verify`: explains a queue token in words.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use queue_token::{Claims, Jwks, KeyRing, MAX_TOKEN_BYTES, SigningKey, Verifier, peek_kid, peek_unverified_claims};

use super::print;

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Say what is in a token, and whether it is valid or why not.
    Verify(VerifyArgs),
}

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// The token; read from standard input when it is left out or `-`.
    token: Option<String>,
    /// JWKS file, as saved from /.well-known/jwks.json.
    #[arg(long, value_name = "FILE", required_unless_present = "key")]
    jwks: Option<PathBuf>,
    /// Key file: Ed25519 PEM, or an HS256 secret. May be given more than once.
    #[arg(long, value_name = "KID=FILE", conflicts_with = "jwks")]
    key: Vec<String>,
    /// Who must have signed.
    #[arg(long, default_value = "waitroom")]
    issuer: String,
    /// The room it must be for; left out: whichever it names.
    #[arg(long)]
    room: Option<String>,
}

/// Exit 0: valid. 1: not valid, or the keys cannot be read.
pub(super) fn verify(args: &VerifyArgs, now_s: u64) -> ExitCode {
    match explain(args, now_s) {
        Ok((text, true)) => print::line(&text),
        Ok((text, false)) => {
            print::line(&text);
            ExitCode::FAILURE
        }
        Err(sentence) => print::failure(1, &sentence),
    }
}

fn explain(args: &VerifyArgs, now_s: u64) -> Result<(String, bool), String> {
    let token = token_text(args.token.as_deref())?;
    let verifier = verifier(args)?;
    let claims = peek_unverified_claims(&token);
    let mut lines = Vec::new();
    match peek_kid(&token) {
        Some(kid) => {
            let known = if verifier.knows_kid(&kid) { "known" } else { "not among the keys given" };
            lines.push(format!("signed with key  {kid} ({known})"));
        }
        None => lines.push("signed with key  (the header names none)".to_owned()),
    }
    match &claims {
        Some(claims) => lines.extend(describe(claims, now_s)),
        None => lines.push("claims           (not readable as a queue token)".to_owned()),
    }
    let own_room = claims.map(|claims| claims.aud).unwrap_or_default();
    let room = args.room.as_deref().unwrap_or(&own_room);
    let verdict = verifier.verify(&token, room, now_s);
    lines.push(String::new());
    lines.push(match &verdict {
        Ok(_) => format!("VALID for room {room}."),
        Err(error) => format!("NOT VALID: {error}. Nothing above can be trusted."),
    });
    Ok((lines.join("\n"), verdict.is_ok()))
}

fn describe(claims: &Claims, now_s: u64) -> Vec<String> {
    vec![
        format!("issuer           {}", claims.iss),
        format!("room             {}, generation {}", claims.aud, claims.generation),
        format!("visitor          {}", claims.sub),
        format!("number in line   {}", claims.seq),
        format!("token id         {}", claims.jti),
        format!("session began    {}", ago(claims.auth_time, now_s)),
        format!("issued           {}", ago(claims.iat, now_s)),
        format!("expires          {}", ago(claims.exp, now_s)),
    ]
}

fn ago(at_s: u64, now_s: u64) -> String {
    match (now_s.checked_sub(at_s), at_s.saturating_sub(now_s)) {
        (Some(0), _) => format!("{at_s} (now)"),
        (Some(past), _) => format!("{at_s} ({past} s ago)"),
        (None, future) => format!("{at_s} (in {future} s)"),
    }
}

fn token_text(argument: Option<&str>) -> Result<String, String> {
    let text = match argument {
        Some(token) if token != "-" => token.to_owned(),
        _ => {
            let mut text = String::new();
            // One byte more than any token, and room for a newline.
            let input = std::io::stdin().lock().take(MAX_TOKEN_BYTES as u64 + 3);
            { input }.read_to_string(&mut text).map_err(|error| format!("cannot read the token: {error}"))?;
            text
        }
    };
    let token = text.trim().trim_start_matches("Bearer ").trim();
    if token.is_empty() {
        return Err("no token given: pass it as an argument or on standard input".to_owned());
    }
    Ok(token.to_owned())
}

fn verifier(args: &VerifyArgs) -> Result<Verifier, String> {
    if let Some(file) = &args.jwks {
        let bytes = read(file)?;
        let jwks: Jwks =
            serde_json::from_slice(&bytes).map_err(|error| format!("{} is not a JWKS: {error}", file.display()))?;
        return Verifier::from_jwks(&jwks, &args.issuer).map_err(|error| format!("{}: {error}", file.display()));
    }
    let keys = args.key.iter().map(|given| {
        let (kid, file) = given.split_once('=').ok_or_else(|| format!("{given:?} must be KID=FILE"))?;
        let bytes = read(Path::new(file))?;
        let pem = bytes.starts_with(b"-----BEGIN");
        let key = if pem { SigningKey::from_pem(kid, &bytes) } else { SigningKey::hs256(kid, &bytes) };
        key.map_err(|error| format!("{file}: {error}"))
    });
    let ring = KeyRing::new(keys.collect::<Result<_, _>>()?).map_err(|error| error.to_string())?;
    Ok(ring.verifier(&args.issuer))
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display()))
}
