//! What a client must be told besides the answer itself: its session, and who may read the answer.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, CACHE_CONTROL,
    HeaderName, HeaderValue, SET_COOKIE, VARY,
};
use pingora::Result;
use pingora::http::ResponseHeader;

use super::answer::EXPOSED;
use super::desk;
use super::mint::Minted;
use super::request::Cors;
use super::site::{Site, SiteRoom};
use crate::credentials::{Credentials, TICKET_HEADER, TOKEN_HEADER};

/// By which the upstream ends a session.
const QUEUE_SESSION: HeaderName = HeaderName::from_static("x-queue-session");

/// How a client carries what it is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Carrier {
    /// In cookies, out of reach for scripts: their token must not lie in a header beside them.
    #[default]
    Cookies,
    /// In headers, and cookies would be lost.
    Headers,
    /// Nobody knows yet.
    Either,
}

impl Carrier {
    /// Of a client that shows this. `proved`: whether what counts of it came in a header; `None`: nothing counts.
    #[must_use]
    pub fn of(shown: &Credentials<'_>, proved: Option<bool>, browser: bool) -> Self {
        let cookies = shown.cookie_ticket.is_some() || shown.cookie_token.is_some();
        match (proved, shown.by_header(), cookies) {
            (Some(true), ..) | (None, true, false) => Self::Headers,
            (Some(false), ..) | (None, false, true) => Self::Cookies,
            (None, true, true) => Self::Either,
            (None, false, false) if browser => Self::Cookies,
            (None, false, false) => Self::Either,
        }
    }
}

/// News for the client on a response.
#[derive(Clone, Debug)]
pub struct ClientNews<'n> {
    /// A new token, for a client that carries it in a header.
    pub token: Option<&'n str>,
    /// Cookies to set or clear.
    pub cookies: &'n [String],
    /// Which front end elsewhere may read it.
    pub cors: Cors<'n>,
    /// Id of the request.
    pub request_id: &'n str,
}

/// Cookies and token by which a client learns of a new or renewed session. One that no store knows of is not told: it
/// is for this request only.
#[must_use]
pub fn of_session<'m>(
    site: &Site,
    room: &SiteRoom,
    minted: &'m Minted,
    carrier: Carrier,
    now_s: u64,
) -> (Vec<String>, Option<&'m str>) {
    if minted.session.seq == 0 {
        return (Vec::new(), None);
    }
    let cookies = match carrier {
        Carrier::Headers => Vec::new(),
        Carrier::Cookies | Carrier::Either => desk::news_by_cookie(site, room, minted, now_s),
    };
    (cookies, (carrier != Carrier::Cookies).then_some(minted.token.as_ref()))
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
    // Clients believe what stands in these: only the proxy may say it.
    for ours in [TICKET_HEADER, TOKEN_HEADER] {
        if response.headers.contains_key(&ours) {
            response.remove_header(&ours);
        }
    }
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
    if let Some(origin) = news.cors.origin {
        // In place of the upstream's: `*` lets nobody in who sends credentials.
        response.insert_header(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone())?;
        response.insert_header(ACCESS_CONTROL_ALLOW_CREDENTIALS, "true")?;
        response.append_header(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED)?;
    }
    if news.cors.varies && !varies_by_origin(response) {
        response.append_header(VARY, "Origin")?;
    }
    // Given as text, its name needs no copy.
    response.insert_header("X-Request-Id", news.request_id)
}

fn varies_by_origin(response: &ResponseHeader) -> bool {
    let names = response.headers.get_all(VARY).iter().flat_map(|vary| vary.as_bytes().split(|byte| *byte == b','));
    names.map(<[u8]>::trim_ascii).any(|name| name == b"*" || name.eq_ignore_ascii_case(b"origin"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i24_a_response_with_a_session_is_private() {
        let mut response = ResponseHeader::build(200, None).unwrap();
        response.insert_header(CACHE_CONTROL, "public, max-age=600").unwrap();
        response.insert_header("X-Queue-Session", " End ").unwrap();
        response.insert_header("X-Queue-Token", "the upstream's own idea").unwrap();
        assert!(take_session_end(&mut response));
        assert!(!response.headers.contains_key("x-queue-session"));
        let cookies = ["a=b".to_owned()];
        let news = ClientNews { token: None, cookies: &cookies, cors: Cors::default(), request_id: "7" };
        dress_response(&mut response, &news).unwrap();
        assert_eq!(response.headers[CACHE_CONTROL], "private, no-store");
        assert!(!response.headers.contains_key("x-queue-token"), "only the proxy speaks of tokens");
        assert!(!response.headers.contains_key(VARY));
    }

    #[test]
    fn an_allowed_front_end_is_named_whatever_the_upstream_says() {
        let ours = HeaderValue::from_static("https://shop.example");
        let dressed = |origin, fields: &[(HeaderName, &'static str)]| {
            let mut response = ResponseHeader::build(200, None).unwrap();
            for (name, value) in fields {
                response.append_header(name.clone(), *value).unwrap();
            }
            let cors = Cors { origin, varies: true };
            dress_response(&mut response, &ClientNews { token: None, cookies: &[], cors, request_id: "7" }).unwrap();
            response.headers.clone()
        };
        let headers = dressed(Some(&ours), &[(ACCESS_CONTROL_ALLOW_ORIGIN, "*"), (VARY, "Accept, origin")]);
        assert_eq!(headers.get_all(ACCESS_CONTROL_ALLOW_ORIGIN).iter().collect::<Vec<_>>(), ["https://shop.example"]);
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
        assert_eq!(headers.get_all(VARY).iter().collect::<Vec<_>>(), ["Accept, origin"], "once is enough");
        let nobodys = dressed(None, &[(VARY, "Accept")]);
        assert_eq!(nobodys.get_all(VARY).iter().collect::<Vec<_>>(), ["Accept", "Origin"], "for the next to ask");
        assert!(!nobodys.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
    }

    #[test]
    fn a_client_is_told_the_way_that_counted() {
        let header = Credentials { header_token: Some("T"), ..Credentials::default() };
        let cookie = Credentials { cookie_token: Some("S"), ..Credentials::default() };
        let both = Credentials { cookie_token: Some("S"), ..header };
        let of = |shown, proved| Carrier::of(&shown, proved, false);
        assert_eq!(of(both, Some(false)), Carrier::Cookies, "a header that proves nothing is no reason");
        assert_eq!((of(both, Some(true)), of(both, None)), (Carrier::Headers, Carrier::Either));
        assert_eq!((of(header, None), of(cookie, None)), (Carrier::Headers, Carrier::Cookies));
        let new = Credentials::default();
        assert_eq!((of(new, None), Carrier::of(&new, None, true)), (Carrier::Either, Carrier::Cookies));
    }
}
