//! WebSockets that are quiet, that never come about, and that outlive their session.

use futures_util::{SinkExt as _, StreamExt as _};
use testbed::origin::{Origin, Script};
use testbed::wait;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{PATIENCE, Proxy, room};

const SHORT: &str = "timeouts = { connect_ms = 500, read_ms = 200, write_ms = 500, idle_ms = 5000 }";

/// Waits until so much time has passed by the proxy's clock.
async fn time_passes(proxy: &Proxy, ms: u64) {
    let now = async || {
        let status = proxy.request("GET", "/queue/status?room=concert", &[]).await.json();
        status["server_time_ms"].as_u64().unwrap()
    };
    let then = now().await;
    wait::until("time to pass", PATIENCE, async || now().await >= then + ms).await.unwrap();
}

#[tokio::test]
async fn a_tunnel_may_be_quiet_for_longer_than_an_answer() {
    let origin = Origin::start().await.unwrap();
    origin.script("/ws", Script::new().websocket_echo());
    let proxy = Proxy::start(&origin, &room(&format!("rate_per_s = 1000\n{SHORT}"))).await;
    let (mut socket, _) = tokio_tungstenite::connect_async(format!("ws://{}/ws", proxy.visitors)).await.unwrap();
    for text in ["before", "after"] {
        socket.send(Message::text(text)).await.unwrap();
        let echo = tokio::time::timeout(PATIENCE, socket.next()).await.expect("an echo");
        assert_eq!(echo.expect("cut while it was quiet").unwrap(), Message::text(text));
        time_passes(&proxy, 1_000).await;
    }
}

#[tokio::test]
async fn f21_an_upgrade_that_is_not_answered_times_out_as_any_request() {
    let origin = Origin::start().await.unwrap();
    origin.script("/silent", Script::new().silence());
    let proxy = Proxy::start(&origin, &room(&format!("rate_per_s = 1000\n{SHORT}"))).await;
    let request = "GET /silent HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    let answer = proxy.raw(request).await;
    assert_eq!((answer.status, &answer.json()["type"]), (504, &"/problems/upstream-unavailable".into()));
    let refused = request.replace("/silent", "/plain").replace("n: Upgrade", "n: Upgrade, close");
    let refused = proxy.raw(&refused).await;
    assert_eq!(refused.body, "ok", "an upstream that does not upgrade answers as ever");
}

#[tokio::test]
async fn i2_a_tunnel_ends_with_its_session() {
    let origin = Origin::start().await.unwrap();
    origin.script("/ws", Script::new().websocket_echo());
    // Nothing can extend this session.
    let rooms = room("rate_per_s = 1000\nsession_ttl_s = 2\nclaim_ttl_s = 15\nsession_renewal = false");
    let proxy = Proxy::start(&origin, &rooms).await;
    let (mut socket, _) = tokio_tungstenite::connect_async(format!("ws://{}/ws", proxy.visitors)).await.unwrap();
    socket.send(Message::text("one")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("one"));
    let end = tokio::time::timeout(PATIENCE, socket.next()).await.expect("it ends by itself");
    assert!(!matches!(end, Some(Ok(_))), "{end:?}");
}
