//! Judges the head of a request: plain enough to be answered here, or Pingora's. Pure.
//!
//! Nothing that this lets through may mean anything else to Pingora's parser; in doubt it is Pingora's. It never
//! decides what goes upstream.

use std::mem::MaybeUninit;
use std::sync::LazyLock;

use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN,
};
use http::request::Parts;
use http::{Method, Request, Uri};
use memchr::memmem::Finder;
use memchr::{memchr, memchr_iter};

use crate::credentials::{TICKET_HEADER, TOKEN, TOKEN_HEADER};
use crate::edge::refuse::{MAX_FIELDS, MAX_HEAD_BYTES};

/// What a head is.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly always plain, and taken apart where it is made")]
pub(super) enum Judged {
    /// Not whole yet.
    Partial,
    /// 431.
    TooLarge,
    /// For Pingora, whatever it is.
    Other,
    /// Plain: one way to read it.
    Plain(Plain),
}

/// A plain request: `GET` or `HEAD`, HTTP/1.1, no body, one host, nothing about the connection but whether to keep it.
#[derive(Debug)]
pub(super) struct Plain {
    /// Method, target and those fields that an answer of ours may depend on.
    pub(super) parts: Parts,
    /// Bytes of the head.
    pub(super) len: usize,
    /// The client wants the connection kept.
    pub(super) keep: bool,
}

/// Judges what has come so far.
pub(super) fn judge(bytes: &[u8]) -> Judged {
    if has_a_session_at_a_glance(bytes) {
        return Judged::Other;
    }
    // Not filled with anything: there is room for a hundred fields, and a poll has ten.
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(bytes, &mut fields) {
        Ok(httparse::Status::Complete(len)) if len > MAX_HEAD_BYTES => Judged::TooLarge,
        Ok(httparse::Status::Complete(len)) => plain(&request, &bytes[..len]).map_or(Judged::Other, Judged::Plain),
        Ok(httparse::Status::Partial) if bytes.len() > MAX_HEAD_BYTES => Judged::TooLarge,
        Ok(httparse::Status::Partial) => Judged::Partial,
        Err(httparse::Error::TooManyHeaders) => Judged::TooLarge,
        Err(_) => Judged::Other,
    }
}

/// Whether the end of a head may lie in what came after the first `before` bytes.
pub(super) fn may_have_ended(bytes: &[u8], before: usize) -> bool {
    let new = &bytes[before.saturating_sub(3).min(bytes.len())..];
    new.windows(2).any(|pair| pair == b"\n\n") || new.windows(3).any(|three| three == b"\n\r\n")
}

fn plain(request: &httparse::Request<'_, '_>, head: &[u8]) -> Option<Plain> {
    let method = match request.method? {
        "GET" => Method::GET,
        "HEAD" => Method::HEAD,
        _ => return None,
    };
    let target = request.path?;
    if request.version? != 1 || !target.starts_with('/') || !target.bytes().all(is_of_a_target) || !lines_end(head) {
        return None;
    }
    let (headers, keep) = fields(request.headers)?;
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = method;
    parts.uri = Uri::try_from(target).ok()?;
    parts.headers = headers;
    // What comes out is what went in: nothing was dropped or decoded on the way.
    let same = parts.uri.path_and_query().is_some_and(|path| path.as_str() == target);
    same.then_some(Plain { parts, len: head.len(), keep })
}

/// Whether this looks like a whole head with a session's cookie, for none of the proxy's own addresses: most requests by
/// far that go upstream. Found out before it is parsed, since Pingora will parse it. Only a guess at who had better deal
/// with it: both ways answer the same.
fn has_a_session_at_a_glance(bytes: &[u8]) -> bool {
    static SESSION: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(TOKEN));
    let own = memchr(b' ', bytes).is_some_and(|end| bytes[end + 1..].starts_with(b"/queue/"));
    bytes.ends_with(b"\r\n\r\n")
        && !own
        && bytes.len() <= MAX_HEAD_BYTES
        && SESSION.find(bytes).is_some()
        // Whatever is too large is refused here, however large it is.
        && memchr_iter(b'\n', bytes).count() <= MAX_FIELDS
}

/// Every line ends in CR LF, the empty one included, and no empty line comes first.
fn lines_end(head: &[u8]) -> bool {
    let mut before = 0;
    head.first().is_some_and(u8::is_ascii_uppercase)
        && head.iter().all(|byte| {
            let good = (*byte == b'\n') == (before == b'\r');
            before = *byte;
            good
        })
}

/// The fields that count, and whether the connection is kept; `None`: there is one that makes the request not plain.
fn fields(all: &[httparse::Header<'_>]) -> Option<(HeaderMap, bool)> {
    let mut headers = HeaderMap::with_capacity(LOOKED_AT);
    let mut keep = None;
    for field in all {
        if !field.value.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~')) {
            return None;
        }
        match meaning(field.name) {
            Meaning::Nothing => {}
            Meaning::NotPlain => return None,
            Meaning::Connection if keep.is_some() => return None,
            Meaning::Connection => keep = Some(kept(field.value)?),
            Meaning::Host if headers.contains_key(HOST) || !is_a_host(field.value) => return None,
            Meaning::Host => {
                headers.insert(HOST, HeaderValue::from_bytes(field.value).ok()?);
            }
            Meaning::LookedAt(name) => {
                headers.append(name, HeaderValue::from_bytes(field.value).ok()?);
            }
        }
    }
    headers.contains_key(HOST).then_some((headers, keep.unwrap_or(true)))
}

/// What a field means for an answer of ours.
#[derive(Debug)]
enum Meaning {
    /// Nothing: the answer is the same without it.
    Nothing,
    /// The answer may depend on it.
    LookedAt(HeaderName),
    /// Which host is meant.
    Host,
    /// What becomes of the connection.
    Connection,
    /// A body, another protocol or a condition: Pingora's.
    NotPlain,
}

/// Fields that count, in a request of a browser: more only cost a second allocation.
const LOOKED_AT: usize = 6;

fn meaning(name: &str) -> Meaning {
    // Longest names that matter; most fields of a browser are told apart by their length and first letters.
    const LONGEST: usize = 17;
    let mut lower = [0; LONGEST];
    let Some(lower) = lower.get_mut(..name.len()) else { return Meaning::Nothing };
    lower.copy_from_slice(name.as_bytes());
    lower.make_ascii_lowercase();
    match &*lower {
        b"host" => Meaning::Host,
        b"connection" => Meaning::Connection,
        b"cookie" => Meaning::LookedAt(COOKIE),
        b"accept" => Meaning::LookedAt(ACCEPT),
        b"accept-encoding" => Meaning::LookedAt(ACCEPT_ENCODING),
        b"accept-language" => Meaning::LookedAt(ACCEPT_LANGUAGE),
        b"origin" => Meaning::LookedAt(ORIGIN),
        b"x-queue-ticket" => Meaning::LookedAt(TICKET_HEADER),
        b"x-queue-token" => Meaning::LookedAt(TOKEN_HEADER),
        b"content-length" | b"transfer-encoding" | b"upgrade" | b"expect" | b"te" | b"trailer"
        | b"proxy-connection" | b"http2-settings" => Meaning::NotPlain,
        _ => Meaning::Nothing,
    }
}

fn kept(value: &[u8]) -> Option<bool> {
    match value {
        value if value.eq_ignore_ascii_case(b"keep-alive") => Some(true),
        value if value.eq_ignore_ascii_case(b"close") => Some(false),
        _ => None,
    }
}

fn is_of_a_target(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/?-._~!$&'()*+,;=:@%".contains(&byte)
}

/// A name or address, with or without a port.
fn is_a_host(value: &[u8]) -> bool {
    !value.is_empty() && value.iter().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(byte))
}

#[cfg(test)]
mod tests;
