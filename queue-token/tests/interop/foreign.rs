//! One suite, run on every foreign JWT library: they accept ours from the JWKS alone, we refuse theirs when forged.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use queue_token::{Claims, KeyRing, SigningKey, VerifyError};
use serde_json::{Value, json};

/// A library behind a small script that takes orders as JSON.
pub(crate) struct Foreign {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<PathBuf>,
    /// What its errors are called.
    pub(crate) errors: Errors,
}

pub(crate) struct Errors {
    pub(crate) expired: &'static str,
    pub(crate) wrong_audience: &'static str,
    pub(crate) wrong_issuer: &'static str,
    pub(crate) bad_signature: &'static str,
}

/// They check times against their own clock: long ago, and a century away.
const LONG_AGO_S: u64 = 1_000_000_000;
const FAR_AWAY_S: u64 = 4_900_000_000;
const SECRET: [u8; 32] = [42; 32];

fn claims() -> Claims {
    Claims {
        iss: "waitroom".into(),
        aud: "concert".into(),
        sub: "Gk3vV0cVbGmQ0pXz".into(),
        jti: "01JQ8Z4T7M".into(),
        iat: LONG_AGO_S,
        exp: FAR_AWAY_S,
        generation: 3,
        seq: 88_123,
        auth_time: LONG_AGO_S,
    }
}

impl Foreign {
    fn ask(&self, orders: &[Value]) -> Vec<Result<Value, String>> {
        let mut child = Command::new(&self.program)
            .args(&self.args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", self.program.display()));
        child.stdin.take().unwrap().write_all(json!(orders).to_string().as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{} failed, see above", self.program.display());
        let answers: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(answers.len(), orders.len());
        let read = |mut answer: Value| match answer.get_mut("ok") {
            Some(ok) => Ok(ok.take()),
            None => Err(answer["error"].as_str().unwrap().to_owned()),
        };
        answers.into_iter().map(read).collect()
    }

    fn ask_text(&self, order: Value) -> String {
        self.ask(&[order]).remove(0).unwrap().as_str().unwrap().to_owned()
    }

    /// Our token, from the JWKS alone; wrong room, wrong issuer, expired, another key: refused.
    pub(crate) fn verifies_ours(&self) {
        let old = || SigningKey::from_pem("old", self.ask_text(json!({"do": "new_pem"})).as_bytes()).unwrap();
        let ring = KeyRing::new(vec![SigningKey::generate_ed25519("k1").unwrap(), old()]).unwrap();
        let stranger = KeyRing::new(vec![SigningKey::generate_ed25519("k1").unwrap()]).unwrap();
        let jwks = serde_json::to_value(ring.jwks()).unwrap();
        let verify = |token: &str, issuer: &str, audience: &str| json!({"do": "verify", "jwks": jwks, "token": token, "issuer": issuer, "audience": audience});
        let good = ring.sign(&claims()).unwrap();
        let expired = ring.sign(&Claims { exp: LONG_AGO_S + 1, ..claims() }).unwrap();
        let answers = self.ask(&[
            verify(&good, "waitroom", "concert"),
            verify(&good, "waitroom", "other"),
            verify(&good, "other", "concert"),
            verify(&expired, "waitroom", "concert"),
            verify(&stranger.sign(&claims()).unwrap(), "waitroom", "concert"),
        ]);
        let refused = |name: &str| Err(name.to_owned());
        assert_eq!(answers[0], Ok(serde_json::to_value(claims()).unwrap()));
        assert_eq!(answers[1], refused(self.errors.wrong_audience));
        assert_eq!(answers[2], refused(self.errors.wrong_issuer));
        assert_eq!(answers[3], refused(self.errors.expired));
        assert_eq!(answers[4], refused(self.errors.bad_signature));
    }

    /// With a shared secret.
    pub(crate) fn verifies_our_hs256(&self) {
        let ring = KeyRing::new(vec![SigningKey::hs256("hs", &SECRET).unwrap()]).unwrap();
        let order = |secret: &[u8]| {
            let token = ring.sign(&claims()).unwrap();
            let secret_hex = hex(secret);
            json!({"do": "verify_hs256", "secret_hex": secret_hex, "token": token, "issuer": "waitroom", "audience": "concert"})
        };
        let answers = self.ask(&[order(&SECRET), order(&[43; 32])]);
        assert_eq!(answers[0], Ok(serde_json::to_value(claims()).unwrap()));
        assert_eq!(answers[1], Err(self.errors.bad_signature.to_owned()));
    }

    /// It reads the PEM that we write, we read the PEM that it writes, and what it signs with either is good.
    pub(crate) fn real_keys_are_accepted(&self) {
        let ours = SigningKey::generate_ed25519("k1").unwrap().to_pem().unwrap();
        let theirs = self.ask_text(json!({"do": "new_pem"}));
        for pem in [ours, theirs] {
            let ring = KeyRing::new(vec![SigningKey::from_pem("k1", pem.as_bytes()).unwrap()]).unwrap();
            let token = self.sign("EdDSA", "k1", json!({ "pem": pem }));
            let verified = ring.verifier("waitroom").verify(&token, "concert", LONG_AGO_S).unwrap();
            assert_eq!(verified.claims(), &claims());
            let answers = self.ask(&[json!({
                "do": "verify", "jwks": ring.jwks(), "token": token, "issuer": "waitroom", "audience": "concert",
            })]);
            assert!(answers[0].is_ok(), "{answers:?}");
        }
        let ring = KeyRing::new(vec![SigningKey::hs256("hs", &SECRET).unwrap()]).unwrap();
        let token = self.sign("HS256", "hs", json!({"secret_hex": hex(&SECRET)}));
        assert!(ring.verifier("waitroom").verify(&token, "concert", LONG_AGO_S).is_ok());
    }

    /// Another key, `none`, the public key as an HMAC secret, an unknown kid.
    pub(crate) fn forgeries_are_refused(&self) {
        let key = SigningKey::generate_ed25519("k1").unwrap();
        let real_pem = key.to_pem().unwrap();
        let ring = KeyRing::new(vec![key]).unwrap();
        let public = ring.jwks().keys[0].x.clone().unwrap();
        let raw = URL_SAFE_NO_PAD.decode(&public).unwrap();
        let stranger = json!({"pem": self.ask_text(json!({"do": "new_pem"}))});
        let real = json!({ "pem": real_pem });
        let refusals = |token: &str| {
            let from_jwks = queue_token::Verifier::from_jwks(&ring.jwks(), "waitroom").unwrap();
            let verify = |verifier: queue_token::Verifier| verifier.verify(token, "concert", LONG_AGO_S).unwrap_err();
            let error = verify(ring.verifier("waitroom"));
            assert_eq!(error, verify(from_jwks));
            error
        };
        assert_eq!(refusals(&self.sign("EdDSA", "k1", stranger)), VerifyError::BadSignature);
        assert_eq!(refusals(&self.sign("EdDSA", "k2", real)), VerifyError::UnknownKid);
        for secret in [raw.as_slice(), public.as_bytes()] {
            let token = self.sign("HS256", "k1", json!({"secret_hex": hex(secret)}));
            assert_eq!(refusals(&token), VerifyError::WrongAlgorithm);
        }
        // jose leaves the kid out of an unsecured token, which is one more thing wrong with it.
        let none = refusals(&self.sign("none", "k1", json!({})));
        assert!([VerifyError::WrongAlgorithm, VerifyError::Malformed].contains(&none));
    }

    fn sign(&self, alg: &str, kid: &str, key: Value) -> String {
        let mut order = json!({"do": "sign", "alg": alg, "headers": {"kid": kid, "typ": "JWT"}, "claims": claims()});
        let key = key.as_object().unwrap().clone();
        order.as_object_mut().unwrap().extend(key);
        self.ask_text(order)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The script with this name, next to this file.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop").join(name)
}

/// A folder under the target directory, and a lock on it against other test runs.
pub(crate) fn locked_folder(name: &str) -> (PathBuf, File) {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    std::fs::create_dir_all(target).unwrap();
    let lock = File::create(target.join(format!("{name}.lock"))).unwrap();
    lock.lock().unwrap();
    (target.join(name), lock)
}

/// Runs a preparation, and says what is missing when it fails.
pub(crate) fn prepare(command: &mut Command, missing: &str) {
    match command.stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => panic!("{missing}\n{command:?}: {}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => panic!("{missing}\n{command:?}: {error}"),
    }
}
