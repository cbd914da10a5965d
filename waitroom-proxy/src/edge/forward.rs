//! Fields of a request on its way to the upstream. What a client sends is hostile until checked.

use std::net::IpAddr;

use http::header::{COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, InvalidHeaderValue};
use http::request::Parts;
use pingora::http::RequestHeader;

use super::request::{self, REQUEST_ID, RequestId};
use crate::credentials::{self, TOKEN_HEADER};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Fields that a request may get here.
const MOST_ADDED: usize = 7;

/// What is known of the client's side.
#[derive(Clone, Debug)]
pub struct ClientSide<'c> {
    /// The peer's address.
    pub address: Option<IpAddr>,
    /// Whether its `X-Forwarded-*` is believed.
    pub trusted: bool,
    /// Id of the request.
    pub request_id: &'c RequestId,
    /// The id that a trusted proxy gave it, which then counts.
    pub their_id: Option<&'c HeaderValue>,
    /// `Host` for the upstream, when it is not the visitor's.
    pub fixed_host: Option<&'c str>,
    /// The queue token, on protected paths.
    pub token: Option<&'c str>,
}

/// Changes a header as what it is without Pingora: names in lower case. Pingora keeps the case of every name in a
/// second map beside the first, and to add six fields to both costs more than everything else here.
pub fn plainly<T>(header: &mut RequestHeader, change: impl FnOnce(&mut Parts) -> T) -> T {
    let nothing = RequestHeader::from(http::Request::new(()).into_parts().0);
    let mut parts = Parts::from(std::mem::replace(header, nothing));
    let changed = change(&mut parts);
    *header = RequestHeader::from(parts);
    changed
}

/// Strips what a client must not send, then adds what the upstream is promised.
///
/// # Errors
/// When a value can't be written as a field.
pub fn dress_request(upstream: &mut Parts, client: &ClientSide<'_>) -> Result<(), InvalidHeaderValue> {
    let before = Believed::read(&upstream.headers, client.trusted);
    let visitor_host = match upstream.headers.get(HOST) {
        Some(host) => Some(host.clone()),
        None => upstream.uri.authority().map(|host| HeaderValue::from_str(host.as_str())).transpose()?,
    };
    let headers = &mut upstream.headers;
    let hostile: Vec<HeaderName> =
        headers.keys().filter(|name| request::is_ours_to_set(name.as_str())).cloned().collect();
    for name in &hostile {
        headers.remove(name);
    }
    headers.reserve(MOST_ADDED);
    match credentials::without_ours(headers) {
        Some(Some(kept)) => drop(headers.insert(COOKIE, kept)),
        Some(None) => drop(headers.remove(COOKIE)),
        None => {}
    }
    if let Some(address) = client.address {
        headers.insert(FORWARDED_FOR, chain(before.chain, address.to_canonical())?);
    }
    headers.insert(FORWARDED_PROTO, before.proto.unwrap_or(HeaderValue::from_static("http")));
    if let Some(host) = before.host.or(visitor_host) {
        headers.insert(FORWARDED_HOST, host);
    }
    let id = client.request_id.as_str();
    headers.insert(REQUEST_ID, client.their_id.map_or_else(|| HeaderValue::from_str(id), |id| Ok(id.clone()))?);
    if !continues_a_trace(headers) {
        headers.insert(TRACEPARENT, traceparent(id)?);
        // It belongs to a trace that does not go on here.
        headers.remove(TRACESTATE);
    }
    if let Some(host) = client.fixed_host {
        headers.insert(HOST, HeaderValue::from_str(host)?);
    }
    if let Some(token) = client.token {
        headers.insert(TOKEN_HEADER, HeaderValue::from_str(token)?);
    }
    Ok(())
}

/// The addresses that a trusted proxy told, and this one.
fn chain(before: Option<String>, address: IpAddr) -> Result<HeaderValue, InvalidHeaderValue> {
    match (before, address) {
        (Some(chain), _) => HeaderValue::from_str(&format!("{chain}, {address}")),
        // By hand: the way of an address through the formatter costs as much as all other fields together.
        (None, IpAddr::V4(address)) => {
            let mut text = Vec::with_capacity("255.255.255.255".len());
            for (place, octet) in address.octets().into_iter().enumerate() {
                if place > 0 {
                    text.push(b'.');
                }
                digits(octet, &mut text);
            }
            HeaderValue::from_bytes(&text)
        }
        (None, address) => HeaderValue::from_str(&address.to_string()),
    }
}

fn digits(octet: u8, text: &mut Vec<u8>) {
    if octet >= 100 {
        text.push(b'0' + octet / 100);
    }
    if octet >= 10 {
        text.push(b'0' + octet / 10 % 10);
    }
    text.push(b'0' + octet % 10);
}

/// Whether there is one `traceparent`, and it is one (W3C Trace Context, sections 3.2.2 and 4.3): anybody may send it,
/// and what is none would end in the logs of everybody behind us.
fn continues_a_trace(headers: &HeaderMap) -> bool {
    let mut all = headers.get_all(TRACEPARENT).iter();
    let (Some(only), None) = (all.next(), all.next()) else { return false };
    let mut parts = only.as_bytes().splitn(5, |byte| *byte == b'-');
    let mut hex = |digits: usize| {
        let good = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
        parts.next().filter(|part| part.len() == digits && part.iter().all(good))
    };
    let is_some = |part: &[u8]| part.iter().any(|byte| *byte != b'0');
    let (Some(version), Some(trace), Some(parent), Some(_flags)) = (hex(2), hex(32), hex(16), hex(2)) else {
        return false;
    };
    // Later versions may say more, and are read as far as they are known.
    version != b"ff" && is_some(trace) && is_some(parent) && (version != b"00" || parts.next().is_none())
}

/// Version 00, our request's id as the trace, its first half as the parent, not sampled (W3C Trace Context,
/// section 3.2).
fn traceparent(id: &str) -> Result<HeaderValue, InvalidHeaderValue> {
    let parent = id.get(..16).unwrap_or(id);
    HeaderValue::from_str(&["00-", id, "-", parent, "-00"].concat())
}

/// What a trusted proxy in front said.
#[derive(Default)]
struct Believed {
    chain: Option<String>,
    proto: Option<HeaderValue>,
    host: Option<HeaderValue>,
}

impl Believed {
    fn read(headers: &HeaderMap, trusted: bool) -> Self {
        if !trusted {
            return Self::default();
        }
        let one = |name: &HeaderName| headers.get(name).filter(|value| value.to_str().is_ok()).cloned();
        let chain: Vec<&str> = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).collect();
        Self {
            chain: (!chain.is_empty()).then(|| chain.join(", ")),
            proto: one(&FORWARDED_PROTO),
            host: one(&FORWARDED_HOST),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(fields: &[(&'static str, &'static str)]) -> Parts {
        let mut request = http::Request::new(()).into_parts().0;
        for (name, value) in fields {
            request.headers.append(*name, HeaderValue::from_static(value));
        }
        request
    }

    fn dress(request: &mut Parts, address: &str, trusted: bool) {
        let request_id = RequestId::new(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        let address = address.parse().ok();
        let theirs = HeaderValue::from_static("theirs");
        let their_id = trusted.then_some(&theirs);
        let request_id = &request_id;
        let client = ClientSide { address, trusted, request_id, their_id, fixed_host: None, token: Some("jwt") };
        dress_request(request, &client).unwrap();
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
        dress(&mut upstream, "203.0.113.7", false);
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
        dress(&mut upstream, "203.0.113.7", true);
        let one = |name: &str| upstream.headers[name].to_str().unwrap();
        assert_eq!(one("x-forwarded-for"), "198.51.100.1, 203.0.113.7");
        assert_eq!(one("x-forwarded-proto"), "https");
        assert_eq!(one("x-forwarded-host"), "shop.example");
    }

    #[test]
    fn every_address_is_told_as_it_is() {
        for address in ["0.9.10.255", "99.100.1.209", "2001:db8::7"] {
            let mut upstream = request(&[]);
            dress(&mut upstream, address, false);
            assert_eq!(upstream.headers["x-forwarded-for"], address);
        }
        let mut mapped = request(&[]);
        dress(&mut mapped, "::ffff:192.0.2.1", false);
        assert_eq!(mapped.headers["x-forwarded-for"], "192.0.2.1");
    }

    #[test]
    fn a_trace_goes_on_or_begins() {
        let mut new = request(&[]);
        dress(&mut new, "203.0.113.7", false);
        assert_eq!(new.headers["x-request-id"], "0123456789abcdef0123456789abcdef");
        assert_eq!(new.headers["traceparent"], "00-0123456789abcdef0123456789abcdef-0123456789abcdef-00");
        let theirs = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let mut old = request(&[("traceparent", theirs), ("tracestate", "a=b"), ("x-request-id", "theirs")]);
        dress(&mut old, "203.0.113.7", true);
        assert_eq!(old.headers["traceparent"], theirs);
        assert_eq!(old.headers["x-request-id"], "theirs");
        assert_eq!(old.headers["tracestate"], "a=b");
    }

    #[test]
    fn refused_traces_that_are_none() {
        let (trace, parent) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        let later = format!("01-{trace}-{parent}-01-more");
        for good in [later.as_str(), &format!("00-{trace}-{parent}-00")] {
            let mut upstream = request(&[]);
            upstream.headers.insert("traceparent", good.parse().unwrap());
            dress(&mut upstream, "203.0.113.7", false);
            assert_eq!(upstream.headers["traceparent"], good);
        }
        for bad in [
            "theirs",
            "",
            &format!("ff-{trace}-{parent}-00"),
            &format!("00-{trace}-{parent}-00-more"),
            &format!("00-{trace}-{parent}"),
            &format!("00-{}-{parent}-00", "0".repeat(32)),
            &format!("00-{trace}-{}-00", "0".repeat(16)),
            &format!("00-{}-{parent}-00", trace.to_uppercase()),
        ] {
            let mut upstream = request(&[("tracestate", "a=b")]);
            upstream.headers.insert("traceparent", bad.parse().unwrap());
            dress(&mut upstream, "203.0.113.7", false);
            assert!(upstream.headers["traceparent"].to_str().unwrap().starts_with("00-0123456789abcdef"), "{bad}");
            assert!(!upstream.headers.contains_key("tracestate"), "{bad}");
        }
        let mut twice = request(&[("traceparent", "a"), ("traceparent", "b")]);
        dress(&mut twice, "203.0.113.7", false);
        assert_eq!(twice.headers.get_all("traceparent").iter().count(), 1);
    }

    #[test]
    fn what_is_changed_plainly_stays_a_request_of_the_same_target() {
        let mut header = RequestHeader::build("PUT", b"/buy?seat=7", None).unwrap();
        header.append_header("X-Seat", "7").unwrap();
        plainly(&mut header, |parts| parts.headers.insert("x-more", HeaderValue::from_static("8")));
        assert_eq!((header.method.as_str(), header.raw_path()), ("PUT", &b"/buy?seat=7"[..]));
        let mut wire = Vec::new();
        header.header_to_h1_wire(&mut wire);
        assert_eq!(String::from_utf8(wire).unwrap(), "x-seat: 7\r\nx-more: 8\r\n");
    }
}
