//! Every line under *Refused* that the edge answers for. Nothing here may reach the origin.

use base64::Engine as _;
use testbed::origin::Origin;

use crate::harness::{Jar, Proxy, exchange, room};

const SHUT: &str = "rate_per_s = 0\nbypass_paths = [\"/assets/\"]";

#[tokio::test]
async fn refused_forged_tokens_of_every_kind() {
    let origin = Origin::start().await.unwrap();
    let proxy = Proxy::start(&origin, &room("rate_per_s = 0.001\nburst = 1")).await;
    let mut jar = Jar::default();
    jar.take(&proxy.page("/", "").await);
    let good: Vec<&str> = jar.0["wr_token_concert"].split('.').collect();
    let (head, claims, signature) = (good[1], good[2], good[3]);
    let encode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    let decoded = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims).unwrap();
    let other_room = encode(&String::from_utf8(decoded).unwrap().replace("concert", "another"));
    origin.forget_requests();
    for token in [
        format!("{}.{claims}.", encode(r#"{"alg":"none","typ":"JWT"}"#)),
        format!("{}.{claims}.{signature}", encode(r#"{"alg":"HS256","typ":"JWT","kid":"ephemeral"}"#)),
        format!("{head}.{other_room}.{signature}"),
        format!("{}.{claims}.{signature}", encode(r#"{"alg":"EdDSA","typ":"JWT","kid":"unknown"}"#)),
        "garbage".to_owned(),
        "a.b.c".to_owned(),
        "x".repeat(2_000),
    ] {
        let response = proxy.request("GET", "/", &[("X-QUEUE-TOKEN", &token)]).await;
        assert_eq!(response.status, 429, "{token}");
    }
    assert!(origin.requests().is_empty(), "i10");
    // The session behind it is good as it is.
    let whole = format!("{head}.{claims}.{signature}");
    assert_eq!(proxy.request("GET", "/", &[("X-QUEUE-TOKEN", &whole)]).await.body, "ok");
    let twice = proxy.request("GET", "/", &[("X-QUEUE-TOKEN", &whole), ("X-QUEUE-TOKEN", &whole)]).await;
    assert_eq!(twice.status, 429, "which of the two?");
}

#[tokio::test]
async fn refused_changed_and_doubled_cookies() {
    let origin = Origin::start().await.unwrap();
    let proxy = Proxy::start(&origin, &room("rate_per_s = 0.001\nburst = 1")).await;
    let mut jar = Jar::default();
    jar.take(&proxy.page("/", "").await);
    origin.forget_requests();
    let sealed = jar.0["wr_token_concert"].clone();
    for cookies in [
        format!("wr_token_concert={}", sealed.replace("AQAAAA", "AQAAAB")),
        format!("wr_token_concert={}", &sealed[..sealed.len() - 1]),
        format!("wr_token_other={sealed}"),
        format!("wr_token_concert={sealed}; wr_token_concert={sealed}"),
        "wr_token_concert=".to_owned(),
    ] {
        let response = proxy.request("GET", "/", &[("Cookie", &cookies)]).await;
        assert_eq!(response.status, 429, "{cookies}");
    }
    assert!(origin.requests().is_empty(), "i10");
}

#[tokio::test]
async fn refused_paths_that_two_servers_could_read_in_two_ways() {
    let origin = Origin::start().await.unwrap();
    let proxy = Proxy::start(&origin, &room(SHUT)).await;
    for path in [
        "/assets/../checkout",
        "/assets/%2e%2e/checkout",
        "/assets/%2E./checkout",
        "/assets/..%2fcheckout",
        "/assets/a%2Fb",
        "/assets//a",
        "//assets/a",
        "/assets/a\\b",
        "/assets/a%5cb",
        "/assets/%00",
        "/./assets/a",
    ] {
        let response = proxy.request("GET", path, &[]).await;
        assert_eq!(response.status, 400, "{path}");
        assert_eq!(response.json()["type"], "/problems/bad-request", "{path}");
    }
    assert!(origin.requests().is_empty());
    assert_eq!(proxy.request("GET", "/assets/a.css?x=../y", &[]).await.body, "ok");
}

#[tokio::test]
async fn refused_framing() {
    let origin = Origin::start().await.unwrap();
    let proxy = Proxy::start(&origin, &room(SHUT)).await;
    let head = "POST /assets/a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
    for (what, request) in [
        ("CL and TE", format!("{head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")),
        ("two lengths", format!("{head}Content-Length: 0\r\nContent-Length: 0\r\n\r\n")),
        ("different lengths", format!("{head}Content-Length: 0\r\nContent-Length: 5\r\n\r\n")),
        ("obs-fold", format!("{head}X-A: b\r\n c\r\n\r\n")),
        ("bare LF", "GET /assets/a HTTP/1.1\nHost: localhost\n\n".to_owned()),
        ("one bare LF", "GET /assets/a HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n".to_owned()),
        ("no host", "GET /assets/a HTTP/1.1\r\nConnection: close\r\n\r\n".to_owned()),
        ("two hosts", "GET /assets/a HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n".to_owned()),
        ("lower-case method", "get /assets/a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".to_owned()),
    ] {
        let answer = exchange(proxy.visitors, request.as_bytes()).await;
        assert!(answer.starts_with(b"HTTP/1.1 400"), "{what}: {}", String::from_utf8_lossy(&answer));
    }
    assert!(origin.requests().is_empty());
}

#[tokio::test]
async fn refused_large_heads() {
    let origin = Origin::start().await.unwrap();
    let proxy = Proxy::start(&origin, &room(SHUT)).await;
    let long = "x".repeat(17 * 1024);
    assert_eq!(proxy.request("GET", "/assets/a", &[("X-Long", &long)]).await.status, 431);
    let many: Vec<(String, String)> = (0..101).map(|i| (format!("X-{i}"), "y".to_owned())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert_eq!(proxy.request("GET", "/assets/a", &many).await.status, 431);
    assert!(origin.requests().is_empty());
}

#[tokio::test]
async fn refused_hosts_of_no_room() {
    let origin = Origin::start().await.unwrap();
    let proxy = Proxy::start(&origin, &room("rate_per_s = 500\nhosts = [\"shop.example\"]")).await;
    let get = |host: &str| format!("GET /a HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let unknown = proxy.raw(&get("evil.example")).await;
    assert_eq!((unknown.status, unknown.json()["type"].as_str()), (421, Some("/problems/unknown-host")));
    assert!(origin.requests().is_empty());
    for good in ["shop.example", "SHOP.example:8080", "shop.example."] {
        assert_eq!(proxy.raw(&get(good)).await.body, "ok", "{good}");
    }
}

#[tokio::test]
async fn refused_fields_that_only_the_proxy_sets() {
    let origin = Origin::start().await.unwrap();
    let proxy = Proxy::start(&origin, &room("rate_per_s = 100")).await;
    let hostile = [
        ("X-QUEUE-TOKEN", "forged"),
        ("X-Queue-Anything", "forged"),
        ("X_Queue_Token", "forged"),
        ("X-Forwarded-For", "6.6.6.6"),
        ("X-Forwarded-Proto", "gopher"),
        ("Forwarded", "for=6.6.6.6"),
        ("X-Real-IP", "6.6.6.6"),
        ("Connection", "X-QUEUE-TOKEN, X-Forwarded-For"),
    ];
    assert_eq!(proxy.request("GET", "/", &hostile).await.body, "ok");
    let seen = &origin.requests()[0];
    assert_eq!(seen.header_all("x-queue-token").len(), 1);
    assert_ne!(seen.header("x-queue-token"), Some("forged"));
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.header("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.header("x-forwarded-host"), Some("localhost"));
    assert!(seen.header("x-request-id").is_some_and(|id| id.len() == 32));
    assert!(seen.header("traceparent").is_some());
    for gone in ["x-queue-anything", "x_queue_token", "forwarded", "x-real-ip"] {
        assert_eq!(seen.header(gone), None, "{gone}");
    }
}

#[tokio::test]
async fn i11_a_ticket_or_token_of_another_room_counts_for_nothing() {
    let origin = Origin::start().await.unwrap();
    let rooms = room("paths = [\"/a\"]\nrate_per_s = 50")
        + &room("paths = [\"/b\"]\nrate_per_s = 0").replace("\"concert\"", "\"other\"");
    let proxy = Proxy::start(&origin, &rooms).await;
    let mut jar = Jar::default();
    jar.take(&proxy.page("/a", "").await);
    let sealed = jar.0["wr_token_concert"].clone();
    let bare = sealed.split('.').skip(1).take(3).collect::<Vec<_>>().join(".");
    origin.forget_requests();
    assert_eq!(proxy.request("GET", "/b", &[("Cookie", &format!("wr_token_other={sealed}"))]).await.status, 429);
    assert_eq!(proxy.request("GET", "/b", &[("X-QUEUE-TOKEN", &bare)]).await.status, 429);
    assert!(origin.requests().is_empty());
}

#[tokio::test]
async fn refused_targets_that_are_no_path() {
    let origin = Origin::start().await.unwrap();
    let proxy = Proxy::start(&origin, &room("rate_per_s = 0\npaths = [\"/buy\"]")).await;
    for target in ["buy/secret.txt", "../buy", "\\buy", "%2fbuy", "*", "ftp://localhost/buy", "http://other.example/a"]
    {
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let answer = exchange(proxy.visitors, request.as_bytes()).await;
        assert!(answer.starts_with(b"HTTP/1.1 400"), "{target}: {}", String::from_utf8_lossy(&answer));
    }
    assert!(origin.requests().is_empty(), "i10");
    for (target, path) in
        [("http://localhost/a?b=c", "/a?b=c"), ("HTTP://localhost?q", "/?q"), ("http://localhost", "/")]
    {
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        assert_eq!(proxy.raw(&request).await.body, "ok", "{target}");
        let seen = origin.requests().pop().unwrap();
        let query = seen.query.map_or_else(String::new, |query| format!("?{query}"));
        assert_eq!(seen.path + &query, path, "what is matched is what the upstream sees");
    }
    let held = proxy.raw("GET http://localhost/buy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert_eq!(held.status, 429);
}

#[tokio::test]
async fn refused_a_second_name_in_the_host() {
    let origin = Origin::start().await.unwrap();
    let rooms = room("rate_per_s = 0\nhosts = [\"a.test\"]\npaths = [\"/buy\"]")
        + &room("rate_per_s = 0\nhosts = [\"b.test\"]\npaths = [\"/other\"]").replace("\"concert\"", "\"other\"");
    let proxy = Proxy::start(&origin, &rooms).await;
    for host in ["b.test:a.test", "b.test:80:a.test", "a.test@b.test"] {
        let request = format!("GET /buy HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = exchange(proxy.visitors, request.as_bytes()).await;
        assert!(answer.starts_with(b"HTTP/1.1 400"), "{host}: {}", String::from_utf8_lossy(&answer));
    }
    assert!(origin.requests().is_empty());
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let origin = Origin::start().await.unwrap();
    let proxy = Proxy::start(&origin, &room("rate_per_s = 0")).await;
    for more in ["", "Expect: 100-continue\r\n"] {
        // No `Connection: close`: the answer must come, and the close after it, while the client waits.
        let request = format!("POST /buy HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n{more}\r\n");
        let answer = exchange(proxy.visitors, request.as_bytes()).await;
        assert!(answer.starts_with(b"HTTP/1.1 429"), "{more}: {}", String::from_utf8_lossy(&answer));
    }
}

#[tokio::test]
async fn a_void_ticket_takes_no_place_however_often_it_is_shown() {
    let origin = Origin::start().await.unwrap();
    let proxy = Proxy::start(&origin, &room("rate_per_s = 0")).await;
    let mut jar = Jar::default();
    jar.take(&proxy.page("/", "").await);
    proxy.poll_until(&mut jar, |status| status["seq"].is_u64()).await;
    assert_eq!(proxy.order("/admin/rooms/concert/flush").await.status, 200);
    for _ in 0..20 {
        proxy.request("GET", "/", &[("Cookie", &jar.header())]).await;
        proxy.request("GET", "/queue/status?room=concert", &[("Cookie", &jar.header())]).await;
    }
    assert_eq!(proxy.look("/admin/rooms/concert").await.json()["waiting"], 0);
    let again = proxy.poll_until(&mut jar, |status| status["seq"].is_u64()).await;
    assert_eq!(again["position"], 1, "who keeps what is answered gets a place at the tail");
}
