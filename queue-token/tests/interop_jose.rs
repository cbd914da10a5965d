//! The npm package `jose` verifies our tokens from the JWKS alone, and we refuse what it forges.
//! Uses the package in the folder `WAITROOM_NODE_MODULES`, else installs it under the target directory.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "interop/foreign.rs"]
mod foreign;

use std::{path::PathBuf, process::Command, sync::LazyLock};

use foreign::{Errors, Foreign, locked_folder, prepare, script};

static JOSE: LazyLock<Foreign> = LazyLock::new(|| Foreign {
    program: "node".into(),
    args: vec![script("jose_tool.mjs"), node_modules()],
    errors: Errors {
        expired: "ERR_JWT_EXPIRED",
        wrong_audience: "ERR_JWT_CLAIM_VALIDATION_FAILED",
        wrong_issuer: "ERR_JWT_CLAIM_VALIDATION_FAILED",
        bad_signature: "ERR_JWS_SIGNATURE_VERIFICATION_FAILED",
    },
});

fn node_modules() -> PathBuf {
    if let Some(folder) = std::env::var_os("WAITROOM_NODE_MODULES") {
        let folder = PathBuf::from(folder);
        assert!(has_jose(&folder), "WAITROOM_NODE_MODULES must be a folder with the npm package `jose` in it");
        return folder;
    }
    let (npm, _lock) = locked_folder("npm");
    let folder = npm.join("node_modules");
    if !has_jose(&folder) {
        std::fs::create_dir_all(&npm).unwrap();
        let missing = "this test needs node and npm (Debian: `apt install nodejs npm`), or WAITROOM_NODE_MODULES";
        prepare(
            Command::new("npm").args(["install", "--no-audit", "--no-fund", "--prefix"]).arg(&npm).arg("jose@6"),
            missing,
        );
    }
    assert!(has_jose(&folder), "npm installed no `jose` in {}", folder.display());
    folder
}

fn has_jose(folder: &std::path::Path) -> bool {
    folder.join("jose/package.json").is_file()
}

#[test]
fn jose_verifies_our_tokens_from_the_jwks_alone() {
    JOSE.verifies_ours();
}

#[test]
fn jose_verifies_our_hs256_tokens() {
    JOSE.verifies_our_hs256();
}

#[test]
fn tokens_that_jose_makes_with_the_real_key_are_accepted() {
    JOSE.real_keys_are_accepted();
}

#[test]
fn refused_tokens_forged_with_jose() {
    JOSE.forgeries_are_refused();
}
