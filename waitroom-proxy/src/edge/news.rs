//! Fields of an upstream's response on its way to the client.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, CACHE_CONTROL,
    HeaderName, HeaderValue, SET_COOKIE, VARY,
};
use pingora::Result;
use pingora::http::ResponseHeader;

use super::answer::EXPOSED;
use super::request::RequestId;
use crate::credentials::TOKEN_HEADER;

/// By which the upstream ends a session.
const QUEUE_SESSION: HeaderName = HeaderName::from_static("x-queue-session");

/// News for the client on a forwarded response.
#[derive(Clone, Debug)]
pub struct ClientNews<'n> {
    /// A new token, for a client that carries it in a header.
    pub token: Option<&'n str>,
    /// Cookies to set or clear.
    pub cookies: &'n [String],
    /// The allowed origin of a front end elsewhere.
    pub origin: Option<&'n HeaderValue>,
    /// Id of the request.
    pub request_id: &'n RequestId,
}

/// Reads and removes the upstream's word on the session: whether it is over.
#[must_use]
pub fn take_session_end(response: &mut ResponseHeader) -> bool {
    if !response.headers.contains_key(QUEUE_SESSION) {
        return false;
    }
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
    // Given as text, its name needs no copy.
    response.insert_header("X-Request-Id", news.request_id.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i24_a_response_with_a_session_is_private() {
        let mut response = ResponseHeader::build(200, None).unwrap();
        response.insert_header(CACHE_CONTROL, "public, max-age=600").unwrap();
        response.insert_header("X-Queue-Session", " End ").unwrap();
        assert!(take_session_end(&mut response));
        assert!(!response.headers.contains_key("x-queue-session"));
        let cookies = ["a=b".to_owned()];
        let news = ClientNews { token: None, cookies: &cookies, origin: None, request_id: &RequestId::new(7) };
        dress_response(&mut response, &news).unwrap();
        assert_eq!(response.headers[CACHE_CONTROL], "private, no-store");
    }
}
