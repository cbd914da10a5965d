//! Clients that are slow, on purpose or not (F27).

use testbed::origin::Origin;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{PATIENCE, Proxy, room};

const OPEN: &str = "rate_per_s = 0\npaths = [\"/closed\"]";
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Sends a head that never ends, a byte at a time, until the proxy has had enough.
async fn drip(stream: TcpStream) {
    let (mut read, mut write) = stream.into_split();
    let dripping = async {
        write.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").await.unwrap();
        while write.write_all(b"a").await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    let closed = async {
        let mut rest = Vec::new();
        // A reset is an end, too.
        let _ = read.read_to_end(&mut rest).await;
        assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    };
    tokio::select! {
        () = dripping => {}
        () = closed => {}
    }
}

async fn answered(stream: &mut TcpStream) {
    stream.write_all(REQUEST).await.unwrap();
    let mut answer = vec![0; 4_096];
    let mut text = String::new();
    while !text.ends_with("ok") {
        let read = stream.read(&mut answer).await.unwrap();
        assert!(read > 0, "closed: {text}");
        text.push_str(&String::from_utf8_lossy(&answer[..read]));
    }
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
}

#[tokio::test]
async fn f27_a_head_that_drips_is_cut_off_on_a_new_connection_and_on_a_kept_one() {
    let origin = Origin::start().await.unwrap();
    let proxy = Proxy::start(&origin, &room(OPEN)).await;
    let new = TcpStream::connect(proxy.visitors).await.unwrap();
    let mut kept = TcpStream::connect(proxy.visitors).await.unwrap();
    answered(&mut kept).await;
    answered(&mut kept).await;
    // One that says nothing at all.
    let mut mute = TcpStream::connect(proxy.visitors).await.unwrap();
    let silence = async { mute.read(&mut [0; 64]).await.unwrap_or(0) };
    let all = async { tokio::join!(drip(new), drip(kept), silence) };
    let ((), (), read) = tokio::time::timeout(PATIENCE, all).await.expect("a slow head is cut off");
    assert_eq!(read, 0);
    assert_eq!(proxy.page("/", "").await.body, "ok");
}

#[tokio::test]
async fn f27_slow_bodies_and_slow_answers_are_not_heads() {
    use std::time::Duration;
    use testbed::origin::Script;
    let origin = Origin::start().await.unwrap();
    // Longer than a head may take.
    origin.script("/late", Script::new().delay(Duration::from_secs(11)).body("ok"));
    let proxy = Proxy::start(&origin, &room(OPEN)).await;
    let slow_body = async {
        let mut stream = TcpStream::connect(proxy.visitors).await.unwrap();
        stream.write_all(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 110\r\n\r\n").await.unwrap();
        for _ in 0..110 {
            stream.write_all(b"a").await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let mut text = String::new();
        while !text.ends_with("ok") {
            let mut answer = vec![0; 4_096];
            let read = stream.read(&mut answer).await.unwrap();
            assert!(read > 0, "closed: {text}");
            text.push_str(&String::from_utf8_lossy(&answer[..read]));
        }
        // And the connection is as good as before.
        answered(&mut stream).await;
    };
    let late = async { assert_eq!(proxy.page("/late", "").await.body, "ok") };
    tokio::time::timeout(2 * PATIENCE, async { tokio::join!(slow_body, late) }).await.expect("both are answered");
}

#[tokio::test]
async fn f27_a_kept_connection_of_a_poller_closes_by_itself() {
    let origin = Origin::start().await.unwrap();
    let proxy = Proxy::start(&origin, &room("rate_per_s = 0")).await;
    let mut stream = TcpStream::connect(proxy.visitors).await.unwrap();
    stream.write_all(b"GET /queue/status?room=concert HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut all = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut all)).await.expect("an idle connection is closed").unwrap();
    let text = String::from_utf8_lossy(&all).to_ascii_lowercase();
    assert!(text.starts_with("http/1.1 200") && text.contains("connection: keep-alive"), "{text}");
}
