//! One request over loopback, with a deadline; no redirects, no TLS, no pool.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// Every answer that xtask asks for comes in milliseconds.
const WITHIN: Duration = Duration::from_secs(5);

/// No answer that xtask asks for is larger.
const BODY_BYTES: usize = 8 << 20;

/// An answer.
pub(crate) struct Answer {
    pub(crate) head: hyper::http::response::Parts,
    pub(crate) body: Bytes,
}

/// The body of a 200.
pub(crate) async fn text(addr: SocketAddr, path: &str) -> Result<String> {
    let answer = get(addr, path, &[]).await?;
    let body = String::from_utf8_lossy(&answer.body).into_owned();
    ensure!(answer.head.status == 200, "GET http://{addr}{path}: {} {body}", answer.head.status);
    Ok(body)
}

/// The body of a 200, as JSON.
pub(crate) async fn json(addr: SocketAddr, path: &str) -> Result<Value> {
    let body = text(addr, path).await?;
    serde_json::from_str(&body).with_context(|| format!("GET http://{addr}{path} is no JSON"))
}

/// Any answer to a GET.
pub(crate) async fn get(addr: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Result<Answer> {
    ask(Method::GET, addr, path, headers).await
}

/// Any answer to a request without a body.
pub(crate) async fn ask(method: Method, addr: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Result<Answer> {
    match tokio::time::timeout(WITHIN, exchange(&method, addr, path, headers)).await {
        Ok(answer) => answer.with_context(|| format!("{method} http://{addr}{path}")),
        Err(_) => bail!("{method} http://{addr}{path}: no answer within {WITHIN:?}"),
    }
}

async fn exchange(method: &Method, addr: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Result<Answer> {
    let stream = TcpStream::connect(addr).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(path).header("host", addr.to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
    let (head, body) = response.into_parts();
    let body = Limited::new(body, BODY_BYTES).collect().await.map_err(anyhow::Error::from_boxed)?.to_bytes();
    connection.abort();
    Ok(Answer { head, body })
}
