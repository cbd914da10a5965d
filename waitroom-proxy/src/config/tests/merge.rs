//! Flag over environment over file; defaults below all.

use std::time::Duration;

use super::{Folder, ROOM, config, lines};
use crate::config::{OnUnavailable, Problem, Source, StoreUrl, Upstream, UpstreamHost};

fn variables(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn defaults_are_those_of_the_contract() {
    let config = config(ROOM);
    assert_eq!(config.server.listen, ["127.0.0.1:8080".parse().unwrap()]);
    assert_eq!(config.server.admin_listen, "127.0.0.1:9090".parse().unwrap());
    assert_eq!((config.server.max_connections, config.server.secure_cookies), (20_000, false));
    assert_eq!((config.store.url, config.store.on_unavailable), (StoreUrl::Memory, OnUnavailable::Hold));
    assert_eq!(config.tokens.issuer, "waitroom");
    let room = &config.rooms[0];
    assert_eq!((room.rate_per_s, room.burst, room.max_active), (100.0, 25.0, 2000));
    assert_eq!((room.session_ttl.as_secs(), room.session_max.as_secs(), room.session_renewal), (600, 3600, true));
    assert_eq!(
        (room.claim_ttl.as_secs(), room.ticket_max_age.as_secs(), room.abandon_after.as_secs()),
        (120, 86_400, 90)
    );
    assert_eq!((room.waiting_status, room.sse_max_streams), (200, 2000));
    assert_eq!((room.paths.as_slice(), room.bypass_paths.len(), room.hosts.len()), (&["/".to_owned()][..], 0, 0));
    assert_eq!((&room.upstream_host, &room.health, &room.template), (&UpstreamHost::Preserve, &None, &None));
    assert_eq!((room.timeouts.connect, room.timeouts.idle), (Duration::from_secs(1), Duration::from_secs(60)));
}

#[test]
fn burst_follows_the_rate_unless_given() {
    let burst = |line: &str| config(&format!("{ROOM}{line}\n")).rooms[0].burst;
    assert_eq!((burst("rate_per_s = 1"), burst("rate_per_s = 1000"), burst("burst = 7")), (2.0, 250.0, 7.0));
}

#[test]
fn upstreams_are_addresses_or_urls() {
    let list = r#"["H.internal:9000", "http://a", "https://b", "https://c:8443/", "[::1]:9000"]"#;
    let rooms = config(&format!("[[rooms]]\nname = \"r\"\nupstreams = {list}\n")).rooms;
    let own = |host: &str, port, tls| Upstream { host: host.to_owned(), port, tls };
    let expected = [
        own("h.internal", 9000, false),
        own("a", 80, false),
        own("b", 443, true),
        own("c", 8443, true),
        own("::1", 9000, false),
    ];
    assert_eq!(rooms[0].upstreams, expected);
    assert_eq!(rooms[0].upstreams[4].authority(), "[::1]:9000");
}

#[test]
fn environment_goes_over_the_file_and_flags_over_both() {
    let folder = Folder::with(&format!("[server]\nlisten = [\"127.0.0.1:1\"]\nmax_connections = 5\n{ROOM}"));
    let given = variables(&[
        ("WAITROOM_SERVER_LISTEN", "127.0.0.1:2, 127.0.0.1:3"),
        ("WAITROOM_SERVER_MAX_CONNECTIONS", "7"),
        ("WAITROOM_SERVER_SECURE_COOKIES", "true"),
        ("WAITROOM_SERVER_TRUSTED_PROXIES", "10.0.0.0/8,192.0.2.7"),
        ("WAITROOM_STORE_URL", "redis://u:hunter2@127.0.0.1:6379/1"),
        ("WAITROOM_TOKENS_ISSUER", ""),
        ("HOME", "/"),
    ]);
    let source = folder.source().with_environment(given);
    let loaded = source.load(&|_| Ok(Vec::new())).unwrap();
    let server = &loaded.config.server;
    assert_eq!(server.listen, ["127.0.0.1:2".parse().unwrap(), "127.0.0.1:3".parse().unwrap()]);
    assert_eq!((server.max_connections, server.secure_cookies, server.trusted_proxies.len()), (7, true, 2));
    let StoreUrl::Redis(url) = &loaded.config.store.url else { panic!("not redis") };
    assert_eq!(
        (url.expose(), url.to_string().as_str()),
        ("redis://u:hunter2@127.0.0.1:6379/1", "redis://u:***@127.0.0.1:6379/1")
    );
    assert!(!format!("{loaded:?}").contains("hunter2"));
    assert!(!loaded.warnings.iter().any(|w| w.key == "store.url"), "{:#?}", lines(&loaded.warnings));
    let flagged = source.with_listen(Some("127.0.0.1:4".into())).load(&|_| Ok(Vec::new())).unwrap();
    assert_eq!(flagged.config.server.listen, ["127.0.0.1:4".parse().unwrap()]);
}

#[test]
fn wrong_variables_are_named() {
    let given = variables(&[
        ("WAITROOM_SERVER_LISTEN", "127.0.0.1:2,nowhere"),
        ("WAITROOM_SERVER_SECURE_COOKIES", "yes"),
        ("WAITROOM_SERVER_MAX_CONNECTIONS", "0"),
        ("WAITROOM_STORE_ULR", "memory://"),
    ]);
    let report = Folder::with(ROOM).source().with_environment(given).report(&|_| Ok(Vec::new()));
    let shown: Vec<_> = report.mistakes.iter().map(Problem::to_string).collect();
    assert_eq!(shown.len(), 3, "{shown:#?}");
    assert!(
        shown[0].starts_with("environment WAITROOM_SERVER_MAX_CONNECTIONS: server.max_connections: "),
        "{shown:#?}"
    );
    assert!(shown[1].starts_with("environment WAITROOM_SERVER_SECURE_COOKIES: server.secure_cookies: "), "{shown:#?}");
    assert!(shown[2].starts_with("environment WAITROOM_SERVER_LISTEN: server.listen[1]: "), "{shown:#?}");
    let warned = |w: &Problem| {
        w.to_string().contains("WAITROOM_STORE_ULR: is ignored") && w.message.contains("WAITROOM_STORE_URL?")
    };
    assert!(report.warnings.iter().any(warned), "{:#?}", lines(&report.warnings));
}

#[test]
fn origin_and_rate_make_one_room_for_everything() {
    let config = Source::origin("https://shop.example", 2.5).load(&|_| Ok(Vec::new())).unwrap().config;
    let room = &config.rooms[0];
    assert_eq!((room.name.as_str(), room.rate_per_s, room.hosts.len()), ("default", 2.5, 0));
    assert_eq!(room.upstreams, [Upstream { host: "shop.example".into(), port: 443, tls: true }]);
    assert_eq!((config.rooms.len(), config.store.url), (1, StoreUrl::Memory));
}

#[test]
fn an_origin_with_a_name_hears_its_own_name() {
    let host = |url: &str| {
        let mut config = Source::origin(url, 1.0).load(&|_| Ok(Vec::new())).unwrap().config;
        config.rooms.remove(0).upstream_host
    };
    for (url, name) in [
        ("https://Shop.example", "shop.example"),
        ("https://shop.example:443/", "shop.example"),
        ("http://shop.example:443", "shop.example:443"),
        ("http://shop.example:8000", "shop.example:8000"),
    ] {
        assert_eq!(host(url), UpstreamHost::Fixed(name.to_owned()), "{url}");
    }
    for url in ["http://localhost:3000", "http://127.0.0.1:3000", "https://192.0.2.7", "http://[::1]:3000"] {
        assert_eq!(host(url), UpstreamHost::Preserve, "{url}");
    }
}

#[test]
fn wrong_origin_or_rate_is_told_by_its_flag() {
    let first = |url: &str, rate| Source::origin(url, rate).load(&|_| Ok(Vec::new())).unwrap_err()[0].to_string();
    assert!(first("127.0.0.1:3000", 5.0).starts_with("flag --origin: "));
    assert!(first("http://h/app", 5.0).starts_with("flag --origin: "));
    assert!(first("http://h", -1.0).starts_with("flag --rate: "));
    assert!(first("http://h", f64::NAN).starts_with("flag --rate: "));
    assert!(first("http://h", 2e9).starts_with("flag --rate: must be between 0 and 1000000"));
}
