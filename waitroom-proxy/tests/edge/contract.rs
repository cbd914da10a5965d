//! What visitors, API clients and the upstream are promised.

use serde_json::json;
use testbed::origin::Origin;
use testbed::origin::Script;

use crate::harness::{Jar, Proxy, room};

const SLOW: &str = "rate_per_s = 0.001\nburst = 1";

#[tokio::test]
async fn first_sight_goes_straight_through_and_the_next_waits() {
    let origin = Origin::start().await.unwrap();
    let proxy = Proxy::start(&origin, &room(SLOW)).await;
    let first = proxy.page("/buy", "").await;
    assert_eq!((first.status, first.body.as_str()), (200, "ok"));
    assert!(first.all("set-cookie").iter().any(|c| c.starts_with("wr_token_concert=") && c.contains("Max-Age=15")));
    let second = proxy.page("/buy", "").await;
    assert_eq!(second.status, 200);
    assert_eq!(second.header("cache-control"), "no-store", "i24");
    assert_eq!(second.header("x-robots-tag"), "noindex");
    assert!(second.body.contains("http-equiv=\"refresh\" content=\"1\""), "{}", second.body);
    assert!(!second.header("content-security-policy").contains("unsafe-inline"));
    let cookie = second.header("set-cookie");
    assert!(cookie.starts_with("wr_ticket_concert=") && cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"));
    assert_eq!(origin.requests().len(), 1, "i10");
}

#[tokio::test]
async fn api_clients_get_a_429_that_a_program_can_act_on() {
    let origin = Origin::start().await.unwrap();
    let proxy = Proxy::start(&origin, &room(SLOW)).await;
    proxy.exhaust().await;
    for (method, accept) in [("GET", "*/*"), ("POST", "text/html"), ("GET", "application/json")] {
        let response = proxy.request(method, "/api", &[("Accept", accept), ("Content-Length", "0")]).await;
        assert_eq!(response.status, 429, "{method} {accept}");
        assert_eq!(response.header("content-type"), "application/problem+json");
        assert_eq!(response.header("retry-after"), "1");
        let body = response.json();
        assert_eq!(body["type"], "/problems/waiting");
        assert_eq!(body["status"], 429);
        assert_eq!(body["state"], "waiting");
        assert_eq!(body["ticket"], response.header("x-queue-ticket"));
        assert_eq!(body["status_url"], "/queue/status?room=concert");
    }
}

#[tokio::test]
async fn a_pre_ticket_joins_on_the_first_poll_and_on_a_reload_of_the_page() {
    let origin = Origin::start().await.unwrap();
    let proxy = Proxy::start(&origin, &room(SLOW)).await;
    proxy.exhaust().await;
    let mut polls = Jar::default();
    polls.take(&proxy.page("/", "").await);
    let status = proxy.poll_until(&mut polls, |status| status["seq"].is_u64()).await;
    assert_eq!((&status["state"], &status["position"], &status["waiting"]), (&json!("waiting"), &json!(1), &json!(1)));
    let mut reloads = Jar::default();
    reloads.take(&proxy.page("/", "").await);
    let page = proxy.page("/", &reloads.header()).await;
    reloads.take(&page);
    let second = proxy.poll_until(&mut reloads, |_| true).await;
    assert_eq!(second["position"], 2);
    let again = proxy.poll_until(&mut polls, |_| true).await;
    assert_eq!((&again["seq"], &again["position"]), (&status["seq"], &json!(1)), "i4");
}

#[tokio::test]
async fn a_turn_is_claimed_by_a_poll_and_the_token_goes_upstream() {
    let origin = Origin::start().await.unwrap();
    let proxy = Proxy::start(&origin, &room("rate_per_s = 20\nburst = 1")).await;
    proxy.order("/admin/rooms/concert/pause").await;
    let mut jar = Jar::default();
    jar.take(&proxy.page("/", "").await);
    proxy.order("/admin/rooms/concert/resume").await;
    let status = proxy.poll_until(&mut jar, |status| status["state"] == "admitted").await;
    assert!(status["expires_at_ms"].as_u64() > status["server_time_ms"].as_u64());
    assert!(status.get("token").is_none(), "cookies are enough for a browser");
    assert_eq!(jar.0.keys().collect::<Vec<_>>(), ["wr_token_concert"], "the ticket is spent");
    origin.forget_requests();
    let inside = proxy.page("/seats", &format!("{}; theirs=1", jar.header())).await;
    assert_eq!(inside.body, "ok");
    let seen = &origin.requests()[0];
    assert_eq!(seen.header_all("x-queue-token").len(), 1);
    assert_eq!(seen.header("cookie"), Some("theirs=1"));
    let verifier = verifier(&proxy).await;
    let token = verifier.verify(seen.header("x-queue-token").unwrap(), "concert", now_s()).unwrap();
    assert_eq!(token.claims().iss, "waitroom");
}

#[tokio::test]
async fn api_clients_carry_ticket_and_token_in_headers() {
    let origin = Origin::start().await.unwrap();
    let proxy = Proxy::start(&origin, &room("rate_per_s = 20\nburst = 1")).await;
    proxy.order("/admin/rooms/concert/pause").await;
    let held = proxy.request("GET", "/api", &[]).await;
    proxy.order("/admin/rooms/concert/resume").await;
    let mut ticket = held.header("x-queue-ticket").to_owned();
    let began = std::time::Instant::now();
    let token = loop {
        let poll = proxy.request("GET", "/queue/status", &[("X-QUEUE-TICKET", &ticket)]).await;
        if let [new] = poll.all("x-queue-ticket")[..] {
            new.clone_into(&mut ticket);
        }
        if poll.json()["state"] == "admitted" {
            assert!(poll.all("set-cookie").is_empty());
            assert_eq!(poll.json()["token"], poll.header("x-queue-token"));
            break poll.header("x-queue-token").to_owned();
        }
        assert!(began.elapsed() < crate::harness::PATIENCE);
        tokio::task::yield_now().await;
    };
    let inside = proxy.request("POST", "/api", &[("X-QUEUE-TOKEN", &token), ("Content-Length", "0")]).await;
    assert_eq!(inside.body, "ok");
    assert_eq!(origin.requests().last().unwrap().header("x-queue-token"), Some(token.as_str()));
}

#[tokio::test]
async fn leaving_gives_up_place_and_session_for_good() {
    let origin = Origin::start().await.unwrap();
    let proxy = Proxy::start(&origin, &room(SLOW)).await;
    let mut inside = Jar::default();
    inside.take(&proxy.page("/", "").await);
    let kept = inside.clone();
    let mut waiting = Jar::default();
    waiting.take(&proxy.page("/", "").await);
    proxy.poll_until(&mut waiting, |status| status["seq"].is_u64()).await;
    for jar in [&inside, &waiting] {
        let left = proxy
            .request("POST", "/queue/leave?room=concert", &[("Cookie", &jar.header()), ("Content-Length", "0")])
            .await;
        assert_eq!(left.status, 204);
        assert_eq!(left.all("set-cookie").iter().filter(|c| c.contains("Max-Age=0")).count(), 2);
    }
    origin.forget_requests();
    proxy.page("/", &kept.header()).await;
    assert!(origin.requests().is_empty(), "i8: a replayed token of an ended session");
    let mut replayed = waiting.clone();
    assert_eq!(proxy.poll_until(&mut replayed, |_| true).await["state"], "none");
}

#[tokio::test]
async fn the_origin_ends_a_session_and_a_replayed_token_stays_refused() {
    let origin = Origin::start().await.unwrap();
    origin.script("/booked", Script::new().header("X-Queue-Session", "end").body("booked"));
    let proxy = Proxy::start(&origin, &room(SLOW)).await;
    let mut jar = Jar::default();
    jar.take(&proxy.page("/", "").await);
    let booked = proxy.page("/booked", &jar.header()).await;
    assert_eq!(booked.body, "booked");
    assert!(booked.all("x-queue-session").is_empty());
    assert_eq!(booked.all("set-cookie").iter().filter(|c| c.contains("Max-Age=0")).count(), 2);
    origin.forget_requests();
    let token = jar.0["wr_token_concert"].split('.').skip(1).take(3).collect::<Vec<_>>().join(".");
    proxy.page("/", &jar.header()).await;
    proxy.request("GET", "/", &[("X-QUEUE-TOKEN", &token)]).await;
    assert!(origin.requests().is_empty(), "i8");
}

#[tokio::test]
async fn rooms_by_path_bypass_and_open_paths() {
    let origin = Origin::start().await.unwrap();
    let rooms = room("rate_per_s = 0\npaths = [\"/buy\"]\nbypass_paths = [\"/buy/assets/\"]");
    let proxy = Proxy::start(&origin, &rooms).await;
    assert_eq!(proxy.request("GET", "/buy/1", &[]).await.status, 429);
    for open in ["/buy/assets/a.css", "/buyer", "/"] {
        let response = proxy.request("GET", open, &[("X-QUEUE-TOKEN", "forged")]).await;
        assert_eq!(response.body, "ok", "{open}");
    }
    assert!(origin.requests().iter().all(|seen| seen.header("x-queue-token").is_none()));
}

#[tokio::test]
async fn front_ends_on_another_origin() {
    let origin = Origin::start().await.unwrap();
    let proxy = Proxy::start(&origin, &room("rate_per_s = 0\ncors_origins = [\"https://shop.example\"]")).await;
    let ours = [
        ("Origin", "https://shop.example"),
        ("Access-Control-Request-Method", "PUT"),
        ("Access-Control-Request-Headers", "x-queue-token"),
    ];
    let preflight = proxy.request("OPTIONS", "/api", &ours).await;
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.header("access-control-allow-origin"), "https://shop.example");
    assert_eq!(preflight.header("access-control-allow-methods"), "PUT");
    assert_eq!(preflight.header("access-control-allow-headers"), "x-queue-token");
    assert_eq!(preflight.header("access-control-allow-credentials"), "true");
    let held = proxy.request("GET", "/api", &ours[..1]).await;
    assert_eq!(held.header("access-control-expose-headers"), "X-QUEUE-TICKET, X-QUEUE-TOKEN, Retry-After");
    let theirs = [("Origin", "https://evil.example"), ("Access-Control-Request-Method", "PUT")];
    let refused = proxy.request("OPTIONS", "/api", &theirs).await;
    assert_eq!(refused.status, 429);
    assert!(refused.all("access-control-allow-origin").is_empty());
}

#[tokio::test]
async fn which_room_a_status_is_about() {
    let origin = Origin::start().await.unwrap();
    let two = room("paths = [\"/a\"]\nrate_per_s = 1").to_string()
        + &room("paths = [\"/b\"]\nrate_per_s = 1").replace("\"concert\"", "\"other\"");
    let proxy = Proxy::start(&origin, &two).await;
    let ambiguous = proxy.request("GET", "/queue/status", &[]).await;
    assert_eq!((ambiguous.status, &ambiguous.json()["type"]), (400, &json!("/problems/room-ambiguous")));
    assert_eq!(proxy.request("GET", "/queue/status?room=other", &[]).await.json()["room"], "other");
    assert_eq!(proxy.request("GET", "/queue/status?room=gone", &[]).await.json()["state"], "none");
    assert_eq!(proxy.request("GET", "/queue/status?room=NO!", &[]).await.status, 400);
    let mut jar = Jar::default();
    jar.take(&proxy.request("GET", "/queue/status?room=other", &[]).await);
    let by_ticket = proxy.request("GET", "/queue/status", &[("Cookie", &jar.header())]).await;
    assert_eq!(by_ticket.json()["room"], "other");
    let wrong = proxy.request("PUT", "/queue/status", &[("Content-Length", "0")]).await;
    assert_eq!(wrong.status, 405);
}

async fn verifier(proxy: &Proxy) -> queue_token::Verifier {
    let jwks = proxy.request("GET", "/.well-known/jwks.json", &[]).await;
    assert_eq!(jwks.header("cache-control"), "public, max-age=300");
    queue_token::Verifier::from_jwks(&serde_json::from_str(&jwks.body).unwrap(), "waitroom").unwrap()
}

#[expect(clippy::disallowed_methods, reason = "tokens that are good now")]
fn now_s() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}
