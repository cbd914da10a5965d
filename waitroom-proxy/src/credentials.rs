//! What a request shows of itself: tickets and tokens from cookies and headers, unverified. Pure.

use http::header::{COOKIE, HeaderMap, HeaderName, HeaderValue};

/// Header in which API clients carry their ticket.
pub const TICKET_HEADER: HeaderName = HeaderName::from_static("x-queue-ticket");
/// Header in which API clients carry their token, and in which the upstream finds it.
pub const TOKEN_HEADER: HeaderName = HeaderName::from_static("x-queue-token");

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
        for (name, value) in pairs(headers) {
            if name == self.ticket {
                ticket.see(value);
            } else if name == self.token {
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
    let pairs = || headers.get_all(COOKIE).iter().flat_map(|header| header.as_bytes().split(|byte| *byte == b';'));
    if !pairs().any(is_ours) {
        return None;
    }
    let kept: Vec<&[u8]> = pairs().filter(|pair| !is_ours(pair)).map(<[u8]>::trim_ascii).collect();
    let kept = kept.join(&b"; "[..]);
    Some(if kept.is_empty() { None } else { HeaderValue::from_bytes(&kept).ok() })
}

fn is_ours(pair: &[u8]) -> bool {
    let pair = pair.trim_ascii();
    let name = pair.strip_prefix(b"__Host-").unwrap_or(pair);
    name.starts_with(b"wr_ticket_") || name.starts_with(b"wr_token_")
}

fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    headers.get_all(COOKIE).iter().filter_map(|header| header.to_str().ok()).flat_map(|header| {
        header.split(';').map(|pair| {
            let pair = pair.trim();
            pair.split_once('=').unwrap_or((pair, ""))
        })
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
    value: Option<&'r str>,
    twice: bool,
}

impl<'r> Once<'r> {
    fn see(&mut self, value: &'r str) {
        self.twice |= self.value.is_some();
        self.value = Some(value);
    }

    fn value(&self) -> Option<&'r str> {
        self.value.filter(|value| !self.twice && (1..=MAX_COOKIE).contains(&value.len()))
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
