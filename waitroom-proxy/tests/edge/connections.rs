//! The cap on connections: one over it is told so, and those that are there go on.

use testbed::origin::Origin;
use testbed::wait;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{PATIENCE, Proxy, Response, room};

const POLL: &[u8] = b"GET /queue/status?room=concert HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Polls on this connection; `None`: it is over.
async fn poll(stream: &mut TcpStream) -> Option<Response> {
    stream.write_all(POLL).await.ok()?;
    let (mut answer, mut piece) = (Vec::new(), [0; 4_096]);
    while !answer.ends_with(b"}") {
        match stream.read(&mut piece).await {
            Ok(read) if read > 0 => answer.extend_from_slice(&piece[..read]),
            _ => return None,
        }
    }
    Some(Response::parse(&answer))
}

/// A connection on which a poll is answered.
async fn connected(proxy: &Proxy) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(proxy.visitors).await.ok()?;
    (poll(&mut stream).await?.status == 200).then_some(stream)
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_and_the_others_go_on() {
    let origin = Origin::start().await.unwrap();
    let proxy = Proxy::start_with(&origin, "max_connections = 2", &room("rate_per_s = 0")).await;
    let mut kept = Vec::new();
    for _ in 0..2 {
        // Those by which the harness looked whether the proxy is there may not be over yet.
        kept.push(wait::until_some("a place", PATIENCE, || connected(&proxy)).await.unwrap());
    }
    for _ in 0..3 {
        let refused = proxy.request("GET", "/queue/status?room=concert", &[]).await;
        assert_eq!((refused.status, refused.header("content-type")), (503, "application/problem+json"));
        assert_eq!(refused.json()["type"], "/problems/too-many-requests");
        assert_eq!((refused.header("connection"), refused.all("retry-after").len()), ("close", 1));
        for stream in &mut kept {
            assert_eq!(poll(stream).await.unwrap().status, 200, "those who are there go on");
        }
    }
    kept.pop();
    kept.push(wait::until_some("the place that was given back", PATIENCE, || connected(&proxy)).await.unwrap());
}
