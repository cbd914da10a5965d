//! The scripted origin, asked as a proxy would ask it.

#![expect(clippy::unwrap_used, reason = "a helper of tests may panic as they do")]

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use testbed::origin::{Origin, Script};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

async fn post(origin: &Origin, path: &str, body: &str) -> Response<Incoming> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let request = Request::post(format!("{}{path}", origin.url())).header("x-twice", "1").header("x-twice", "2");
    client.request(request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap()).await.unwrap()
}

async fn text(response: Response<Incoming>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn it_answers_ok_and_remembers_the_request() {
    let origin = Origin::start().await.unwrap();
    assert_eq!(text(post(&origin, "/a/b?c=d", "hello").await).await, "ok");
    let requests = origin.requests();
    let [request] = requests.as_slice() else { panic!("{requests:?}") };
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/a/b"));
    assert_eq!(request.query.as_deref(), Some("c=d"));
    assert_eq!(request.header_all("X-Twice"), ["1", "2"]);
    assert_eq!(request.body, "hello");
}

#[tokio::test]
async fn scripts_choose_status_headers_body_and_chunks() {
    let origin = Origin::start().await.unwrap();
    origin.script("/teapot", Script::new().status(418).header("x-kind", "pot").body("short and stout"));
    origin.script("/slow", Script::new().chunks(["one ", "two"], Duration::from_millis(5)));
    let teapot = post(&origin, "/teapot", "").await;
    assert_eq!((teapot.status().as_u16(), &teapot.headers()["x-kind"]), (418, &"pot".parse().unwrap()));
    assert_eq!(text(teapot).await, "short and stout");
    let slow = post(&origin, "/slow", "").await;
    assert_eq!(slow.headers()["transfer-encoding"], "chunked");
    assert_eq!(text(slow).await, "one two");
}

#[tokio::test]
async fn f21_a_body_breaks_off_and_a_request_is_hung_up_on() {
    let origin = Origin::start().await.unwrap();
    origin.script("/broken", Script::new().reset_in_body("half"));
    origin.script("/gone", Script::new().hang_up());
    for (path, start) in [("/broken", "HTTP/1.1 200"), ("/gone", "")] {
        let mut stream = TcpStream::connect(origin.addr()).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with(start) && !answer.contains("\r\n0\r\n"), "{path}: {answer}");
        assert_eq!(answer.contains("half"), path == "/broken");
        assert_eq!(answer.is_empty(), path == "/gone");
    }
}

#[tokio::test]
async fn bodies_and_websocket_messages_are_echoed() {
    let origin = Origin::start().await.unwrap();
    origin.script("/echo", Script::new().echo());
    origin.script("/ws", Script::new().websocket_echo());
    assert_eq!(text(post(&origin, "/echo", "there and back").await).await, "there and back");
    let (mut socket, _) = tokio_tungstenite::connect_async(format!("ws://{}/ws", origin.addr())).await.unwrap();
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));
    assert_eq!(post(&origin, "/ws", "").await.status(), 426);
}
