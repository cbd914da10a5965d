//! Answers that the proxy gives itself, and how they are written.

use std::borrow::Cow;

use bytes::Bytes;
use http::StatusCode;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, CACHE_CONTROL,
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, SET_COOKIE, VARY,
};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::protocols::http::date::get_cached_date;
use pingora::proxy::Session;

use super::news::ClientNews;
use super::problem::ProblemKind;
use super::request::{Cors, REQUEST_ID};
use crate::credentials::TOKEN_HEADER;

/// Fields that scripts on other origins may read.
pub const EXPOSED: &str = "X-QUEUE-TICKET, X-QUEUE-TOKEN, Retry-After";

/// Bytes of a request body that are read and dropped so that the connection can be kept.
const DRAINED: usize = 64 * 1024;

/// How long the rest of a body may take to come.
const DRAIN_TIME: std::time::Duration = std::time::Duration::from_millis(500);

/// More fields than any answer has, as a rule.
const FIELDS: usize = 12;

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    status: u16,
    fields: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

/// How an answer goes out.
#[derive(Clone, Copy, Debug)]
pub struct How {
    /// The request was a `HEAD`.
    pub head_only: bool,
    /// The connection is kept.
    pub keep: bool,
}

impl Answer {
    /// An answer that no cache may keep (I24).
    #[must_use]
    pub fn new(status: u16, body: impl Into<Bytes>) -> Self {
        let no_store = (CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let mut fields = Vec::with_capacity(FIELDS);
        fields.push(no_store);
        Self { status, fields, body: body.into() }
    }

    /// A JSON document.
    #[must_use]
    pub fn json(status: u16, body: impl Into<Bytes>) -> Self {
        Self::new(status, body).field(CONTENT_TYPE, HeaderValue::from_static("application/json"))
    }

    /// A problem document.
    #[must_use]
    pub fn problem(kind: ProblemKind, detail: Option<&str>) -> Self {
        let answer = Self::problem_body(kind.status(), kind.document(detail));
        match kind.status() {
            503 | 504 => answer.field(RETRY_AFTER, HeaderValue::from_static("2")),
            _ => answer,
        }
    }

    /// A problem document with members of its own.
    #[must_use]
    pub fn problem_body(status: u16, body: impl Into<Bytes>) -> Self {
        Self::new(status, body).field(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"))
    }

    /// A page.
    #[must_use]
    pub fn page(status: u16, body: impl Into<Bytes>) -> Self {
        Self::new(status, body).field(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"))
    }

    /// With another body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// With another field.
    #[must_use]
    pub fn field(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.fields.push((name, value));
        self
    }

    /// With a field whose value is text of ours; text that no header can hold is left out.
    #[must_use]
    pub fn text(self, name: HeaderName, value: &str) -> Self {
        match HeaderValue::from_str(value) {
            Ok(value) => self.field(name, value),
            Err(_) => self,
        }
    }

    /// With a cookie.
    #[must_use]
    pub fn cookie(self, cookie: &str) -> Self {
        self.text(SET_COOKIE, cookie)
    }

    /// Readable for a front end on another origin that is allowed.
    #[must_use]
    pub fn cors(self, cors: Cors<'_>) -> Self {
        let mut answer = match cors.origin {
            Some(origin) => self
                .field(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone())
                .field(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"))
                .field(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED)),
            None => self,
        };
        if !cors.varies {
            return answer;
        }
        let Some((_, vary)) = answer.fields.iter_mut().find(|(name, _)| *name == VARY) else {
            return answer.field(VARY, HeaderValue::from_static("Origin"));
        };
        let more = HeaderValue::from_bytes(&[vary.as_bytes(), b", Origin"].concat());
        // Two values of a field put together are one.
        *vary = more.unwrap_or(HeaderValue::from_static("*"));
        answer
    }

    /// With news for the client.
    #[must_use]
    pub fn news(self, news: &ClientNews<'_>) -> Self {
        let answer = news.cookies.iter().fold(self.cors(news.cors), |answer, cookie| answer.cookie(cookie));
        let answer = match news.token {
            Some(token) => answer.text(TOKEN_HEADER, token),
            None => answer,
        };
        answer.text(REQUEST_ID, news.request_id)
    }

    /// Without a field.
    #[must_use]
    pub fn without(mut self, name: &HeaderName) -> Self {
        self.fields.retain(|(field, _)| field != name);
        self
    }

    /// Cacheable after all, for this many seconds.
    #[must_use]
    pub fn cacheable(mut self, seconds: u32) -> Self {
        self = self.without(&CACHE_CONTROL);
        self.text(CACHE_CONTROL, &format!("public, max-age={seconds}"))
    }

    /// Writes the head only; a body follows piece by piece.
    ///
    /// # Errors
    /// When the client is gone.
    pub async fn start(self, session: &mut Session) -> Result<()> {
        drain(session).await;
        session.write_response_header(Box::new(self.head()?), false).await
    }

    fn head(&self) -> Result<ResponseHeader> {
        let mut header = ResponseHeader::build(self.status, Some(self.fields.len() + 3))?;
        for (name, value) in &self.fields {
            header.append_header(name.clone(), value.clone())?;
        }
        Ok(header)
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Appends it to `out` as HTTP/1.1 has it, all in one piece.
    pub fn write(&self, out: &mut Vec<u8>, how: How) {
        const LINES: usize = 512;
        out.reserve(LINES + self.body.len());
        write_head(out, self.status, &self.fields);
        if self.status != 204 {
            let mut digits = [0; 20];
            write_field(out, "Content-Length", decimal(self.body.len(), &mut digits));
        }
        write_field(out, "Date", get_cached_date().as_bytes());
        write_field(out, "Connection", if how.keep { b"keep-alive" } else { b"close" });
        out.extend_from_slice(b"\r\n");
        if !how.head_only {
            out.extend_from_slice(&self.body);
        }
    }

    /// Appends the head only; a body follows piece by piece, and the connection ends with it.
    pub fn write_start(&self, out: &mut Vec<u8>) {
        write_head(out, self.status, &self.fields);
        write_field(out, "Date", get_cached_date().as_bytes());
        write_field(out, "Connection", b"close");
        out.extend_from_slice(b"\r\n");
    }

    /// Writes it. What is left of a small request body is read first, because an unread body would
    /// cost the connection, and the client might never see the answer.
    ///
    /// # Errors
    /// When the client is gone.
    pub async fn send(self, session: &mut Session) -> Result<()> {
        drain(session).await;
        let head_only = session.req_header().method == http::Method::HEAD;
        let mut header = self.head()?;
        if self.status != 204 {
            header.insert_header(CONTENT_LENGTH, self.body.len())?;
        }
        let empty = head_only || self.body.is_empty();
        session.write_response_header(Box::new(header), empty).await?;
        if !empty {
            session.write_response_body(Some(self.body), true).await?;
        }
        Ok(())
    }
}

/// The decimal digits of a number, without asking the allocator.
fn decimal(mut number: usize, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 || at == 0 {
            return &digits[at..];
        }
    }
}

/// Puts the head of an answer on the wire, as Pingora does it.
fn write_head(out: &mut Vec<u8>, status: u16, fields: &[(HeaderName, HeaderValue)]) {
    out.extend_from_slice(status_line(status).as_bytes());
    for (name, value) in fields {
        write_field(out, wire_name(name), value.as_bytes());
    }
}

fn write_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// The usual ones ready made.
fn status_line(status: u16) -> Cow<'static, str> {
    match status {
        200 => Cow::Borrowed("HTTP/1.1 200 OK\r\n"),
        429 => Cow::Borrowed("HTTP/1.1 429 Too Many Requests\r\n"),
        503 => Cow::Borrowed("HTTP/1.1 503 Service Unavailable\r\n"),
        status => {
            let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
            Cow::Owned(format!("HTTP/1.1 {status} {}\r\n", reason.unwrap_or("Undefined")))
        }
    }
}

/// Names mean the same in any case; these are in Pingora's, so that both ways out say the same bytes.
fn wire_name(name: &HeaderName) -> &str {
    match *name {
        CACHE_CONTROL => "Cache-Control",
        CONTENT_ENCODING => "Content-Encoding",
        CONTENT_TYPE => "Content-Type",
        SET_COOKIE => "Set-Cookie",
        _ => name.as_str(),
    }
}

/// Bounded in bytes and in time: who does not send what was announced gets the answer all the same, and
/// Pingora closes the connection after it.
async fn drain(session: &mut Session) {
    // This client waits for our word before it sends anything.
    if session.req_header().headers.contains_key(http::header::EXPECT) {
        return;
    }
    let all = async {
        let mut read = 0;
        while !session.as_downstream_mut().is_body_done() && read <= DRAINED {
            match session.read_request_body().await {
                Ok(Some(bytes)) => read += bytes.len(),
                // Not a body, or nobody there: the answer is the same, and the last one on this connection.
                Ok(None) | Err(_) => break,
            }
        }
    };
    let _in_time = tokio::time::timeout(DRAIN_TIME, all).await;
}
