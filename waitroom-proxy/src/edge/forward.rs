//! Fields of a forwarded request and of its response. What a client sends is hostile until checked.

use std::net::IpAddr;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, CACHE_CONTROL,
    COOKIE, HOST, HeaderName, HeaderValue, SET_COOKIE, VARY,
};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};

use super::answer::EXPOSED;
use super::request;
use crate::credentials::{self, TOKEN_HEADER};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// Names a request in everybody's logs.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// By which the upstream ends a session.
const QUEUE_SESSION: HeaderName = HeaderName::from_static("x-queue-session");

/// What is known of the client's side.
#[derive(Clone, Debug)]
pub struct ClientSide<'c> {
    /// The peer's address.
    pub address: Option<IpAddr>,
    /// Whether its `X-Forwarded-*` is believed.
    pub trusted: bool,
    /// Id of the request.
    pub request_id: &'c str,
    /// `Host` for the upstream, when it is not the visitor's.
    pub fixed_host: Option<&'c str>,
    /// The queue token, on protected paths.
    pub token: Option<&'c str>,
}

/// Strips what a client must not send, then adds what the upstream is promised.
///
/// # Errors
/// When a value can't be written as a field.
pub fn dress_request(upstream: &mut RequestHeader, client: &ClientSide<'_>) -> Result<()> {
    let before = Believed::read(upstream, client.trusted);
    let visitor_host = request::host(upstream).map(ToOwned::to_owned);
    let hostile: Vec<HeaderName> =
        upstream.headers.keys().filter(|name| request::is_ours_to_set(name.as_str())).cloned().collect();
    for name in &hostile {
        upstream.remove_header(name);
    }
    match credentials::without_ours(&upstream.headers) {
        Some(Some(kept)) => upstream.insert_header(COOKIE, kept)?,
        Some(None) => drop(upstream.remove_header(&COOKIE)),
        None => {}
    }
    if let Some(address) = client.address {
        let address = address.to_canonical();
        let chain = before.chain.map_or_else(|| address.to_string(), |chain| format!("{chain}, {address}"));
        upstream.insert_header(FORWARDED_FOR, chain)?;
    }
    upstream.insert_header(FORWARDED_PROTO, before.proto.as_deref().unwrap_or("http"))?;
    if let Some(host) = before.host.as_deref().or(visitor_host.as_deref()) {
        upstream.insert_header(FORWARDED_HOST, host)?;
    }
    upstream.insert_header(REQUEST_ID, before.request_id.as_deref().unwrap_or(client.request_id))?;
    if !upstream.headers.contains_key(TRACEPARENT) {
        // Version 00, our request's id as the trace, its first half as the parent, not sampled
        // (W3C Trace Context, section 3.2).
        let id = client.request_id;
        upstream.insert_header(TRACEPARENT, format!("00-{id}-{}-00", &id[..id.len().min(16)]))?;
    }
    if let Some(host) = client.fixed_host {
        upstream.insert_header(HOST, host)?;
    }
    if let Some(token) = client.token {
        upstream.insert_header("X-QUEUE-TOKEN", token)?;
    }
    Ok(())
}

/// What a trusted proxy in front said.
#[derive(Default)]
struct Believed {
    chain: Option<String>,
    proto: Option<String>,
    host: Option<String>,
    request_id: Option<String>,
}

impl Believed {
    fn read(request: &RequestHeader, trusted: bool) -> Self {
        if !trusted {
            return Self::default();
        }
        let one = |name: &HeaderName| request::text(&request.headers, name).map(ToOwned::to_owned);
        let chain: Vec<&str> =
            request.headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).collect();
        Self {
            chain: (!chain.is_empty()).then(|| chain.join(", ")),
            proto: one(&FORWARDED_PROTO),
            host: one(&FORWARDED_HOST),
            request_id: one(&REQUEST_ID),
        }
    }
}

/// News for the client on a forwarded response.
#[derive(Clone, Debug, Default)]
pub struct ClientNews<'n> {
    /// A new token, for a client that carries it in a header.
    pub token: Option<&'n str>,
    /// Cookies to set or clear.
    pub cookies: &'n [String],
    /// The allowed origin of a front end elsewhere.
    pub origin: Option<&'n HeaderValue>,
    /// Id of the request.
    pub request_id: &'n str,
}

/// Reads and removes the upstream's word on the session: whether it is over.
#[must_use]
pub fn take_session_end(response: &mut ResponseHeader) -> bool {
    let says_end = |word: &HeaderValue| word.as_bytes().trim_ascii().eq_ignore_ascii_case(b"end");
    let ends = response.headers.get_all(&QUEUE_SESSION).iter().any(says_end);
    response.remove_header(&QUEUE_SESSION);
    ends
}

/// Adds our news to a response on its way to the client.
///
/// # Errors
/// When a value can't be written as a field.
pub fn dress_response(response: &mut ResponseHeader, news: &ClientNews<'_>) -> Result<()> {
    for cookie in news.cookies {
        response.append_header(SET_COOKIE, cookie)?;
    }
    if let Some(token) = news.token {
        response.insert_header(TOKEN_HEADER, token)?;
    }
    if news.token.is_some() || !news.cookies.is_empty() {
        // A shared cache must not hand one visitor's session to the next.
        response.insert_header(CACHE_CONTROL, "private, no-store")?;
    }
    if let Some(origin) = news.origin {
        if !response.headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
            response.insert_header(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone())?;
            response.insert_header(ACCESS_CONTROL_ALLOW_CREDENTIALS, "true")?;
            response.append_header(VARY, "Origin")?;
        }
        response.append_header(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED)?;
    }
    response.insert_header(REQUEST_ID, news.request_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(fields: &[(&'static str, &'static str)]) -> RequestHeader {
        let mut request = RequestHeader::build("GET", b"/buy", None).unwrap();
        for (name, value) in fields {
            request.append_header(*name, *value).unwrap();
        }
        request
    }

    fn client(trusted: bool) -> ClientSide<'static> {
        ClientSide {
            address: "203.0.113.7".parse().ok(),
            trusted,
            request_id: "0123456789abcdef0123456789abcdef",
            fixed_host: None,
            token: Some("jwt"),
        }
    }

    #[test]
    fn refused_fields_of_the_client_and_exactly_one_token() {
        let mut upstream = request(&[
            ("host", "shop.example"),
            ("x-queue-token", "forged"),
            ("x-queue-token", "forged too"),
            ("x_queue_token", "forged with underscores"),
            ("x-forwarded-for", "1.2.3.4"),
            ("forwarded", "for=1.2.3.4"),
            ("x-real-ip", "1.2.3.4"),
            ("cookie", "wr_token_r=S; a=b"),
        ]);
        dress_request(&mut upstream, &client(false)).unwrap();
        let all = |name: &str| upstream.headers.get_all(name).iter().map(|v| v.to_str().unwrap()).collect::<Vec<_>>();
        assert_eq!(all("x-queue-token"), ["jwt"]);
        assert_eq!(all("x-forwarded-for"), ["203.0.113.7"]);
        assert_eq!(all("x-forwarded-host"), ["shop.example"]);
        assert_eq!(all("cookie"), ["a=b"]);
        for gone in ["x_queue_token", "forwarded", "x-real-ip"] {
            assert!(all(gone).is_empty(), "{gone}");
        }
    }

    #[test]
    fn a_trusted_proxy_is_believed() {
        let mut upstream = request(&[
            ("host", "inner"),
            ("x-forwarded-for", "198.51.100.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "shop.example"),
        ]);
        dress_request(&mut upstream, &client(true)).unwrap();
        let one = |name: &str| upstream.headers[name].to_str().unwrap();
        assert_eq!(one("x-forwarded-for"), "198.51.100.1, 203.0.113.7");
        assert_eq!(one("x-forwarded-proto"), "https");
        assert_eq!(one("x-forwarded-host"), "shop.example");
    }

    #[test]
    fn i24_a_response_with_a_session_is_private() {
        let mut response = ResponseHeader::build(200, None).unwrap();
        response.insert_header(CACHE_CONTROL, "public, max-age=600").unwrap();
        response.insert_header("X-Queue-Session", " End ").unwrap();
        assert!(take_session_end(&mut response));
        assert!(!response.headers.contains_key("x-queue-session"));
        let cookies = ["a=b".to_owned()];
        dress_response(&mut response, &ClientNews { cookies: &cookies, ..ClientNews::default() }).unwrap();
        assert_eq!(response.headers[CACHE_CONTROL], "private, no-store");
    }
}
