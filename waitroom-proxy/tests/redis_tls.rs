//! Redis over TLS, by the real binary: certificates are verified, against an authority of one's own, too.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::path::Path;
use std::time::Duration;

use testbed::process::Program;
use testbed::redis::PrivateRedis;
use testbed::scratch::Scratch;

/// Reached only by what is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// An authority and a certificate for the loopback address, made by `openssl`.
async fn certificates(folder: &Path) {
    std::fs::write(folder.join("san"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n").unwrap();
    for line in [
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem",
        "req -newkey rsa:2048 -nodes -subj /CN=redis -keyout redis.key -out redis.csr",
        "x509 -req -in redis.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile san -out redis.pem",
    ] {
        let openssl = Program::installed("openssl", "openssl").unwrap().args(line.split(' ')).folder(folder);
        let output = openssl.output(PATIENCE).await.unwrap();
        assert!(output.status.success(), "{}", output.stderr);
    }
}

#[tokio::test]
async fn rediss_is_spoken_and_a_certificate_of_nobody_is_refused() {
    let folder = Scratch::new("tls").unwrap();
    certificates(folder.path()).await;
    let file = |name: &str| folder.path().join(name).display().to_string();
    let port = testbed::ports::free();
    let redis = PrivateRedis::options()
        .directive("tls-port", port.to_string())
        .directive("tls-cert-file", file("redis.pem"))
        .directive("tls-key-file", file("redis.key"))
        .directive("tls-ca-cert-file", file("ca.pem"))
        .directive("tls-auth-clients", "no");
    let _redis = redis.start().await.unwrap();
    let config = folder.path().join("waitroom.toml");
    let text = format!(
        "[server]\nlisten = [\"127.0.0.1:0\"]\nadmin_listen = \"127.0.0.1:0\"\n\
         [store]\nurl = \"rediss://127.0.0.1:{port}\"\n\
         [[rooms]]\nname = \"concert\"\nupstreams = [\"127.0.0.1:9\"]\n"
    );
    std::fs::write(&config, text).unwrap();
    let proxy = || {
        let program = Program::new(env!("CARGO_BIN_EXE_waitroom-proxy")).named("waitroom-proxy");
        program.args(["run", "--config"]).arg(&config).without_env("SSL_CERT_DIR")
    };

    let stranger = proxy().without_env("SSL_CERT_FILE").start().unwrap();
    assert_eq!(stranger.wait(PATIENCE).await.unwrap().code(), Some(1), "{}", stranger.log());
    let log = stranger.log();
    assert!(log.contains(&format!("127.0.0.1:{port}")) && log.contains("certificate"), "{log}");
    assert!(!log.contains("panicked"), "{log}");

    let trusting = proxy().env("SSL_CERT_FILE", file("ca.pem")).start().unwrap();
    trusting.wait_for_line("the room starts", PATIENCE).await.unwrap();
}
