//! What a request shows of itself: tickets and tokens from cookies and headers, unverified. Pure.

use http::header::{COOKIE, HeaderMap, HeaderName, HeaderValue};
use memchr::memchr;

/// Header in which API clients carry their ticket.
pub const TICKET_HEADER: HeaderName = HeaderName::from_static("x-queue-ticket");
/// Header in which API clients carry their token, and in which the upstream finds it.
pub const TOKEN_HEADER: HeaderName = HeaderName::from_static("x-queue-token");

/// How the names of the cookies begin, behind the prefix of a secure one.
const TICKET: &[u8] = b"wr_ticket_";
/// The same of the token's.
pub(crate) const TOKEN: &[u8] = b"wr_token_";

/// A cookie's value longer than this is not looked at.
const MAX_COOKIE: usize = 1024;

/// The cookies of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieNames {
    ticket: String,
    token: String,
    secure: bool,
}

/// The unverified texts of one request, for one room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Credentials<'r> {
    /// From `X-QUEUE-TICKET`.
    pub header_ticket: Option<&'r str>,
    /// From `X-QUEUE-TOKEN`: a bare JWT.
    pub header_token: Option<&'r str>,
    /// From the ticket cookie.
    pub cookie_ticket: Option<&'r str>,
    /// From the token cookie: sealed.
    pub cookie_token: Option<&'r str>,
}

impl CookieNames {
    /// The names of a room's cookies; `secure` adds the prefix `__Host-` and the attribute `Secure`.
    #[must_use]
    pub fn new(room: &str, secure: bool) -> Self {
        let prefix = if secure { "__Host-" } else { "" };
        Self { ticket: format!("{prefix}wr_ticket_{room}"), token: format!("{prefix}wr_token_{room}"), secure }
    }

    /// `Set-Cookie` of a ticket.
    #[must_use]
    pub fn set_ticket(&self, sealed: &str, max_age_s: u64) -> String {
        self.set(&self.ticket, sealed, max_age_s)
    }

    /// `Set-Cookie` of a session.
    #[must_use]
    pub fn set_token(&self, sealed: &str, max_age_s: u64) -> String {
        self.set(&self.token, sealed, max_age_s)
    }

    /// `Set-Cookie` that removes the ticket.
    #[must_use]
    pub fn clear_ticket(&self) -> String {
        self.set(&self.ticket, "", 0)
    }

    /// `Set-Cookie` that removes the session.
    #[must_use]
    pub fn clear_token(&self) -> String {
        self.set(&self.token, "", 0)
    }

    /// Reads a request's credentials for this room.
    #[must_use]
    pub fn read<'r>(&self, headers: &'r HeaderMap) -> Credentials<'r> {
        let (cookie_ticket, cookie_token) = self.cookies(headers);
        Credentials {
            header_ticket: single(headers, &TICKET_HEADER),
            header_token: single(headers, &TOKEN_HEADER),
            cookie_ticket,
            cookie_token,
        }
    }

    fn set(&self, name: &str, value: &str, max_age_s: u64) -> String {
        let secure = if self.secure { "; Secure" } else { "" };
        format!("{name}={value}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Lax{secure}")
    }

    /// Both cookies; a name that occurs twice counts as absent, whoever planted the other one.
    fn cookies<'r>(&self, headers: &'r HeaderMap) -> (Option<&'r str>, Option<&'r str>) {
        let (mut ticket, mut token) = (Once::default(), Once::default());
        for pair in pairs(headers) {
            let end = memchr(b'=', pair).unwrap_or(pair.len());
            let (name, value) = (&pair[..end], pair.get(end + 1..).unwrap_or_default());
            if name == self.ticket.as_bytes() {
                ticket.see(value);
            } else if name == self.token.as_bytes() {
                token.see(value);
            }
        }
        (ticket.value(), token.value())
    }
}

impl Credentials<'_> {
    /// Whether the client carries its ticket or token in headers, and so expects news there.
    #[must_use]
    pub fn by_header(&self) -> bool {
        self.header_ticket.is_some() || self.header_token.is_some()
    }

    /// Whether there is anything to look at.
    #[must_use]
    pub fn any(&self) -> bool {
        self.by_header() || self.cookie_ticket.is_some() || self.cookie_token.is_some()
    }
}

/// A `Cookie` header without our own cookies: the upstream has no use for them, and its logs none either.
/// `None`: nothing of ours in it. Works on bytes, since a cookie of somebody else's need not be text.
#[must_use]
pub fn without_ours(headers: &HeaderMap) -> Option<Option<HeaderValue>> {
    if !pairs(headers).any(is_ours) {
        return None;
    }
    let mut kept = pairs(headers).filter(|pair| !is_ours(pair)).peekable();
    if kept.peek().is_none() {
        return Some(None);
    }
    let kept = kept.collect::<Vec<_>>().join(&b"; "[..]);
    Some(HeaderValue::from_bytes(&kept).ok())
}

fn is_ours(pair: &[u8]) -> bool {
    let name = pair.strip_prefix(b"__Host-").unwrap_or(pair);
    name.starts_with(TOKEN) || name.starts_with(TICKET)
}

/// All cookies, trimmed. By `memchr`, because a session's cookie is half a kilobyte and every request is looked
/// through three times.
fn pairs(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers.get_all(COOKIE).iter().flat_map(|header| pairs_of(header.as_bytes()))
}

fn pairs_of(cookies: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(cookies);
    std::iter::from_fn(move || {
        let all = rest?;
        let end = memchr(b';', all);
        rest = end.map(|end| &all[end + 1..]);
        Some(all[..end.unwrap_or(all.len())].trim_ascii())
    })
}

/// The value of a header that occurs exactly once.
fn single<'r>(headers: &'r HeaderMap, name: &HeaderName) -> Option<&'r str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    (values.next().is_none() && (1..=MAX_COOKIE).contains(&value.len())).then_some(value)
}

#[derive(Default)]
struct Once<'r> {
    value: Option<&'r [u8]>,
    twice: bool,
}

impl<'r> Once<'r> {
    fn see(&mut self, value: &'r [u8]) {
        self.twice |= self.value.is_some();
        self.value = Some(value);
    }

    fn value(&self) -> Option<&'r str> {
        let value = self.value.filter(|value| !self.twice && (1..=MAX_COOKIE).contains(&value.len()))?;
        // What is no text was not made here.
        std::str::from_utf8(value).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(cookies: &[&str]) -> HeaderMap {
        cookies.iter().map(|cookie| (COOKIE, HeaderValue::from_str(cookie).unwrap())).collect()
    }

    #[test]
    fn refused_two_cookies_of_one_name() {
        let names = CookieNames::new("concert", false);
        let one = headers(&["a=b; wr_ticket_concert=T; c=d"]);
        assert_eq!(names.read(&one).cookie_ticket, Some("T"));
        for twice in
            [vec!["wr_ticket_concert=T; wr_ticket_concert=U"], vec!["wr_ticket_concert=T", "wr_ticket_concert=T"]]
        {
            assert_eq!(names.read(&headers(&twice)).cookie_ticket, None, "{twice:?}");
        }
    }

    #[test]
    fn refused_long_cookies_and_repeated_headers() {
        let names = CookieNames::new("r", false);
        let long = format!("wr_token_r={}", "x".repeat(1_025));
        assert_eq!(names.read(&headers(&[&long])).cookie_token, None);
        let mut twice = HeaderMap::new();
        twice.append(TOKEN_HEADER, HeaderValue::from_static("a"));
        assert_eq!(names.read(&twice).header_token, Some("a"));
        twice.append(TOKEN_HEADER, HeaderValue::from_static("a"));
        assert_eq!(names.read(&twice).header_token, None);
    }

    #[test]
    fn secure_cookies_are_host_cookies() {
        let names = CookieNames::new("r", true);
        assert_eq!(names.set_ticket("T", 9), "__Host-wr_ticket_r=T; Path=/; Max-Age=9; HttpOnly; SameSite=Lax; Secure");
        assert_eq!(names.read(&headers(&["wr_ticket_r=T"])).cookie_ticket, None, "without the prefix it is not ours");
    }

    #[test]
    fn a_cookie_of_somebody_elses_may_be_no_text() {
        let names = CookieNames::new("r", false);
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_bytes(b"a=\xff; wr_token_r=S; wr_ticket_r=\xff").unwrap());
        assert_eq!((names.read(&headers).cookie_token, names.read(&headers).cookie_ticket), (Some("S"), None));
    }

    #[test]
    fn the_upstream_gets_the_others_cookies_only() {
        let all = headers(&["a=1; wr_token_x=S; b=2", "__Host-wr_ticket_y=T; c=3"]);
        assert_eq!(without_ours(&all), Some(Some(HeaderValue::from_static("a=1; b=2; c=3"))));
        assert_eq!(without_ours(&headers(&["wr_token_x=S"])), Some(None));
        assert_eq!(without_ours(&headers(&["a=1"])), None);
        let mut odd = HeaderMap::new();
        odd.append(COOKIE, HeaderValue::from_bytes(b"a=b\xff; wr_token_x=S").unwrap());
        assert_eq!(without_ours(&odd), Some(HeaderValue::from_bytes(b"a=b\xff").ok()), "bytes that are no text");
    }
}
