//! What kind of client asks, from where, and in which language. Pure: reads headers only.

use std::net::IpAddr;

use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN,
};
use http::{Method, request::Parts};
use ipnet::IpNet;

use crate::page::{Encoding, Lang};

/// By which a request is known in everybody's logs.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Whether this is a browser that wants a page.
#[must_use]
pub fn wants_page(parts: &Parts) -> bool {
    matches!(parts.method, Method::GET | Method::HEAD)
        && !parts.headers.contains_key(http::header::UPGRADE)
        && parts.headers.get_all(ACCEPT).iter().filter_map(|accept| accept.to_str().ok()).any(names_html)
}

fn names_html(accept: &str) -> bool {
    accept.split(',').any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let html = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("text/html"));
        html && !parts.any(|parameter| matches!(parameter, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}

/// Whether a browser navigates here, as against a script that fetches.
#[must_use]
pub fn navigates(headers: &HeaderMap) -> bool {
    text(headers, &HeaderName::from_static("sec-fetch-mode")) == Some("navigate")
}

/// The language of the page.
#[must_use]
pub fn language(headers: &HeaderMap) -> Lang {
    Lang::from_accept_language(text(headers, &ACCEPT_LANGUAGE).unwrap_or_default())
}

/// The encoding of the page.
#[must_use]
pub fn encoding(headers: &HeaderMap) -> Encoding {
    Encoding::from_accept_encoding(text(headers, &ACCEPT_ENCODING).unwrap_or_default())
}

/// The host that the visitor asked for, as it came.
#[must_use]
pub fn host(parts: &Parts) -> Option<&str> {
    text(&parts.headers, &HOST).or_else(|| parts.uri.authority().map(http::uri::Authority::as_str))
}

/// What the origins that are allowed mean for an answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cors<'h> {
    /// The origin of a front end that may read it.
    pub origin: Option<&'h HeaderValue>,
    /// Another origin would get other fields, so caches must keep them apart.
    pub varies: bool,
}

/// What a room's `cors_origins` mean for the answer to a request.
#[must_use]
pub fn cors<'h>(headers: &'h HeaderMap, allowed: &[String]) -> Cors<'h> {
    if allowed.is_empty() {
        return Cors::default();
    }
    let is_allowed = |origin: &&HeaderValue| allowed.iter().any(|one| one.as_bytes() == origin.as_bytes());
    Cors { origin: headers.get(ORIGIN).filter(is_allowed), varies: true }
}

/// Whether neither a body nor another protocol can follow the head.
#[must_use]
pub fn is_head_alone(headers: &HeaderMap) -> bool {
    let more = [http::header::CONTENT_LENGTH, http::header::TRANSFER_ENCODING, http::header::UPGRADE];
    !more.iter().any(|name| headers.contains_key(name))
}

/// Whether this is a CORS preflight.
#[must_use]
pub fn is_preflight(parts: &Parts) -> bool {
    parts.method == Method::OPTIONS
        && parts.headers.contains_key(ORIGIN)
        && parts.headers.contains_key(http::header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// A query parameter, percent-decoded nowhere: room names need none.
#[must_use]
pub fn query<'u>(parts: &'u Parts, name: &str) -> Option<&'u str> {
    parts.uri.query()?.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then_some(value)
    })
}

/// Whether the peer is one whose `X-Forwarded-*` is believed.
#[must_use]
pub fn trusted(peer: Option<IpAddr>, proxies: &[IpNet]) -> bool {
    peer.is_some_and(|peer| {
        let peer = peer.to_canonical();
        proxies.iter().any(|network| network.contains(&peer))
    })
}

/// What names a request in everybody's logs: 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId([u8; 32]);

impl RequestId {
    /// The id of this number. By table, because every request needs one.
    #[must_use]
    pub fn new(number: u128) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut digits = [0; 32];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(number.to_be_bytes()) {
            pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 0xf)]]);
        }
        Self(digits)
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Digits are text.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// A header's text, of its first occurrence.
#[must_use]
pub fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// Whether only the proxy may set this field: `X-Queue-*`, `X-Forwarded-*`, `Forwarded`, `X-Real-IP`,
/// also with underscores, which many backends can't tell from hyphens.
#[must_use]
pub fn is_ours_to_set(name: &str) -> bool {
    let starts = |prefix: &str| {
        name.len() >= prefix.len()
            && name
                .bytes()
                .zip(prefix.bytes())
                .all(|(a, b)| (if a == b'_' { b'-' } else { a.to_ascii_lowercase() }) == b)
    };
    starts("x-queue-")
        || starts("x-forwarded-")
        || (starts("x-real-ip") && name.len() == 9)
        || name.eq_ignore_ascii_case("forwarded")
}

/// A `Connection` field without the names that only the proxy may set: naming one would make the next
/// hop drop it. `None`: there is nothing to change.
#[must_use]
pub fn harmless_connection(headers: &HeaderMap) -> Option<String> {
    let tokens = || {
        headers
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(str::trim)
    };
    tokens().any(is_ours_to_set).then(|| tokens().filter(|token| !is_ours_to_set(token)).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: Method, fields: &[(&'static str, &'static str)]) -> Parts {
        let mut request = http::Request::builder().method(method).uri("/a?room=x&y");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn browsers_get_a_page_and_everybody_else_a_status() {
        let page = |method, accept| wants_page(&request(method, &[("accept", accept)]));
        assert!(page(Method::GET, "text/html,application/xhtml+xml,*/*;q=0.8"));
        assert!(page(Method::HEAD, "TEXT/HTML;q=0.5"));
        assert!(!page(Method::POST, "text/html"));
        assert!(!page(Method::GET, "*/*"));
        assert!(!page(Method::GET, "text/html;q=0, application/json"));
        assert!(!wants_page(&request(Method::GET, &[])));
        assert!(!wants_page(&request(Method::GET, &[("accept", "text/html"), ("upgrade", "websocket")])));
    }

    #[test]
    fn refused_fields_that_only_the_proxy_sets() {
        for name in [
            "X-QUEUE-TOKEN",
            "x_queue_token",
            "X-Forwarded-For",
            "X_FORWARDED-proto",
            "forwarded",
            "X-Real-IP",
            "x-real_ip",
        ] {
            assert!(is_ours_to_set(name), "{name}");
        }
        for name in ["x-queued", "x-request-id", "forwarded-by", "x-real-ipv6"] {
            assert!(!is_ours_to_set(name), "{name}");
        }
    }

    #[test]
    fn refused_connection_that_names_the_token() {
        let named = request(
            Method::GET,
            &[("connection", "keep-alive, X-QUEUE-TOKEN"), ("connection", "x-forwarded-for, close")],
        );
        assert_eq!(harmless_connection(&named.headers).as_deref(), Some("keep-alive, close"));
        assert_eq!(harmless_connection(&request(Method::GET, &[("connection", "close")]).headers), None);
    }

    #[test]
    fn ids_have_32_digits() {
        assert_eq!(RequestId::new(0).as_str(), "0".repeat(32));
        let id = RequestId::new(0x0123_4567_89ab_cdef_0000_0000_0000_00ff);
        assert_eq!(id.as_str(), "0123456789abcdef00000000000000ff");
    }

    #[test]
    fn finds_query_parameters() {
        assert_eq!(query(&request(Method::GET, &[]), "room"), Some("x"));
        assert_eq!(query(&request(Method::GET, &[]), "y"), Some(""));
        assert_eq!(query(&request(Method::GET, &[]), "z"), None);
    }

    #[test]
    fn trusts_mapped_addresses_as_what_they_are() {
        let proxies = ["10.0.0.0/8".parse().unwrap()];
        assert!(trusted("::ffff:10.1.2.3".parse().ok(), &proxies));
        assert!(!trusted("11.1.2.3".parse().ok(), &proxies));
        assert!(!trusted(None, &proxies));
    }
}
