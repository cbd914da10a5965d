//! What is refused before anybody looks at where it goes: framing that two servers could read in
//! two ways, and heads that are too large. Pure.

use http::header::{CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};
use http::{Method, Version};

/// Most bytes of a request head.
pub(super) const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Most fields of a request head.
pub(super) const MAX_FIELDS: usize = 100;

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// 431.
    #[error("the request head is larger than 16 KiB or has more than 100 fields")]
    TooLarge,
    /// A line that does not end in CR LF.
    #[error("a line of the request head does not end in CR LF")]
    BareLineFeed,
    /// Two lengths.
    #[error("the request has both Transfer-Encoding and Content-Length, or more than one length")]
    TwoLengths,
    /// Any coding but `chunked`, or more than one.
    #[error("the only Transfer-Encoding spoken here is chunked")]
    Coding,
    /// Methods are case-sensitive; ours are upper case.
    #[error("the method is not one of HTTP's")]
    Method,
    /// Neither 1.0 nor 1.1 (nor 2).
    #[error("this version of HTTP is not spoken here")]
    Version,
}

impl Refused {
    /// The status to answer with.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::TooLarge => 431,
            Self::Version => 505,
            Self::BareLineFeed | Self::TwoLengths | Self::Coding | Self::Method => 400,
        }
    }
}

/// Looks at a request's head; `raw` are its bytes as they came (empty for HTTP/2, which has none).
///
/// # Errors
/// See [`Refused`].
pub fn inspect(raw: &[u8], method: &Method, version: Version, headers: &HeaderMap) -> Result<(), Refused> {
    if raw.len() > MAX_HEAD_BYTES || headers.len() > MAX_FIELDS {
        return Err(Refused::TooLarge);
    }
    if !method.as_str().bytes().all(|b| b.is_ascii_uppercase() || b == b'-' || b == b'_') {
        return Err(Refused::Method);
    }
    if !matches!(version, Version::HTTP_10 | Version::HTTP_11 | Version::HTTP_2) {
        return Err(Refused::Version);
    }
    // The parser below us accepts a bare LF; a server behind us may not agree where the line ends.
    if memchr::memchr_iter(b'\n', raw).any(|at| at > 0 && raw[at - 1] != b'\r') {
        return Err(Refused::BareLineFeed);
    }
    let lengths = headers.get_all(CONTENT_LENGTH);
    let many = lengths.iter().count() > 1 || lengths.iter().any(|length| length.as_bytes().contains(&b','));
    // The parser drops Content-Length when both are there, so the raw head has to be asked.
    let both = headers.contains_key(TRANSFER_ENCODING) && (headers.contains_key(CONTENT_LENGTH) || names_length(raw));
    if many || both || headers.get_all(TRANSFER_ENCODING).iter().count() > 1 {
        return Err(Refused::TwoLengths);
    }
    if headers.get(TRANSFER_ENCODING).is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return Err(Refused::Coding);
    }
    Ok(())
}

fn names_length(raw: &[u8]) -> bool {
    const NAME: &[u8] = b"content-length";
    raw.split(|byte| *byte == b'\n')
        .any(|line| line.len() > NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn with(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn look(raw: &[u8], headers: &HeaderMap) -> Result<(), Refused> {
        inspect(raw, &Method::GET, Version::HTTP_11, headers)
    }

    #[test]
    fn refused_two_lengths() {
        let chunked = with(&[("transfer-encoding", "chunked")]);
        assert_eq!(look(b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", &chunked), Ok(()));
        let both = b"GET / HTTP/1.1\r\nCONTENT-LENGTH: 4\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(look(both, &chunked), Err(Refused::TwoLengths));
        assert_eq!(look(b"", &with(&[("content-length", "4"), ("content-length", "4")])), Err(Refused::TwoLengths));
        assert_eq!(look(b"", &with(&[("content-length", "4, 4")])), Err(Refused::TwoLengths));
    }

    #[test]
    fn refused_bare_line_feeds_and_large_heads() {
        let none = HeaderMap::new();
        assert_eq!(look(b"GET / HTTP/1.1\r\nA: b\n\r\n", &none), Err(Refused::BareLineFeed));
        assert_eq!(look(&[b'a'; MAX_HEAD_BYTES + 1], &none), Err(Refused::TooLarge));
        let mut many = HeaderMap::new();
        for _ in 0..=MAX_FIELDS {
            many.append("a", HeaderValue::from_static("b"));
        }
        assert_eq!(look(b"", &many), Err(Refused::TooLarge));
    }

    #[test]
    fn refused_methods_that_are_none() {
        let none = HeaderMap::new();
        let get = Method::from_bytes(b"get").unwrap();
        assert_eq!(inspect(b"", &get, Version::HTTP_11, &none), Err(Refused::Method));
        assert_eq!(inspect(b"", &Method::GET, Version::HTTP_09, &none), Err(Refused::Version));
    }
}
