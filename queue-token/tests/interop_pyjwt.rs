//! PyJWT verifies our tokens from the JWKS alone, and we refuse what it forges.
//! Uses the Python in `WAITROOM_PYTHON`, else makes a venv under the target directory.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "interop/foreign.rs"]
mod foreign;

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

use foreign::{Errors, Foreign, locked_folder, prepare, script};

static PYJWT: LazyLock<Foreign> = LazyLock::new(|| Foreign {
    program: python(),
    args: vec![script("pyjwt_tool.py")],
    errors: Errors {
        expired: "ExpiredSignatureError",
        wrong_audience: "InvalidAudienceError",
        wrong_issuer: "InvalidIssuerError",
        bad_signature: "InvalidSignatureError",
    },
});

fn python() -> PathBuf {
    if let Some(python) = std::env::var_os("WAITROOM_PYTHON") {
        let missing = "WAITROOM_PYTHON must be a Python with `PyJWT[crypto]`";
        prepare(Command::new(&python).args(["-c", "import jwt, cryptography"]), missing);
        return python.into();
    }
    let (venv, _lock) = locked_folder("venv");
    let python = venv.join("bin/python");
    if !has_pyjwt(&python) {
        let missing = "this test needs python3 with venv (Debian: `apt install python3-venv`), or WAITROOM_PYTHON";
        prepare(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv), missing);
        let missing = "this test needs `pip install 'PyJWT[crypto]'` to work, or WAITROOM_PYTHON";
        prepare(Command::new(&python).args(["-m", "pip", "install", "--quiet", "PyJWT[crypto]>=2.10,<3"]), missing);
    }
    python
}

fn has_pyjwt(python: &Path) -> bool {
    let output = Command::new(python).args(["-c", "import jwt, cryptography"]).output();
    output.is_ok_and(|output| output.status.success())
}

#[test]
fn pyjwt_verifies_our_tokens_from_the_jwks_alone() {
    PYJWT.verifies_ours();
}

#[test]
fn pyjwt_verifies_our_hs256_tokens() {
    PYJWT.verifies_our_hs256();
}

#[test]
fn tokens_that_pyjwt_makes_with_the_real_key_are_accepted() {
    PYJWT.real_keys_are_accepted();
}

#[test]
fn refused_tokens_forged_with_pyjwt() {
    PYJWT.forgeries_are_refused();
}
