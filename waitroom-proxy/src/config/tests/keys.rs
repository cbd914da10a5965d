//! Key files: read, tried out, and better not open to others.

use super::{Folder, ROOM, lines};

use queue_token::{Claims, SigningKey};

fn with_keys() -> Folder {
    let text =
        "[tokens]\nkeys = [{ kid = \"k1\", file = \"k1.pem\" }]\nseal_keys = [{ kid = \"s1\", file = \"s1.key\" }]\n";
    let folder = Folder::with(&format!("{text}{ROOM}"));
    folder.put("k1.pem", SigningKey::generate_ed25519("k1").unwrap().to_pem().unwrap().as_bytes(), 0o600);
    folder.put("s1.key", &[7; 32], 0o600);
    folder
}

#[test]
fn given_keys_are_read_and_sign() {
    let loaded = with_keys().load();
    assert_eq!(lines(&loaded.warnings), Vec::<String>::new());
    let tokens = loaded.config.tokens;
    assert_eq!(tokens.seal_keys[0].expose(), [7; 32]);
    let claims = Claims {
        iss: tokens.issuer.clone(),
        aud: "r".into(),
        sub: "v".into(),
        jti: "j".into(),
        iat: 1000,
        exp: 2000,
        generation: 1,
        seq: 1,
        auth_time: 1000,
    };
    let ring = tokens.key_ring().unwrap();
    let token = ring.sign(&claims).unwrap();
    assert!(ring.verifier("waitroom").verify(&token, "r", 1500).is_ok());
    assert_eq!(loaded.files.len(), 3);
}

#[test]
fn key_files_that_cannot_be_used_are_told() {
    let cases: [(&str, &[u8], u32, &str, &str); 3] = [
        ("k1.pem", b"nonsense", 0o600, "tokens.keys[0].file", "k1"),
        ("s1.key", &[7; 31], 0o600, "tokens.seal_keys[0].file", "has 31 bytes, at least 32"),
        ("s1.key", &[7; 300_000], 0o600, "tokens.seal_keys[0].file", "larger than"),
    ];
    for (name, bytes, mode, key, says) in cases {
        let folder = with_keys();
        folder.put(name, bytes, mode);
        let found = folder.report().mistakes;
        assert!(found.len() == 1 && found[0].key == key && found[0].message.contains(says), "{:#?}", lines(&found));
    }
    let folder = with_keys();
    std::fs::remove_file(folder.0.path().join("k1.pem")).unwrap();
    assert!(folder.report().mistakes[0].message.contains("No such file"));
    std::fs::create_dir(folder.0.path().join("k1.pem")).unwrap();
    assert!(folder.report().mistakes[0].message.contains("not a regular file"));
}

#[test]
fn key_files_that_others_can_read_are_a_warning() {
    for mode in [0o604, 0o602] {
        let folder = with_keys();
        folder.put("s1.key", &[7; 32], mode);
        let loaded = folder.load();
        let [warning] = &*loaded.warnings else { panic!("{:#?}", lines(&loaded.warnings)) };
        assert_eq!(warning.key, "tokens.seal_keys[0].file");
        assert!(warning.message.contains("chmod 600"), "{}", warning.message);
        assert_eq!(loaded.config.tokens.seal_keys[0].expose(), [7; 32]);
    }
}

#[test]
fn key_ids_are_plain_and_unique() {
    let text = "[tokens]\nseal_keys = [{ kid = \"s 1\", file = \"s\" }, { kid = \"a\", file = \"s\" }, \
                { kid = \"a\", file = \"s\" }, { file = \"s\" }]\n";
    let folder = Folder::with(&format!("{text}{ROOM}"));
    folder.put("s", &[1; 32], 0o600);
    let found = folder.report().mistakes;
    let keys: Vec<_> = found.iter().map(|p| p.key.as_str()).collect();
    assert_eq!(keys, ["tokens.seal_keys[3].kid", "tokens.seal_keys[0].kid", "tokens.seal_keys[2].kid"]);
}

#[test]
fn missing_keys_are_made_at_start_and_said() {
    for algorithm in ["EdDSA", "HS256"] {
        let mut tokens = super::config(&format!("[tokens]\nalgorithm = \"{algorithm}\"\n{ROOM}")).tokens;
        assert!(tokens.key_ring().is_err());
        let made = tokens.fill_missing(&mut |bytes| bytes.fill(0xab)).unwrap();
        assert_eq!(made.len(), 2, "{made:?}");
        assert!(tokens.key_ring().is_ok());
        assert_eq!(
            (tokens.seal_keys[0].kid.as_str(), tokens.seal_keys[0].expose()),
            ("ephemeral-abababab", &[0xab; 32][..])
        );
        assert!(tokens.fill_missing(&mut |_| panic!("nothing is missing")).unwrap().is_empty());
        assert!(!format!("{tokens:?}").contains("BEGIN"));
    }
}

#[test]
fn admin_token_is_trimmed_and_better_long() {
    let text = format!("[server]\nadmin_listen = \"0.0.0.0:9090\"\nadmin_token_file = \"admin\"\n{ROOM}");
    let folder = Folder::with(&text);
    folder.put("admin", b"0123456789abcdef\n", 0o600);
    assert_eq!(folder.load().config.server.admin_token.unwrap().expose(), b"0123456789abcdef");
    assert!(folder.load().warnings.iter().all(|warning| warning.key != "server.admin_token_file"));
    folder.put("admin", b"short", 0o600);
    let short = folder.load();
    assert_eq!(short.config.server.admin_token.unwrap().expose(), b"short");
    let warned = |w: &super::Problem| w.key == "server.admin_token_file" && w.message.contains("under 16 characters");
    assert!(short.warnings.iter().any(warned), "{:#?}", lines(&short.warnings));
    for bad in [&b"two words are not one token"[..], b"", b" \n"] {
        folder.put("admin", bad, 0o600);
        assert!(folder.report().mistakes[0].message.contains("one token of visible"), "{bad:?}");
    }
}
