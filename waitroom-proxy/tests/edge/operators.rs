//! What operators order takes effect on those who wait and those who are in.

use testbed::origin::Origin;

use crate::harness::{Jar, Proxy, room};

#[tokio::test]
async fn pausing_stops_admissions_and_resuming_goes_on() {
    let origin = Origin::start().await.unwrap();
    let proxy = Proxy::start(&origin, &room("rate_per_s = 200\nburst = 2")).await;
    let paused = proxy.order("/admin/rooms/concert/pause").await;
    assert_eq!((paused.status, &paused.json()["paused"]), (200, &true.into()), "{paused:?}");
    let mut jar = Jar::default();
    jar.take(&proxy.page("/", "").await);
    let status = proxy.poll_until(&mut jar, |status| status["paused"] == true).await;
    assert_eq!((&status["state"], status.get("eta_s")), (&"waiting".into(), None), "nobody can tell how long");
    assert!(origin.requests().is_empty());
    assert_eq!(proxy.order("/admin/rooms/concert/resume").await.json()["paused"], false);
    proxy.poll_until(&mut jar, |status| status["state"] == "admitted").await;
    let room = proxy.look("/admin/rooms/concert").await.json();
    assert_eq!((&room["waiting"], &room["stale"]), (&0.into(), &false.into()));
    assert!(room["admitted_total"].as_u64() >= Some(1));
}

#[tokio::test]
async fn f22_a_flush_empties_the_line_and_keeps_sessions() {
    let origin = Origin::start().await.unwrap();
    let proxy = Proxy::start(&origin, &room("rate_per_s = 0.001\nburst = 1")).await;
    let mut inside = Jar::default();
    inside.take(&proxy.page("/", "").await);
    let mut waiting = Jar::default();
    waiting.take(&proxy.page("/", "").await);
    let before = proxy.poll_until(&mut waiting, |status| status["seq"].is_u64()).await;
    assert_eq!(proxy.order("/admin/rooms/concert/flush").await.json()["waiting"], 0);
    let after = proxy.poll_until(&mut waiting, |status| status["seq"].as_u64() > before["seq"].as_u64()).await;
    assert_eq!((&after["state"], &after["position"]), (&"waiting".into(), &1.into()), "at the tail, silently");
    assert!(after["seq"].as_u64() > before["seq"].as_u64());
    assert_eq!(proxy.page("/", &inside.header()).await.body, "ok", "sessions stay");
}

#[tokio::test]
async fn i11_a_reset_begins_a_new_generation_and_everything_is_void() {
    let origin = Origin::start().await.unwrap();
    let proxy = Proxy::start(&origin, &room("rate_per_s = 0.001\nburst = 1")).await;
    let mut inside = Jar::default();
    inside.take(&proxy.page("/", "").await);
    let mut waiting = Jar::default();
    waiting.take(&proxy.page("/", "").await);
    proxy.poll_until(&mut waiting, |status| status["seq"].is_u64()).await;
    let generation = proxy.look("/admin/rooms/concert").await.json()["generation"].as_u64().unwrap();
    assert_eq!(proxy.order("/admin/rooms/concert/reset").await.json()["generation"], generation + 1);
    let bare = inside.0["wr_token_concert"].split('.').skip(1).take(3).collect::<Vec<_>>().join(".");
    origin.forget_requests();
    testbed::wait::until("the session is void", crate::harness::PATIENCE, async || {
        origin.forget_requests();
        proxy.page("/", &inside.header()).await;
        origin.requests().is_empty()
    })
    .await
    .unwrap();
    assert_eq!(proxy.request("GET", "/", &[("X-QUEUE-TOKEN", &bare)]).await.status, 429);
    let again = proxy.poll_until(&mut waiting, |status| status["position"].is_u64()).await;
    assert_eq!(again["position"], 1, "begins anew");
}

#[tokio::test]
async fn refused_a_web_page_that_posts_to_the_operators_listener() {
    let origin = Origin::start().await.unwrap();
    let proxy = Proxy::start(&origin, &room("rate_per_s = 0")).await;
    let post = |host: &str, more: &str| {
        format!(
            "POST /admin/rooms/concert/pause HTTP/1.1\r\nHost: {host}\r\n{more}Content-Length: 0\r\nConnection: close\r\n\r\n"
        )
    };
    let address = proxy.operators.to_string();
    for (what, request) in [
        ("a form", post(&address, "Origin: https://evil.example\r\n")),
        ("a rebound name", post("evil.example", "X-Waitroom-Admin: 1\r\n")),
    ] {
        let answer = crate::harness::exchange(proxy.operators, request.as_bytes()).await;
        assert!(answer.starts_with(b"HTTP/1.1 403"), "{what}: {}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(proxy.look("/admin/rooms/concert").await.json()["paused"], false);
}
