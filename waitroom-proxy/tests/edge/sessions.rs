//! Sessions: how long they last, how a client is told of them, and that what is given up stays given up.

use redis::AsyncCommands as _;
use testbed::origin::Origin;
use testbed::redis::PrivateRedis;
use testbed::wait;
use testbed::wire::Wire;

use crate::harness::{Jar, PATIENCE, Proxy, Response, room};

const SLOW: &str = "rate_per_s = 0.001\nburst = 1";

async fn leave(proxy: &Proxy, credential: (&str, &str)) {
    let left = proxy.request("POST", "/queue/leave?room=concert", &[credential, ("Content-Length", "0")]).await;
    assert_eq!(left.status, 204);
}

async fn poll(proxy: &Proxy, fields: &[(&str, &str)]) -> Response {
    proxy.request("GET", "/queue/status?room=concert", fields).await
}

/// The token in a jar, as a header carries it.
fn bare(jar: &Jar) -> String {
    jar.0["wr_token_concert"].split('.').skip(1).take(3).collect::<Vec<_>>().join(".")
}

#[tokio::test]
async fn i2_a_session_of_the_fast_lane_lasts_no_longer_than_any_other() {
    for setting in ["session_ttl_s = 5", "session_max_s = 5"] {
        let (origin, redis) = (Origin::start().await.unwrap(), PrivateRedis::start().await.unwrap());
        let top = format!("[store]\nurl = \"{}\"", redis.url());
        let proxy = Proxy::start_with(&origin, &top, &room(&format!("rate_per_s = 1000\n{setting}"))).await;
        let mut raw = redis::Client::open(redis.url()).unwrap().get_multiplexed_async_connection().await.unwrap();
        let first = proxy.page("/", "").await;
        let cookies = first.all("set-cookie");
        let token = cookies.iter().find(|cookie| cookie.starts_with("wr_token_concert=")).unwrap();
        let (_, age) = token.split_once("Max-Age=").unwrap();
        let age_s: u64 = age.split(';').next().unwrap().parse().unwrap();
        assert!(age_s <= 5, "{setting}: {token}");
        let (now_s, _): (u64, u64) = redis::cmd("TIME").query_async(&mut raw).await.unwrap();
        let ends: Vec<(String, u64)> = raw.zrange_withscores("queue:{concert}:active", 0, -1).await.unwrap();
        assert!(ends.iter().all(|(_, ends_ms)| *ends_ms <= (now_s + 1) * 1_000 + 5_000), "{setting}: {ends:?} {now_s}");
        assert_eq!(ends.len(), 1, "{setting}");
    }
}

#[tokio::test]
async fn i8_a_client_that_left_by_its_token_has_no_place() {
    let origin = Origin::start().await.unwrap();
    let proxy = Proxy::start(&origin, &room(SLOW)).await;
    let mut jar = Jar::default();
    jar.take(&proxy.page("/", "").await);
    let token = bare(&jar);
    let held = proxy.request("GET", "/", &[]).await;
    let waiting = held.header("x-queue-ticket").to_owned();
    leave(&proxy, ("X-QUEUE-TOKEN", &token)).await;
    for credential in [("X-QUEUE-TOKEN", token.as_str()), ("Cookie", &jar.header())] {
        let left = poll(&proxy, &[credential]).await;
        assert_eq!(left.json()["state"], "none", "{left:?}");
        assert!(left.all("x-queue-ticket").is_empty() && left.all("set-cookie").is_empty(), "{left:?}");
    }
    // A place that is as good as ever counts for more than a session that is over.
    let both = poll(&proxy, &[("X-QUEUE-TOKEN", &token), ("X-QUEUE-TICKET", &waiting)]).await;
    assert!(both.json()["seq"].is_u64(), "{both:?}");
}

#[tokio::test]
async fn i8_a_pre_ticket_that_was_given_up_joins_no_line() {
    let origin = Origin::start().await.unwrap();
    let proxy = Proxy::start(&origin, &room("rate_per_s = 0")).await;
    let ticket = poll(&proxy, &[]).await.header("x-queue-ticket").to_owned();
    leave(&proxy, ("X-QUEUE-TICKET", &ticket)).await;
    assert_eq!(poll(&proxy, &[("X-QUEUE-TICKET", &ticket)]).await.json()["state"], "none");
    let page = proxy.request("GET", "/", &[("X-QUEUE-TICKET", &ticket)]).await;
    assert_eq!(page.status, 429);
    assert_ne!(page.header("x-queue-ticket"), ticket, "somebody new");
    assert_eq!(proxy.look("/admin/rooms/concert").await.json()["waiting"], 0);
    let again = poll(&proxy, &[("X-QUEUE-TICKET", page.header("x-queue-ticket"))]).await;
    assert_eq!(again.json()["position"], 1, "who wants to come back can");
}

#[tokio::test]
async fn f21_who_is_let_in_is_told_so_also_when_the_upstream_is_down() {
    let origin = Origin::start().await.unwrap();
    let dead = testbed::ports::free();
    let rooms = format!(
        "[[rooms]]\nname = \"concert\"\nrate_per_s = 0.001\nburst = 2\nupstreams = [\"127.0.0.1:{dead}\"]\n\
         cors_origins = [\"https://shop.example\"]\n"
    );
    let proxy = Proxy::start(&origin, &rooms).await;
    let program = proxy.request("GET", "/a", &[("Origin", "https://shop.example")]).await;
    assert_eq!((program.status, program.header("access-control-allow-origin")), (503, "https://shop.example"));
    assert_eq!(program.header("x-request-id").len(), 32);
    let mut token = program.header("x-queue-token").to_owned();
    let browser = proxy.page("/a", "").await;
    assert!(browser.status == 503 && browser.all("x-queue-token").is_empty(), "{browser:?}");
    let mut jar = Jar::default();
    jar.take(&browser);
    assert!(jar.0.contains_key("wr_token_concert"), "{browser:?}");
    // Nobody else is let in, and these two are.
    for _ in 0..3 {
        assert_eq!(proxy.request("GET", "/a", &[]).await.status, 429);
        let again = proxy.request("GET", "/a", &[("X-QUEUE-TOKEN", &token)]).await;
        assert_eq!(again.status, 503);
        if let [renewed] = again.all("x-queue-token")[..] {
            renewed.clone_into(&mut token);
        }
        let again = proxy.page("/a", &jar.header()).await;
        assert_eq!(again.status, 503);
        jar.take(&again);
    }
}

#[tokio::test]
async fn f4_who_passes_while_the_store_is_away_keeps_the_place_in_line() {
    let (origin, redis) = (Origin::start().await.unwrap(), PrivateRedis::start().await.unwrap());
    let wire = Wire::to(redis.addr()).await.unwrap();
    let policy = "on_unavailable = \"pass\"\non_unavailable_after_s = 1";
    let top = format!("[store]\nurl = \"{}\"\n{policy}", redis.url_via(wire.addr()));
    let proxy = Proxy::start_with(&origin, &top, &room("rate_per_s = 0")).await;
    let mut jar = Jar::default();
    jar.take(&proxy.page("/", "").await);
    let before = proxy.poll_until(&mut jar, |status| status["seq"].is_u64()).await;
    wire.cut().await.unwrap();
    proxy.poll_until(&mut jar, |status| status["state"] == "admitted").await;
    assert!(jar.0.contains_key("wr_ticket_concert"), "{jar:?}");
    wire.mend().await.unwrap();
    // The session that no store knows of is not over yet; once it is, the ticket is all there is.
    jar.0.remove("wr_token_concert");
    let ticket = jar.header();
    let after = wait::until_some("the door is guarded again", PATIENCE, async || {
        let status = poll(&proxy, &[("Cookie", &ticket)]).await.json();
        (status["state"] == "waiting" && status["stale"] == false).then_some(status)
    });
    assert_eq!(after.await.unwrap()["seq"], before["seq"], "i4");
}

/// No store knows of such a session, so no bit says that it ended.
#[tokio::test]
async fn i8_a_session_given_while_the_store_was_away_ends_when_its_visitor_leaves() {
    let (origin, redis) = (Origin::start().await.unwrap(), PrivateRedis::start().await.unwrap());
    let wire = Wire::to(redis.addr()).await.unwrap();
    let policy = "on_unavailable = \"pass\"\non_unavailable_after_s = 1";
    let top = format!("[store]\nurl = \"{}\"\n{policy}", redis.url_via(wire.addr()));
    let proxy = Proxy::start_with(&origin, &top, &room("rate_per_s = 0\nsession_ttl_s = 20")).await;
    let mut jar = Jar::default();
    jar.take(&proxy.page("/", "").await);
    proxy.poll_until(&mut jar, |status| status["seq"].is_u64()).await;
    wire.cut().await.unwrap();
    let inside = proxy.poll_until(&mut jar, |status| status["state"] == "admitted").await;
    let lasts = inside["expires_at_ms"].as_u64().unwrap() - inside["server_time_ms"].as_u64().unwrap();
    assert!(lasts <= 20_000, "no longer than any session of the room: {lasts} ms");
    let ticket = format!("wr_ticket_concert={}", jar.0.remove("wr_ticket_concert").unwrap());
    assert_eq!(proxy.page("/", &jar.header()).await.body, "ok");
    wire.mend().await.unwrap();
    let guarded = async || {
        let status = poll(&proxy, &[("Cookie", &ticket)]).await.json();
        status["state"] == "waiting" && status["stale"] == false
    };
    wait::until("the door to be guarded again", PATIENCE, guarded).await.unwrap();
    leave(&proxy, ("Cookie", &jar.header())).await;
    origin.forget_requests();
    proxy.page("/", &jar.header()).await;
    assert!(origin.requests().is_empty(), "a replayed token of a session that was left");
}

#[tokio::test]
async fn a_client_is_told_of_its_session_the_way_that_it_proved_it() {
    let origin = Origin::start().await.unwrap();
    let proxy = Proxy::start(&origin, &room("rate_per_s = 1000")).await;
    let [mut ended, mut live] = [Jar::default(), Jar::default()];
    ended.take(&proxy.page("/", "").await);
    live.take(&proxy.page("/", "").await);
    let token = bare(&live);
    // The first request with the token makes the session whole, which is news.
    let junk = [("Accept", "text/html"), ("X-QUEUE-TICKET", "junk"), ("X-QUEUE-TOKEN", "a.b.c")];
    let cookie = live.header();
    let whole = proxy.request("GET", "/", &[&[("Cookie", cookie.as_str())][..], &junk].concat()).await;
    assert!(whole.all("x-queue-token").is_empty(), "{whole:?}");
    assert!(whole.all("set-cookie").iter().any(|cookie| cookie.starts_with("wr_token_concert=")), "{whole:?}");
    let header = proxy.request("GET", "/", &[("X-QUEUE-TOKEN", &token)]).await;
    assert!(header.all("set-cookie").is_empty(), "{header:?}");
    assert_eq!(header.all("x-queue-token").len(), 1, "{header:?}");
    // A cookie of a session that is over hides nothing.
    leave(&proxy, ("Cookie", &ended.header())).await;
    origin.forget_requests();
    let shadowed = proxy.request("GET", "/", &[("Cookie", &ended.header()), ("X-QUEUE-TOKEN", &token)]).await;
    let seen = origin.requests().pop().unwrap();
    let claims = |token: &str| token.split('.').nth(1).unwrap().to_owned();
    let vid = |token: &str| -> serde_json::Value {
        use base64::Engine as _;
        let json = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims(token)).unwrap();
        serde_json::from_slice::<serde_json::Value>(&json).unwrap()["sub"].clone()
    };
    assert_eq!(vid(seen.header("x-queue-token").unwrap()), vid(&token), "not somebody new");
    assert!(shadowed.all("set-cookie").is_empty(), "{shadowed:?}");
}

#[tokio::test]
async fn the_only_ticket_names_the_room_whatever_else_is_shown() {
    let origin = Origin::start().await.unwrap();
    let rooms = room("paths = [\"/a\"]\nrate_per_s = 1000")
        + &room("paths = [\"/b\"]\nrate_per_s = 0").replace("\"concert\"", "\"other\"");
    let proxy = Proxy::start(&origin, &rooms).await;
    let mut jar = Jar::default();
    jar.take(&proxy.page("/a", "").await);
    let by_session = proxy.request("GET", "/queue/status", &[("Cookie", &jar.header())]).await;
    assert_eq!(by_session.json()["room"], "concert", "nothing else is shown");
    jar.take(&proxy.page("/b", "").await);
    for more in ["", "; wr_ticket_concert=junk"] {
        let cookies = jar.header() + more;
        let poll = proxy.request("GET", "/queue/status", &[("Cookie", &cookies)]).await;
        assert_eq!((poll.status, &poll.json()["room"]), (200, &"other".into()), "{more}: {poll:?}");
    }
    let junk = proxy.request("GET", "/queue/status", &[("Cookie", "wr_ticket_concert=junk")]).await;
    assert_eq!(junk.json()["type"], "/problems/room-ambiguous");
}

#[tokio::test]
async fn a_client_with_a_ticket_header_finds_the_new_one_there_beside_a_page() {
    let origin = Origin::start().await.unwrap();
    let proxy = Proxy::start(&origin, &room("rate_per_s = 0")).await;
    let page = proxy.request("GET", "/", &[("Accept", "text/html"), ("X-QUEUE-TICKET", "junk")]).await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    let joined = poll(&proxy, &[("X-QUEUE-TICKET", page.header("x-queue-ticket"))]).await;
    assert_eq!(joined.json()["position"], 1);
    assert!(proxy.page("/", "").await.all("x-queue-ticket").is_empty(), "a browser has its cookie");
}
