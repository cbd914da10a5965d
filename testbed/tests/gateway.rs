//! The payment gateway for tests, asked as a shop would ask it.
#![expect(clippy::unwrap_used, reason = "a helper of tests may panic as they do")]

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use testbed::gateway::{Act, Gateway, Operation, Status, When};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const DEADLINE: Duration = Duration::from_secs(30);

async fn ask(gateway: &Gateway, method: &str, path: &str, body: &Value) -> Result<(u16, Value), Error> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let mut request = Request::builder().method(method).uri(format!("{}{path}", gateway.url()));
    request = request.header("authorization", format!("Bearer {}", gateway.secret()));
    if let Some(id) = body["payment_id"].as_str() {
        request = request.header("idempotency-key", id);
    }
    let answer = client.request(request.body(Full::new(Bytes::from(body.to_string()))).unwrap()).await?;
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    Ok((status, serde_json::from_slice(&body).unwrap()))
}

async fn authorise(gateway: &Gateway, id: &str) -> Result<(u16, Value), Error> {
    let body = json!({ "payment_id": id, "amount": 500, "currency": "KRW", "source": "tok" });
    ask(gateway, "POST", "/payments", &body).await
}

async fn step(gateway: &Gateway, id: &str, step: &str) -> (u16, String) {
    let (status, payment) = ask(gateway, "POST", &format!("/payments/{id}/{step}"), &Value::Null).await.unwrap();
    (status, payment["status"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_payment_goes_one_way_however_often_it_is_asked_for() {
    let gateway = Gateway::start().await.unwrap();
    for _ in 0..2 {
        let (status, payment) = authorise(&gateway, "a").await.unwrap();
        assert_eq!((status, &payment["status"], &payment["amount"]), (201, &json!("authorised"), &json!(500)));
    }
    for _ in 0..2 {
        assert_eq!(step(&gateway, "a", "capture").await, (200, "captured".to_owned()));
    }
    assert_eq!(step(&gateway, "a", "void").await, (409, "captured".to_owned()));
    assert_eq!(step(&gateway, "a", "refund").await, (200, "refunded".to_owned()));
    assert_eq!(authorise(&gateway, "a").await.unwrap().0, 409);
    let other = json!({ "payment_id": "b", "amount": 1, "currency": "KRW" });
    assert_eq!(ask(&gateway, "POST", "/payments", &other).await.unwrap().0, 201);
    assert_eq!(authorise(&gateway, "b").await.unwrap().0, 422, "other money under the same id");
    assert_eq!(step(&gateway, "c", "capture").await.0, 404);
    assert_eq!(step(&gateway, "c", "void").await, (200, "voided".to_owned()));
    assert_eq!(authorise(&gateway, "c").await.unwrap().0, 409, "it came after the void");
    assert_eq!(gateway.payments().len(), 3);
}

#[tokio::test]
async fn it_fails_as_it_is_told() {
    let gateway = Gateway::start().await.unwrap();
    let script = json!({ "operation": "authorise", "act": "decline", "reason": "no-money" });
    assert_eq!(ask(&gateway, "POST", "/script", &script).await.unwrap().0, 200);
    let (status, payment) = authorise(&gateway, "a").await.unwrap();
    assert_eq!((status, &payment["reason"]), (402, &json!("no-money")));

    gateway.script(Operation::Authorise, When::After, Act::HangUp, 1);
    assert!(authorise(&gateway, "b").await.is_err());
    gateway.script(Operation::Authorise, When::Before, Act::Fail, 1);
    assert_eq!(authorise(&gateway, "c").await.unwrap().0, 500);
    let standing: Vec<_> = gateway.payments().into_iter().map(|payment| (payment.id, payment.status)).collect();
    assert_eq!(standing, [("a".to_owned(), Status::Declined), ("b".to_owned(), Status::Authorised)]);

    gateway.script(Operation::Capture, When::After, Act::Die, 1);
    assert!(ask(&gateway, "POST", "/payments/b/capture", &Value::Null).await.is_err());
    assert!(gateway.is_dead());
    gateway.restart(DEADLINE).await.unwrap();
    assert_eq!(step(&gateway, "b", "capture").await, (200, "captured".to_owned()), "the book is as it was");
}

#[tokio::test]
async fn it_answers_twice_when_told() {
    let gateway = Gateway::start().await.unwrap();
    gateway.script(Operation::Ask, When::Before, Act::Twice, 1);
    let mut socket = tokio::net::TcpStream::connect(gateway.addr()).await.unwrap();
    let head = format!("GET /payments/x HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {}\r\n\r\n", gateway.secret());
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut seen = Vec::new();
    while String::from_utf8_lossy(&seen).matches("HTTP/1.1 404").count() < 2 {
        let mut part = [0; 1024];
        let read = tokio::time::timeout(DEADLINE, socket.read(&mut part)).await.unwrap().unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&part[..read]);
    }
}

#[tokio::test]
async fn it_stands_still_until_told_to_go_on() {
    let gateway = Gateway::start().await.unwrap();
    gateway.script(Operation::Authorise, When::After, Act::Wait, 1);
    let go_on = async {
        gateway.waiting(DEADLINE).await.unwrap();
        assert_eq!(gateway.payments().len(), 1, "done, and nobody knows");
        gateway.go_on();
    };
    let (answer, ()) = tokio::join!(authorise(&gateway, "a"), go_on);
    assert_eq!(answer.unwrap().0, 201);
}

#[tokio::test]
async fn refused_strangers_and_a_program_that_remembers() {
    use testbed::process::Program;
    let folder = tempfile::tempdir().unwrap();
    let (secret, book) = (folder.path().join("secret"), folder.path().join("book"));
    std::fs::write(&secret, "s3cret\n").unwrap();
    let port = testbed::ports::Reserved::new().unwrap();
    let start = || {
        let program = Program::new(env!("CARGO_BIN_EXE_gateway")).args(["--listen", &port.addr().to_string()]);
        program.arg("--secret-file").arg(&secret).arg("--book").arg(&book).start().unwrap()
    };
    let ask = |path: &str, secret: &str, body: &Value| {
        let client = Client::builder(TokioExecutor::new()).build_http();
        let request = Request::post(format!("http://{}{path}", port.addr()))
            .header("authorization", format!("Bearer {secret}"))
            .header("idempotency-key", "a");
        client.request(request.body(Full::new(Bytes::from(body.to_string()))).unwrap())
    };
    let child = start();
    child.wait_for_port(port.addr(), DEADLINE).await.unwrap();
    let body = json!({ "payment_id": "a", "amount": 500, "currency": "KRW" });
    assert_eq!(ask("/payments", "guess", &body).await.unwrap().status(), 401);
    let die = json!({ "operation": "authorise", "when": "after", "act": "die" });
    assert_eq!(ask("/script", "s3cret", &die).await.unwrap().status(), 200);
    assert!(ask("/payments", "s3cret", &body).await.is_err());
    assert_eq!(child.wait(DEADLINE).await.unwrap().code(), Some(1));

    let child = start();
    child.wait_for_port(port.addr(), DEADLINE).await.unwrap();
    assert_eq!(ask("/payments/a/capture", "s3cret", &Value::Null).await.unwrap().status(), 200);
    let output = Program::new(env!("CARGO_BIN_EXE_gateway")).args(["--listen", "0.0.0.0:1"]).output(DEADLINE).await;
    assert_eq!(output.unwrap().status.code(), Some(64));
}
