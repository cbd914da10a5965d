//! Every mistake is found, all at once, where it stands.

use super::{Folder, ROOM, assert_one, lines, mistakes};

#[test]
fn every_mistake_at_once_with_line_and_key() {
    let text = r#"
[server]
listen = ["127.0.0.1:8080", "localhost:80"]
admin_listen = "0.0.0.0:9090"
trusted_proxies = ["10.0.0.0/99"]
max_conections = 5

[store]
url = 6379
on_unavailable = "open"

[[rooms]]
name = "Concert!"
upstreams = ["127.0.0.1:9000/app"]
rate_per_s = -1
burst = 0.5
session_ttl_s = 0
timeouts = { connect_ms = "1s" }

[[rooms]]
name = "ok"
hosts = ["shop.example:443"]
paths = ["buy"]
claim_ttl_s = 1.5
"#;
    let found = mistakes(text);
    let found: Vec<_> = found.iter().map(|p| (p.line.unwrap(), p.key.as_str())).collect();
    let expected = [
        (3, "server.listen[1]"),
        (5, "server.trusted_proxies[0]"),
        (6, "server.max_conections"),
        (9, "store.url"),
        (10, "store.on_unavailable"),
        (13, "rooms[0].name"),
        (14, "rooms[0].upstreams[0]"),
        (15, "rooms[0].rate_per_s"),
        (16, "rooms[0].burst"),
        (17, "rooms[0].session_ttl_s"),
        (18, "rooms[0].timeouts.connect_ms"),
        (20, "rooms[1].upstreams"),
        (22, "rooms[1].hosts[0]"),
        (23, "rooms[1].paths[0]"),
        (24, "rooms[1].claim_ttl_s"),
    ];
    for place in expected {
        assert!(found.contains(&place), "{place:?} is not in {found:#?}");
    }
    assert!(found.contains(&(2, "server.admin_token_file")), "{found:#?}");
    assert_eq!(found.len(), expected.len() + 1, "{found:#?}");
}

#[test]
fn refused_config_with_unknown_keys() {
    assert_one(&mistakes(&format!("{ROOM}rate_per_sec = 5")), 4, "rooms[0].rate_per_sec", "did you mean `rate_per_s`?");
    assert_one(&mistakes(&format!("{ROOM}\n[servr]\n")), 5, "servr", "did you mean `server`?");
    assert_one(&mistakes(&format!("zzzzzzzz = 1\n{ROOM}")), 1, "zzzzzzzz", "known are server, store, tokens, rooms");
    let nested = format!("{ROOM}health = {{ path = \"/\", intervall_s = 1 }}");
    assert_one(&mistakes(&nested), 4, "rooms[0].health.intervall_s", "did you mean `interval_s`?");
}

#[test]
fn broken_toml_is_told_with_its_lines() {
    let found = mistakes("[server\nlisten = \n[[rooms]]\nname = \"r\"\nupstreams = [\"127.0.0.1:9000\"]\n");
    assert!(found.iter().all(|p| p.line.is_some()), "{:#?}", lines(&found));
    assert!(found.iter().any(|p| p.line == Some(1) && p.message.contains("TOML")), "{:#?}", lines(&found));
    let twice = mistakes(&format!("{ROOM}name = \"again\"\n"));
    assert!(twice.iter().any(|p| p.message.contains("duplicate key")), "{:#?}", lines(&twice));
}

/// One wrong line after a good room: (line of TOML, key, what the sentence says).
const WRONG_IN_ROOM: &[(&str, &str, &str)] = &[
    ("rate_per_s = nan", "rate_per_s", "a finite number, not nan"),
    ("rate_per_s = inf", "rate_per_s", "a finite number, not inf"),
    ("rate_per_s = -0.5", "rate_per_s", "between 0 and"),
    ("rate_per_s = \"fast\"", "rate_per_s", "a finite number, not \"fast\""),
    ("rate_per_s = 2e9", "rate_per_s", "between 0 and 1000000"),
    ("burst = 0", "burst", "between 1 and"),
    ("max_active = -1", "max_active", "between 0 and"),
    ("max_active = 2.5", "max_active", "a whole number"),
    ("max_active = 99999999999999999999", "max_active", "a whole number"),
    ("session_ttl_s = 0", "session_ttl_s", "between 1 and"),
    ("claim_ttl_s = 0", "claim_ttl_s", "between 1 and"),
    ("ticket_max_age_s = 1979-05-27", "ticket_max_age_s", "the date 1979-05-27"),
    ("session_renewal = 1", "session_renewal", "true or false, not 1"),
    ("waiting_status = 304", "waiting_status", "cannot carry a page"),
    ("waiting_status = 99", "waiting_status", "between 200 and 599"),
    ("hosts = [\"https://shop.example\"]", "hosts[0]", "give the host name alone"),
    ("hosts = [\"shop.example:80\"]", "hosts[0]", "write \"shop.example\""),
    ("hosts = [\"*.example\"]", "hosts[0]", "list every host"),
    ("hosts = [\"sh op\"]", "hosts[0]", "not a host name"),
    ("hosts = [\"1.2.3.400\"]", "hosts[0]", "not a host name"),
    ("hosts = [\"a.example\", \"A.example.\"]", "hosts[1]", "stands there twice"),
    ("hosts = \"a.example\"", "hosts", "must be a list"),
    ("hosts = [7]", "hosts[0]", "text in quotes, not 7"),
    ("paths = []", "paths", "nothing would ever wait"),
    ("paths = [\"buy\"]", "paths[0]", "begin with a slash"),
    ("paths = [\"/a/../b\"]", "paths[0]", "dot segment"),
    ("paths = [\"/a//b\"]", "paths[0]", "empty segment"),
    ("paths = [\"/a%2fb\"]", "paths[0]", "encoded slash"),
    ("paths = [\"/buy?x\"]", "paths[0]", "paths only"),
    ("paths = [\"/buy/*\"]", "paths[0]", "wildcard"),
    ("bypass_paths = [\"assets\"]", "bypass_paths[0]", "begin with a slash"),
    ("upstream_host = \"http://x\"", "upstream_host", "neither \"preserve\" nor a host name"),
    ("upstream_host = \"\"", "upstream_host", "neither \"preserve\" nor a host name"),
    ("health = { path = \"readyz\" }", "health.path", "begins with a slash"),
    ("health = { interval_s = 0 }", "health.interval_s", "between 1 and"),
    ("timeouts = { read_ms = 0 }", "timeouts.read_ms", "between 1 and"),
    ("timeouts = 5", "timeouts", "must be a table, not 5"),
    ("cors_origins = [\"*\"]", "cors_origins[0]", "list the origins"),
    ("cors_origins = [\"https://app.example/\"]", "cors_origins[0]", "without a slash"),
    ("cors_origins = [\"https://app.example:443\"]", "cors_origins[0]", "default port"),
    ("cors_origins = [\"https://App.example\"]", "cors_origins[0]", "lower case"),
    ("cors_origins = [\"app.example\"]", "cors_origins[0]", "must begin with https://"),
    ("template = \"missing.html\"", "template", "No such file"),
];

#[test]
fn wrong_values_of_a_room() {
    for (line, key, says) in WRONG_IN_ROOM {
        let found = mistakes(&format!("{ROOM}{line}\n"));
        let [problem] = &*found else { panic!("{line}: {:#?}", lines(&found)) };
        assert_eq!(problem.key, format!("rooms[0].{key}"), "{line}");
        assert!(problem.message.contains(says), "{line}: {:?} does not say {says:?}", problem.message);
    }
}

#[test]
fn wrong_upstreams() {
    let cases = [
        ("localhost", "has no port"),
        ("ftp://host", "use http:// or https://"),
        ("http://host/app", "has a path"),
        ("http://host?x", "has a path"),
        ("host:0", "no valid port"),
        ("host:65536", "no valid port"),
        ("host:+80", "no valid port"),
        ("::1:9000", "no valid host name"),
        ("http://", "no valid host name"),
        ("http://user:secret@host", "user name"),
        ("127.0.0.1:8080", "this proxy itself"),
        ("localhost:8080", "this proxy itself"),
    ];
    for (upstream, says) in cases {
        let found = mistakes(&format!("[[rooms]]\nname = \"r\"\nupstreams = [\"{upstream}\"]\n"));
        assert_one(&found, 3, "rooms[0].upstreams[0]", says);
        assert!(!found[0].message.contains("secret"), "{}", found[0].message);
    }
    assert_one(&mistakes("[[rooms]]\nname = \"r\"\nupstreams = []\n"), 3, "rooms[0].upstreams", "at least one server");
}

#[test]
fn wrong_values_of_the_server_and_the_store() {
    let cases = [
        ("server", "listen = []", "server.listen", "is empty"),
        ("server", "listen = [\":8080\"]", "server.listen[0]", "0.0.0.0:8080"),
        ("server", "listen = [\"localhost:8081\"]", "server.listen[0]", "127.0.0.1:8081"),
        ("server", "listen = [\"127.0.0.1:81\", \"127.0.0.1:81\"]", "server.listen[1]", "twice"),
        ("server", "admin_listen = \"127.0.0.1:8080\"", "server.admin_listen", "same as server.listen[0]"),
        ("server", "admin_listen = \"10.0.0.1:9090\"", "server.admin_token_file", "is needed"),
        ("server", "max_connections = 0", "server.max_connections", "between 1 and"),
        ("store", "url = \"localhost:6379\"", "store.url", "not a URL"),
        ("store", "url = \"mysql://x\"", "store.url", "unknown scheme"),
        ("store", "url = \"memory://x\"", "store.url", "exactly"),
        ("store", "url = \"redis://\"", "store.url", "no valid host"),
        ("store", "url = \"redis://h:99999\"", "store.url", "no valid host"),
        ("store", "url = \"redis://h:1/queue\"", "store.url", "database number"),
        ("store", "url = \"redis+sentinel://a:1,b:2\"", "store.url", "the name that the Sentinels give"),
        ("store", "url = \"redis+sentinel://a:1,b:x/m\"", "store.url", "no valid host"),
        ("store", "url = \"redis+sentinel://a:1/m/x\"", "store.url", "database number"),
        ("store", "url = \"rediss+cluster://a:1,/\"", "store.url", "no valid host"),
        ("store", "url = \"redis+cluster://a:1/2\"", "store.url", "no databases"),
        ("store", "url = \"redis+other://a:1\"", "store.url", "unknown scheme"),
        ("store", "min_acks = 1", "store.min_acks", "must be 0 with"),
        ("tokens", "issuer = \"\"", "tokens.issuer", "1 to 128"),
        ("tokens", "algorithm = \"none\"", "tokens.algorithm", "\"EdDSA\" or \"HS256\""),
    ];
    for (section, line, key, says) in cases {
        let found = mistakes(&format!("{ROOM}[{section}]\n{line}\n"));
        let [problem] = &*found else { panic!("{line}: {:#?}", lines(&found)) };
        assert_eq!(problem.key, key, "{line}");
        assert!(problem.message.contains(says), "{line}: {:?} does not say {says:?}", problem.message);
    }
}

#[test]
fn every_form_of_the_store_url_is_taken() {
    for url in [
        "redis://h",
        "rediss://u:p@h:1/2",
        "redis+sentinel://a:1,[::1]:2,c/main",
        "rediss+sentinel://:p@a:1/m-1/3",
        "redis+cluster://a:1,b:2",
        "rediss+cluster://u:p@a:1/0",
    ] {
        let found = mistakes(&format!("{ROOM}[store]\nurl = \"{url}\"\nmin_acks = 1\n"));
        assert_eq!(lines(&found), Vec::<String>::new(), "{url}");
    }
}

#[test]
fn passwords_are_in_no_message() {
    for url in [
        "redis://u:hunter2@:1",
        "redis://:hunter2@h:x",
        "rediss+sentinel://:hunter2@h",
        "hunter2",
        "redis://u:hunter2@h/x",
    ] {
        let found = mistakes(&format!("{ROOM}[store]\nurl = \"{url}\"\n"));
        assert!(!found.is_empty() && !format!("{found:?}").contains("hunter2"), "{found:?}");
    }
}

#[test]
fn rooms_must_not_share_a_name_or_a_path() {
    let room = |name, hosts, paths| {
        format!("[[rooms]]\nname = \"{name}\"\nhosts = {hosts}\npaths = {paths}\nupstreams = [\"127.0.0.1:9000\"]\n")
    };
    let same_name = room("a", "[\"x\"]", "[\"/\"]") + &room("a", "[\"y\"]", "[\"/\"]");
    assert_one(&mistakes(&same_name), 7, "rooms[1].name", "also the name of rooms[0]");
    let same_path = room("a", "[\"x\", \"y\"]", "[\"/\", \"/buy\"]") + &room("b", "[\"Y\"]", "[\"/b%75y/\"]");
    assert_one(&mistakes(&same_path), 9, "rooms[1].paths[0]", "on host y already belongs to rooms[0]");
    let any_host = room("a", "[]", "[\"/\"]") + &room("b", "[]", "[\"/\"]");
    assert_one(&mistakes(&any_host), 9, "rooms[1].paths[0]", "on any host");
    let apart =
        room("a", "[\"x\"]", "[\"/\"]") + &room("b", "[\"y\"]", "[\"/\"]") + &room("c", "[\"x\"]", "[\"/buy\"]");
    assert_eq!(lines(&mistakes(&apart)), Vec::<String>::new());
}

#[test]
fn missing_rooms_names_and_files() {
    let found = mistakes("[server]\n");
    assert_eq!((found.len(), found[0].key.as_str()), (1, "rooms"), "{:#?}", lines(&found));
    assert_one(&mistakes("rooms = 3\n"), 1, "rooms", "must be a list");
    assert_one(&mistakes("[[rooms]]\nupstreams = [\"h:1\"]\n"), 1, "rooms[0].name", "is missing");
    let folder = Folder::with("");
    let missing = super::Source::file(folder.0.path().join("none.toml")).report(&|_| Ok(Vec::new())).mistakes;
    assert!(missing.len() == 1 && missing[0].to_string().contains("none.toml: cannot be read"), "{missing:?}");
    folder.put("waitroom.toml", b"\xff\xfe", 0o600);
    assert!(folder.report().mistakes[0].message.contains("UTF-8"));
}

#[test]
fn mistakes_of_a_template_are_told_with_its_file_and_lines() {
    let folder = Folder::with(&format!("{ROOM}template = \"page.html\"\n"));
    folder.put("page.html", b"<p>", 0o644);
    let check = |_: &str| Err(vec![(3, "first".to_owned()), (9, "second".to_owned())]);
    let found = folder.source().report(&check).mistakes;
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].line, &*found[0].key), (Some(4), "rooms[0].template"));
    assert!(found[0].message.ends_with("page.html:3: first"), "{}", found[0].message);
}
