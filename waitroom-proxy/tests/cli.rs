//! The command line as a process: exit statuses, sentences, files. Nothing here may panic, whatever it is given.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use queue_token::{Claims, KeyRing, SigningKey};

/// Runs the program in `folder`, with backtraces on, so that a panic would be loud.
fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waitroom-proxy"));
    command.current_dir(folder).env_clear().env("RUST_BACKTRACE", "1").stdin(Stdio::null());
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    checked(program(folder).args(arguments).output().unwrap(), arguments)
}

fn checked(output: Output, arguments: &[&str]) -> Output {
    for word in ["panicked", "stack backtrace"] {
        assert!(!stderr(&output).contains(word), "{arguments:?}: {}", stderr(&output));
    }
    output
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn bad_usage_is_a_sentence_and_exit_64() {
    let folder = folder();
    for arguments in [
        &[][..],
        &["nonsense"],
        &["run"],
        &["run", "--origin", "http://127.0.0.1:1"],
        &["run", "--rate", "5"],
        &["run", "--config", "x", "--origin", "http://h", "--rate", "1"],
        &["run", "--config", "x", "--rate", "1"],
        &["run", "--origin", "http://h", "--rate", "many"],
        &["run", "--origin", "http://h", "--rate", "-1"],
        &["run", "--origin", "not a url", "--rate", "1"],
        &["run", "--origin", "http://h", "--rate", "1", "--listen", "nowhere"],
        &["run", "--config", "missing.toml"],
        &["check"],
        &["check", "--config", "missing.toml"],
        &["check", "--config", "/"],
        &["token", "verify"],
        &["completions", "powerpoint"],
    ] {
        let output = run(folder.path(), arguments);
        assert_eq!(code(&output), 64, "{arguments:?}: {}", stderr(&output));
        assert!(!stderr(&output).trim().is_empty(), "{arguments:?}");
    }
    for arguments in [&["--help"][..], &["--version"], &["run", "--help"], &["help", "check"]] {
        let output = run(folder.path(), arguments);
        assert!(code(&output) == 0 && output.stderr.is_empty() && !output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn check_prints_every_mistake_with_file_line_and_key_then_warnings() {
    let folder = folder();
    let file = folder.path().join("w.toml");
    std::fs::write(&file, "[server]\nlisten = [\"x\"]\nlisen = 1\n[[rooms]]\nname = \"r\"\nrate_per_s = 0\n").unwrap();
    for command in ["check", "run"] {
        let output = run(folder.path(), &[command, "--config", "w.toml"]);
        let said = stderr(&output);
        assert_eq!(code(&output), 64, "{said}");
        let starts: Vec<_> = said.lines().collect();
        assert!(starts[0].starts_with("error: w.toml:2: server.listen[0]: "), "{said}");
        assert!(starts[1].starts_with("error: w.toml:3: server.lisen: "), "{said}");
        assert!(starts[2].starts_with("error: w.toml:4: rooms[0].upstreams: "), "{said}");
        assert!(starts[3].contains("the config has 3 mistakes"), "{said}");
        assert_eq!(said.contains("warning: w.toml:6: rooms[0].rate_per_s: is 0"), command == "check", "{said}");
    }
    std::fs::write(&file, "[[rooms]]\nname = \"r\"\nupstreams = [\"h:1\"]\n").unwrap();
    let output = run(folder.path(), &["check", "--config", "w.toml"]);
    assert_eq!((code(&output), stdout(&output).as_str()), (0, "The config is good: 1 room.\n"));
    let output = program(folder.path())
        .args(["check", "--config", "w.toml"])
        .env("WAITROOM_SERVER_ADMIN_LISTEN", "nowhere")
        .output()
        .unwrap();
    assert!(code(&output) == 64 && stderr(&output).contains("environment WAITROOM_SERVER_ADMIN_LISTEN"));
}

#[test]
fn check_tells_mistakes_of_an_own_waiting_page() {
    let folder = folder();
    std::fs::write(folder.path().join("page.html"), "<p>{{no_such_slot}}</p>").unwrap();
    let text = "[[rooms]]\nname = \"r\"\nupstreams = [\"h:1\"]\ntemplate = \"page.html\"\n";
    std::fs::write(folder.path().join("w.toml"), text).unwrap();
    let output = run(folder.path(), &["check", "--config", "w.toml"]);
    assert_eq!(code(&output), 64);
    assert!(stderr(&output).contains("w.toml:4: rooms[0].template: page.html:1: "), "{}", stderr(&output));
}

#[test]
fn address_that_is_taken_is_a_sentence() {
    let folder = folder();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let admin = format!("127.0.0.1:{}", testbed::ports::free());
    let output = program(folder.path())
        .args(["run", "--origin", "http://127.0.0.1:1", "--rate", "1", "--listen", &address])
        .env("WAITROOM_SERVER_ADMIN_LISTEN", admin)
        .output()
        .unwrap();
    let output = checked(output, &["run"]);
    let said = stderr(&output) + &stdout(&output);
    assert!(!matches!(code(&output), 0 | -1) && said.contains(&address), "{} {said}", code(&output));
}

#[test]
fn keygen_makes_files_that_a_config_can_use_and_overwrites_nothing() {
    for algorithm in ["EdDSA", "HS256"] {
        let folder = folder();
        let arguments = ["keygen", "secrets", "--algorithm", algorithm];
        let output = run(folder.path(), &arguments);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        let read = || {
            let entries = std::fs::read_dir(folder.path().join("secrets")).unwrap().map(|entry| entry.unwrap().path());
            let mut files: Vec<_> = entries.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
            files.sort();
            files
        };
        let files = read();
        assert_eq!(files.len(), 2);
        for (path, _) in &files {
            assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
        }
        let room = "\n[[rooms]]\nname = \"r\"\nupstreams = [\"h:1\"]\n";
        std::fs::write(folder.path().join("w.toml"), stdout(&output) + room).unwrap();
        let check = run(folder.path(), &["check", "--config", "w.toml"]);
        assert!(code(&check) == 0 && check.stderr.is_empty(), "{}", stderr(&check));
        let again = run(folder.path(), &arguments);
        assert!(code(&again) == 1 && stderr(&again).contains("is not overwritten"), "{}", stderr(&again));
        assert_eq!(read(), files);
    }
}

#[test]
fn keygen_refuses_names_and_folders_it_cannot_use() {
    let folder = folder();
    std::fs::write(folder.path().join("file"), "").unwrap();
    for arguments in [
        &["keygen", "--kid", "../x"][..],
        &["keygen", "--kid", ""],
        &["keygen", "--seal-kid", "a/b"],
        &["keygen", "--algorithm", "HS256", "--kid", "a", "--seal-kid", "a"],
        &["keygen", "file"],
        &["keygen", "/proc/none"],
    ] {
        let output = run(folder.path(), arguments);
        assert_eq!(code(&output), 1, "{arguments:?}: {}", stderr(&output));
        assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing was written");
}

/// A folder with a key and its JWKS, and tokens signed by it.
struct Tokens {
    folder: tempfile::TempDir,
    ring: KeyRing,
    now_s: u64,
}

impl Tokens {
    #[expect(clippy::disallowed_methods, reason = "tokens that are good now")]
    fn new() -> Self {
        let folder = folder();
        let key = SigningKey::generate_ed25519("k1").unwrap();
        std::fs::write(folder.path().join("k1.pem"), key.to_pem().unwrap()).unwrap();
        let ring = KeyRing::new(vec![key]).unwrap();
        std::fs::write(folder.path().join("jwks.json"), serde_json::to_vec(&ring.jwks()).unwrap()).unwrap();
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        Self { folder, ring, now_s }
    }

    fn token(&self, expires_s: u64) -> String {
        let now_s = self.now_s;
        self.ring
            .sign(&Claims {
                iss: "waitroom".into(),
                aud: "concert".into(),
                sub: "abcdefghijklmnop".into(),
                jti: "j".into(),
                iat: now_s - 7200,
                exp: expires_s,
                generation: 3,
                seq: 88123,
                auth_time: now_s - 7200,
            })
            .unwrap()
    }

    fn verify(&self, token: &str, more: &[&str]) -> (i32, String) {
        let output = run(self.folder.path(), &[&["token", "verify", token], more].concat());
        (code(&output), stdout(&output) + &stderr(&output))
    }
}

#[test]
fn token_verify_explains_a_token() {
    let tokens = Tokens::new();
    let good = tokens.token(tokens.now_s + 600);
    for keys in [["--jwks", "jwks.json"], ["--key", "k1=k1.pem"]] {
        let (code, said) = tokens.verify(&good, &keys);
        assert_eq!(code, 0, "{said}");
        for words in ["k1 (known)", "concert, generation 3", "88123", "VALID for room concert."] {
            assert!(said.contains(words), "{words} is not in {said}");
        }
    }
    let jwks = ["--jwks", "jwks.json"];
    let not_valid = |token: &str, more: &[&str], why: &str| {
        let (code, said) = tokens.verify(token, &[&jwks[..], more].concat());
        assert!(code == 1 && said.contains("NOT VALID") && said.contains(why), "{why}: {said}");
    };
    not_valid(&tokens.token(tokens.now_s - 3600), &[], "expired");
    not_valid(&good, &["--room", "other"], "another room");
    not_valid(&good, &["--issuer", "other"], "another issuer");
    not_valid(&Tokens::new().token(tokens.now_s + 600), &[], "forged");
    not_valid("abc.def.ghi", &[], "malformed");
    let mut child = program(tokens.folder.path())
        .args(["token", "verify", "--jwks", "jwks.json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(format!("Bearer {good}\n").as_bytes()).unwrap();
    assert_eq!(code(&child.wait_with_output().unwrap()), 0);
}

#[test]
fn token_verify_says_what_is_wrong_with_the_keys() {
    let tokens = Tokens::new();
    std::fs::write(tokens.folder.path().join("bad.json"), "{").unwrap();
    let cases: [(&[&str], &str); 5] = [
        (&["--jwks", "none.json"], "cannot read none.json"),
        (&["--jwks", "bad.json"], "bad.json is not a JWKS"),
        (&["--key", "k1.pem"], "must be KID=FILE"),
        (&["--key", "k1=none.pem"], "cannot read none.pem"),
        (&["--key", "k1=bad.json"], "at least 32 bytes"),
    ];
    for (more, says) in cases {
        let (code, said) = tokens.verify("x", more);
        assert!(code == 1 && said.contains(says), "{more:?}: {said}");
    }
}

#[test]
fn schema_and_completions_are_printed_and_a_closed_pipe_is_no_failure() {
    let folder = folder();
    let schema: serde_json::Value = serde_json::from_slice(&run(folder.path(), &["schema"]).stdout).unwrap();
    assert_eq!(schema["additionalProperties"], serde_json::Value::Bool(false));
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = run(folder.path(), &["completions", shell]);
        assert!(code(&output) == 0 && stdout(&output).contains("waitroom-proxy"), "{shell}");
    }
    let mut child = program(folder.path()).arg("schema").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(0), ""));
}
