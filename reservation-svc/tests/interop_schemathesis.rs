//! schemathesis reads our OpenAPI document, asks everything that it allows and forbids, and finds nothing.
//! Uses the Python in `WAITROOM_PYTHON`, else makes a venv under the target directory.
#![expect(clippy::unwrap_used, reason = "a test that can not go on is to say where")]
#![expect(dead_code, reason = "the bed has more than this test needs")]

#[path = "service/audit.rs"]
mod audit;
#[path = "service/bed.rs"]
mod bed;
#[path = "service/client.rs"]
mod client;

use std::path::{Path, PathBuf};
use std::process::Command;

use bed::{Bed, Wishes};
use testbed::process::Program;
use testbed::redis::PrivateRedis;

/// Pinned: a test that passed yesterday must not fail for a release of today. Also in xtask.
const PACKAGE: &str = "schemathesis==4.32.5";

/// What it takes for a mistake and is a rule: a hold that was given back stays readable, as `released`; and a request
/// that is valid by itself gets 422 when its Idempotency-Key came with another one before. A selection of checks in
/// the command line would go before this.
const RULES: &str = r#"
[checks]
use_after_free.enabled = false
positive_data_acceptance.expected-statuses = ["2xx", 401, 403, 404, 409, 422, 429]
"#;

/// How long it may look for something, seconds; it stops by itself before that when it has tried everything.
const LOOKS_FOR_S: u64 = 60;

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_nothing() {
    let python = python();
    let redis = PrivateRedis::start().await.unwrap();
    let bed = Bed::with(Wishes { redis_url: redis.url(), ..Wishes::default() }).await;
    // Something of the user's own to find.
    let paid = bed.held(1, &["A-1"]).await;
    assert_eq!(bed.pay(1, &paid).await.status, 201);
    bed.held(1, &["B-1", "B-2"]).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("schemathesis.toml"), RULES).unwrap();
    let output = Program::new(python)
        .args(["-m", "schemathesis.cli", "run", &format!("http://{}/openapi.json", bed.service.addr())])
        .args(["-H", &format!("Authorization: {}", bed::bearer(1))])
        .args(["-H", &format!("X-QUEUE-TOKEN: {}", bed.token("schemathesis"))])
        .args(["--phases", "examples,coverage,fuzzing,stateful", "--seed", "1"])
        .args(["--max-time", &LOOKS_FOR_S.to_string(), "--continue-on-failure", "--no-color"])
        .folder(folder.path())
        .output(bed::DEADLINE + std::time::Duration::from_secs(2 * LOOKS_FOR_S))
        .await
        .unwrap();
    assert!(output.status.success(), "{}\n{}", output.stdout, output.stderr);
    bed.audit().await;
}

fn python() -> PathBuf {
    if let Some(python) = std::env::var_os("WAITROOM_PYTHON") {
        return python.into();
    }
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("schemathesis");
    let python = venv.join("bin/python");
    let there = Command::new(&python).args(["-c", "import schemathesis"]).output();
    if !there.is_ok_and(|output| output.status.success()) {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv));
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet", PACKAGE]));
    }
    python
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "this test needs python3 with venv, {PACKAGE}, or WAITROOM_PYTHON: {errors}");
}
