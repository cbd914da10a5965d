//! A plain HTTP client: sends what it is told, decodes what comes back.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::{self, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

#[derive(Clone)]
pub(crate) struct Client {
    http: legacy::Client<HttpConnector, Full<Bytes>>,
    addr: SocketAddr,
}

impl Client {
    pub(crate) fn to(addr: SocketAddr) -> Self {
        Self { http: legacy::Client::builder(TokioExecutor::new()).build(HttpConnector::new()), addr }
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> Request {
        let builder = http::Request::builder().method(method).uri(format!("http://{}{path}", self.addr));
        Request { http: self.http.clone(), builder, body: Bytes::new() }
    }
}

pub(crate) struct Request {
    http: legacy::Client<HttpConnector, Full<Bytes>>,
    builder: http::request::Builder,
    body: Bytes,
}

impl Request {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.builder = self.builder.header(name, value);
        self
    }

    /// The header in place of what it was before.
    pub(crate) fn instead(mut self, name: &'static str, value: &str) -> Self {
        let headers = self.builder.headers_mut().unwrap();
        headers.remove(name);
        if !value.is_empty() {
            headers.insert(name, value.parse().unwrap());
        }
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    pub(crate) async fn send(self) -> Answer {
        self.try_send().await.unwrap()
    }

    pub(crate) async fn try_send(self) -> Result<Answer, legacy::Error> {
        let answer = self.http.request(self.builder.body(Full::new(self.body)).unwrap()).await?;
        let (head, body) = answer.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, json, bytes })
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    /// Null when the body is not JSON.
    pub(crate) json: Value,
    pub(crate) bytes: Bytes,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// That it is a problem of this status and type, said properly.
    #[track_caller]
    pub(crate) fn assert_problem(&self, status: u16, kind: &str) {
        assert_eq!(self.json["type"], format!("/problems/{kind}"), "{} {}", self.status, self.text());
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.json["status"], status);
        assert_eq!(self.header("content-type"), "application/problem+json");
    }

    pub(crate) fn seats(&self) -> Vec<&str> {
        self.json["seats"].as_array().unwrap().iter().map(|seat| seat.as_str().unwrap()).collect()
    }
}
