//! The event stream, as a browser gets it.

use serde_json::json;
use testbed::origin::Origin;
use testbed::process::Signal;
use tokio::io::AsyncWriteExt as _;

use crate::harness::{Events, Jar, PATIENCE, Proxy, room};

const CLOSED: &str = "rate_per_s = 0.001\nburst = 1";

/// A visitor in line.
async fn in_line(proxy: &Proxy) -> Jar {
    let mut jar = Jar::default();
    jar.take(&proxy.page("/", "").await);
    proxy.poll_until(&mut jar, |status| status["seq"].is_u64()).await;
    jar
}

fn cookie(jar: &Jar) -> String {
    format!("Cookie: {}\r\n", jar.header())
}

#[tokio::test]
async fn a_stream_tells_of_every_change_and_of_the_turn() {
    let origin = Origin::start().await.unwrap();
    let rooms = room("rate_per_s = 0.001\nburst = 1");
    let proxy = Proxy::start(&origin, &rooms).await;
    proxy.exhaust().await;
    let (first, second) = (in_line(&proxy).await, in_line(&proxy).await);
    let mut events = Events::open(&proxy, &cookie(&second)).await;
    events.until("event: status\n").await;
    events.until("\n\n").await;
    let head = events.head();
    assert_eq!((head.status, head.header("content-type")), (200, "text/event-stream"));
    assert_eq!((head.header("cache-control"), head.header("x-accel-buffering")), ("no-store", "no"));
    assert!(head.all("set-cookie").is_empty(), "the ticket is as it was");
    assert!(events.text.contains("retry: "), "{}", events.text);
    let poll = proxy.request("GET", "/queue/status?room=concert", &[("Cookie", &second.header())]).await.json();
    let told = &events.data("status")[0];
    for member in ["room", "state", "seq", "position", "waiting", "rate_per_s", "paused", "stale"] {
        assert_eq!(told[member], poll[member], "{member}: the same object as a poll gets");
    }
    assert_eq!(told["position"], 2);
    let left = proxy
        .request("POST", "/queue/leave?room=concert", &[("Cookie", &first.header()), ("Content-Length", "0")])
        .await;
    assert_eq!(left.status, 204);
    events.until("\"position\":1,").await;
    assert!(events.data("admitted").is_empty());
    // Now turns come.
    let config = std::fs::read_to_string(&proxy.config).unwrap().replace("rate_per_s = 0.001", "rate_per_s = 100");
    std::fs::write(&proxy.config, config).unwrap();
    proxy.process.signal(Signal::Hangup).unwrap();
    events.until("event: admitted\n").await;
    events.end().await;
    assert_eq!(events.data("admitted")[0]["state"], "admitted");
    let mut jar = second;
    let status = proxy.poll_until(&mut jar, |_| true).await;
    assert_eq!(status["state"], "admitted", "the poll that the event asks for");
    assert!(jar.0.contains_key("wr_token_concert"));
}

#[tokio::test]
async fn a_stream_joins_with_a_pre_ticket_and_gives_one_to_whoever_has_none() {
    let origin = Origin::start().await.unwrap();
    let proxy = Proxy::start(&origin, &room(CLOSED)).await;
    proxy.exhaust().await;
    let mut nobody = Events::open(&proxy, "").await;
    nobody.end().await;
    let told = &nobody.data("status")[0];
    assert_eq!((&told["state"], told.get("seq")), (&json!("waiting"), None));
    let mut jar = Jar::default();
    jar.take(&nobody.head());
    let mut events = Events::open(&proxy, &cookie(&jar)).await;
    events.until("\"position\":1,").await;
    jar.take(&events.head());
    let status = proxy.poll_until(&mut jar, |_| true).await;
    assert_eq!(status["seq"], events.data("status")[0]["seq"], "the head had the ticket with the number");
}

#[tokio::test]
async fn over_the_cap_pages_poll_and_a_place_is_given_back() {
    let origin = Origin::start().await.unwrap();
    let proxy = Proxy::start(&origin, &room(&format!("{CLOSED}\nsse_max_streams = 1"))).await;
    proxy.exhaust().await;
    let (one, two) = (in_line(&proxy).await, in_line(&proxy).await);
    let events = Events::open(&proxy, &cookie(&one)).await;
    let refused = proxy.request("GET", "/queue/events?room=concert", &[("Cookie", &two.header())]).await;
    assert_eq!((refused.status, refused.header("content-type")), (503, "application/problem+json"));
    assert_eq!(refused.json()["type"], "/problems/too-many-requests");
    drop(events);
    testbed::wait::until("the place is free again", PATIENCE, async || {
        Events::open(&proxy, &cookie(&two)).await.head().status == 200
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn refused_streams_that_name_no_room_or_another_method() {
    let origin = Origin::start().await.unwrap();
    let two = room("paths = [\"/a\"]\nrate_per_s = 1")
        + &room("paths = [\"/b\"]\nrate_per_s = 1").replace("\"concert\"", "\"other\"");
    let proxy = Proxy::start(&origin, &two).await;
    let ambiguous = proxy.request("GET", "/queue/events", &[]).await;
    assert_eq!((ambiguous.status, &ambiguous.json()["type"]), (400, &json!("/problems/room-ambiguous")));
    assert_eq!(proxy.request("GET", "/queue/events?room=NO!", &[]).await.status, 400);
    let wrong = proxy.request("POST", "/queue/events?room=other", &[("Content-Length", "0")]).await;
    assert_eq!((wrong.status, wrong.header("allow")), (405, "GET"));
}

#[tokio::test]
async fn a_quiet_stream_has_a_comment_now_and_then_and_counts_as_a_heartbeat() {
    let origin = Origin::start().await.unwrap();
    // Silence would be noticed several times before the first comment.
    let proxy = Proxy::start(&origin, &room(&format!("{CLOSED}\nabandon_after_s = 2"))).await;
    proxy.exhaust().await;
    let (listener, _silent) = (in_line(&proxy).await, in_line(&proxy).await);
    let mut events = Events::open(&proxy, &cookie(&listener)).await;
    events.until("\n:\n\n").await;
    let last = events.data("status").pop().unwrap();
    assert_eq!((&last["position"], &last["waiting"]), (&json!(1), &json!(1)), "{}", events.text);
    assert!(events.data("status").iter().all(|status| status["position"] == 1), "{}", events.text);
    assert_eq!(crate::silence::reaped(&proxy).await, "1", "the silent one only");
}

#[tokio::test]
async fn a_stream_ends_when_the_visitor_leaves_elsewhere() {
    let origin = Origin::start().await.unwrap();
    let proxy = Proxy::start(&origin, &room(CLOSED)).await;
    proxy.exhaust().await;
    let jar = in_line(&proxy).await;
    let mut events = Events::open(&proxy, &cookie(&jar)).await;
    proxy.request("POST", "/queue/leave?room=concert", &[("Cookie", &jar.header()), ("Content-Length", "0")]).await;
    events.until("\"state\":\"none\"").await;
    events.end().await;
}

#[tokio::test]
async fn streams_do_not_keep_the_process_from_ending() {
    let origin = Origin::start().await.unwrap();
    let proxy = Proxy::start(&origin, &room(CLOSED)).await;
    proxy.exhaust().await;
    let jar = in_line(&proxy).await;
    let mut events = Events::open(&proxy, &cookie(&jar)).await;
    events.until("event: status").await;
    let status = proxy.process.terminate(PATIENCE).await.unwrap();
    assert!(status.success());
    assert!(proxy.process.log().contains("ended: nothing is under way"), "{}", proxy.process.log());
    events.end().await;
    assert!(events.text.ends_with("0\r\n\r\n"), "an orderly end: {}", events.text);
}

#[tokio::test]
async fn a_client_that_goes_on_talking_loses_its_stream() {
    let origin = Origin::start().await.unwrap();
    let proxy = Proxy::start(&origin, &room(CLOSED)).await;
    proxy.exhaust().await;
    let jar = in_line(&proxy).await;
    let mut events = Events::open(&proxy, &cookie(&jar)).await;
    events.until("event: status").await;
    events.stream().write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    events.end().await;
}
