//! Upstreams: several, slow, gone, speaking WebSocket.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use redis::AsyncCommands as _;
use testbed::origin::Origin;
use testbed::origin::Script;
use testbed::redis::PrivateRedis;
use testbed::wire::Wire;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::harness::{Jar, Proxy, Response, exchange, room};

#[tokio::test]
async fn takes_turns_and_leaves_out_who_is_gone() {
    let (one, two) = (Origin::start().await.unwrap(), Origin::start().await.unwrap());
    let dead = testbed::ports::free();
    let rooms = format!(
        "[[rooms]]\nname = \"concert\"\nrate_per_s = 1000\npaths = [\"/queued\"]\nupstreams = [\"{}\", \"{}\", \"127.0.0.1:{dead}\"]\n",
        one.addr(),
        two.addr()
    );
    let proxy = Proxy::start(&one, &rooms).await;
    for _ in 0..30 {
        assert_eq!(proxy.request("GET", "/a", &[]).await.body, "ok");
    }
    assert!(
        one.requests().len() >= 10 && two.requests().len() >= 10,
        "{} {}",
        one.requests().len(),
        two.requests().len()
    );
}

#[tokio::test]
async fn plain_and_tls_upstreams_stand_side_by_side() {
    let origin = Origin::start().await.unwrap();
    let dead = testbed::ports::free();
    let rooms = room("rate_per_s = 1000\npaths = [\"/queued\"]")
        .replace("\"{origin}\"", &format!("\"{{origin}}\", \"https://127.0.0.1:{dead}\""));
    let proxy = Proxy::start(&origin, &rooms).await;
    for _ in 0..4 {
        assert_eq!(proxy.request("GET", "/a", &[]).await.body, "ok", "the plain one is spoken to plainly");
    }
}

#[tokio::test]
async fn a_request_has_one_id_for_everybody() {
    let origin = Origin::start().await.unwrap();
    let rooms = room("rate_per_s = 1000\npaths = [\"/queued\"]");
    let fields = [("X-Request-Id", "theirs"), ("traceparent", "junk")];
    for (top, theirs) in [("trusted_proxies = [\"127.0.0.0/8\"]", true), ("", false)] {
        let proxy = Proxy::start_with(&origin, top, &rooms).await;
        let answer = proxy.request("GET", "/a", &fields).await;
        let seen = origin.requests().pop().unwrap();
        assert_eq!(seen.header("x-request-id"), Some(answer.header("x-request-id")), "{top}");
        assert_eq!(answer.header("x-request-id") == "theirs", theirs, "{top}");
        assert_ne!(seen.header("traceparent"), Some("junk"));
    }
}

#[tokio::test]
async fn f21_slow_broken_and_absent_upstreams_have_an_answer() {
    let origin = Origin::start().await.unwrap();
    origin.script("/silent", Script::new().silence());
    origin.script("/gone", Script::new().hang_up());
    origin.script("/500", Script::new().status(500).body("theirs"));
    origin.script("/cut", Script::new().reset_in_body("half"));
    let timeouts = "timeouts = { connect_ms = 500, read_ms = 300, write_ms = 500, idle_ms = 5000 }";
    let proxy = Proxy::start(&origin, &room(&format!("rate_per_s = 1000\npaths = [\"/queued\"]\n{timeouts}"))).await;
    let silent = proxy.request("GET", "/silent", &[]).await;
    assert_eq!((silent.status, silent.json()["type"].as_str()), (504, Some("/problems/upstream-unavailable")));
    let gone = proxy.request("GET", "/gone", &[]).await;
    assert_eq!((gone.status, gone.json()["type"].as_str()), (502, Some("/problems/upstream-unavailable")));
    let theirs = proxy.request("GET", "/500", &[]).await;
    assert_eq!((theirs.status, theirs.body.as_str()), (500, "theirs"), "their errors are theirs");
    let cut = exchange(proxy.visitors, b"GET /cut HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert!(!Response::parse(&cut).body.contains("problems"), "an answer begun is not answered twice");
}

#[tokio::test]
async fn no_upstream_at_all_is_a_503() {
    let origin = Origin::start().await.unwrap();
    let dead = testbed::ports::free();
    let rooms = format!(
        "[[rooms]]\nname = \"concert\"\nrate_per_s = 1000\npaths = [\"/queued\"]\nupstreams = [\"127.0.0.1:{dead}\"]\n"
    );
    let proxy = Proxy::start(&origin, &rooms).await;
    let response = proxy.request("GET", "/a", &[]).await;
    assert_eq!((response.status, response.json()["type"].as_str()), (503, Some("/problems/upstream-unavailable")));
    let page = proxy.page("/a", "").await;
    assert!(page.status == 503 && page.body.contains("<h1>"), "people get words: {page:?}");
}

#[tokio::test]
async fn a_health_check_takes_a_bad_upstream_out() {
    let (good, bad) = (Origin::start().await.unwrap(), Origin::start().await.unwrap());
    bad.script("/readyz", Script::new().status(503));
    let rooms = format!(
        "[[rooms]]\nname = \"concert\"\nrate_per_s = 1000\npaths = [\"/queued\"]\nupstreams = [\"{}\", \"{}\"]\nhealth = {{ path = \"/readyz\", interval_s = 1 }}\n",
        good.addr(),
        bad.addr()
    );
    let proxy = Proxy::start(&good, &rooms).await;
    testbed::wait::until("the bad upstream is out", crate::harness::PATIENCE, async || {
        bad.forget_requests();
        for _ in 0..6 {
            assert_eq!(proxy.request("GET", "/a", &[]).await.body, "ok");
        }
        bad.requests().iter().all(|seen| seen.path == "/readyz")
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn websockets_pass_through() {
    let origin = Origin::start().await.unwrap();
    origin.script("/ws", Script::new().websocket_echo());
    let proxy = Proxy::start(&origin, &room("rate_per_s = 1000")).await;
    let (mut socket, response) = tokio_tungstenite::connect_async(format!("ws://{}/ws", proxy.visitors)).await.unwrap();
    assert_eq!(response.status(), 101);
    for text in ["one", "two"] {
        socket.send(Message::text(text)).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text(text));
    }
    assert!(origin.requests()[0].header("x-queue-token").is_some(), "checked at the upgrade");
}

#[tokio::test]
async fn i2_a_websocket_makes_its_session_whole_at_once() {
    let origin = Origin::start().await.unwrap();
    origin.script("/ws", Script::new().websocket_echo());
    let proxy = Proxy::start(&origin, &room("rate_per_s = 1000\nmax_active = 1\nsession_ttl_s = 60")).await;
    let (_socket, _) = tokio_tungstenite::connect_async(format!("ws://{}/ws", proxy.visitors)).await.unwrap();
    // Fifteen seconds are what a provisional session gets; a whole one has longer to go.
    testbed::wait::until("the session is whole", crate::harness::PATIENCE, async || {
        proxy.look("/metrics").await.body.contains("operation=\"touch\"")
    })
    .await
    .unwrap();
    assert_eq!(proxy.look("/admin/rooms/concert").await.json()["active"], 1);
    assert_eq!(proxy.request("GET", "/", &[]).await.status, 429, "the slot is taken");
}

#[tokio::test]
async fn tunnels_with_nothing_to_extend_hold_nobody_up() {
    let origin = Origin::start().await.unwrap();
    origin.script("/ws", Script::new().websocket_echo());
    // Sessions as short as provisional ones, which so have nothing to gain.
    let proxy = Proxy::start(&origin, &room("rate_per_s = 1000\nsession_ttl_s = 4\nclaim_ttl_s = 10")).await;
    let mut tunnels = Vec::new();
    for _ in 0..8 {
        tunnels.push(tokio_tungstenite::connect_async(format!("ws://{}/ws", proxy.visitors)).await.unwrap());
    }
    for _ in 0..20 {
        assert_eq!(proxy.request("GET", "/", &[]).await.body, "ok");
    }
}

#[tokio::test]
async fn i2_a_websocket_does_not_prove_a_session_that_has_run_out() {
    let (origin, redis) = (Origin::start().await.unwrap(), PrivateRedis::start().await.unwrap());
    let wire = Wire::to(redis.addr()).await.unwrap();
    origin.script("/ws", Script::new().websocket_echo());
    let top = format!("[store]\nurl = \"{}\"", redis.url_via(wire.addr()));
    let rooms = room("rate_per_s = 1000\nmax_active = 1\nsession_ttl_s = 4\nclaim_ttl_s = 10");
    let proxy = Proxy::start_with(&origin, &top, &rooms).await;
    // By way of the line: a whole session from the beginning, that nobody has to extend at once.
    let mut jar = Jar::default();
    proxy.poll_until(&mut jar, |status| status["state"] == "admitted").await;
    let mut request = format!("ws://{}/ws", proxy.visitors).into_client_request().unwrap();
    request.headers_mut().insert("cookie", jar.header().parse().unwrap());
    let (_socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    let mut raw = redis::Client::open(redis.url()).unwrap().get_multiplexed_async_connection().await.unwrap();
    wire.cut().await.unwrap();
    // The store is away for longer than the session lasts, so that nobody can extend it.
    loop {
        let key = "queue:{concert}:active";
        let ends: Vec<(String, u64)> = raw.zrange_withscores(key, 0, -1).await.unwrap();
        let (now_s, _): (u64, u64) = redis::cmd("TIME").query_async(&mut raw).await.unwrap();
        if ends.iter().all(|(_, ends_ms)| ends_ms / 1_000 + 1 < now_s) {
            break;
        }
        tokio::task::yield_now().await;
    }
    wire.mend().await.unwrap();
    let mut next = Jar::default();
    proxy.poll_until(&mut next, |status| status["stale"] == false).await;
    // The tunnel has touched every second, and touches once more; the slot is the next visitor's all the same.
    proxy.poll_until(&mut next, |status| status["state"] == "admitted").await;
}

#[tokio::test]
async fn bodies_stream_both_ways() {
    let origin = Origin::start().await.unwrap();
    origin.script("/echo", Script::new().echo());
    origin.script("/slow", Script::new().chunks(["one ", "two ", "three"], Duration::from_millis(10)));
    let proxy = Proxy::start(&origin, &room("rate_per_s = 1000\npaths = [\"/queued\"]")).await;
    let body = "x".repeat(300_000);
    let echoed = proxy
        .raw(&format!(
            "POST /echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
    assert!(echoed.body.contains(&body[..1_000]) && echoed.body.len() >= body.len());
    let slow = proxy.request("GET", "/slow", &[]).await;
    for part in ["one", "two", "three"] {
        assert!(slow.body.contains(part), "{slow:?}");
    }
}
