//! A visitor's cookies. One site, path `/`: name and value are all there is to know.

use http::{HeaderMap, header};

/// Cookies of one visitor. Bounded as a browser's are, so that a hostile site cannot fill the memory.
#[derive(Debug, Default)]
pub struct Jar {
    cookies: Vec<(Box<str>, Box<str>)>,
}

const MAX_COOKIES: usize = 16;
const MAX_COOKIE_BYTES: usize = 4096;

/// What the waiting room's cookies are called, after `__Host-` where there is TLS.
const TICKET: &str = "wr_ticket_";
const TOKEN: &str = "wr_token_";

impl Jar {
    /// Takes up, changes and drops what a response says.
    pub fn take(&mut self, headers: &HeaderMap) {
        for line in headers.get_all(header::SET_COOKIE) {
            let Ok(line) = line.to_str() else { continue };
            let mut parts = line.split(';').map(str::trim);
            let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { continue };
            // `Max-Age` wins over `Expires` (RFC 6265 §4.1.2.2), and our sites send it.
            let gone = parts.any(|attribute| {
                attribute.to_ascii_lowercase().strip_prefix("max-age=").is_some_and(|age| age.starts_with(['0', '-']))
            });
            self.cookies.retain(|(known, _)| **known != *name);
            if !gone && line.len() <= MAX_COOKIE_BYTES && self.cookies.len() < MAX_COOKIES {
                self.cookies.push((name.into(), value.into()));
            }
        }
    }

    /// The `Cookie` header, when there is anything to send.
    pub fn header(&self) -> Option<String> {
        let pairs: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    /// The room that this visitor has a ticket or a session of, learnt from the cookie's name.
    pub fn room(&self) -> Option<&str> {
        self.named(TICKET).or_else(|| self.named(TOKEN))
    }

    /// Whether there is a place in a line.
    pub fn has_ticket(&self) -> bool {
        self.named(TICKET).is_some()
    }

    /// Whether there is a session.
    pub fn has_session(&self) -> bool {
        self.named(TOKEN).is_some()
    }

    /// Forgets a session that turned out to be over.
    pub fn drop_session(&mut self) {
        self.cookies.retain(|(name, _)| !plain(name).starts_with(TOKEN));
    }

    fn named(&self, prefix: &str) -> Option<&str> {
        self.cookies.iter().find_map(|(name, _)| plain(name).strip_prefix(prefix))
    }
}

fn plain(name: &str) -> &str {
    name.strip_prefix("__Host-").unwrap_or(name)
}

/// Whether this response itself hands out a place in a line.
pub fn gives_ticket(headers: &HeaderMap) -> bool {
    let mut given = Jar::default();
    given.take(headers);
    given.has_ticket() || headers.contains_key("x-queue-ticket")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(jar: &mut Jar, lines: &[&str]) {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::SET_COOKIE, line.parse().unwrap());
        }
        jar.take(&headers);
    }

    #[test]
    fn a_ticket_becomes_a_session_and_goes() {
        let mut jar = Jar::default();
        assert_eq!((jar.header(), jar.room()), (None, None));
        set(&mut jar, &["wr_ticket_concert=abc.d; HttpOnly; SameSite=Lax; Path=/; Max-Age=86400", "lang=ko"]);
        assert_eq!(jar.header().unwrap(), "wr_ticket_concert=abc.d; lang=ko");
        assert_eq!(jar.room(), Some("concert"));
        assert!(jar.has_ticket() && !jar.has_session());
        set(&mut jar, &["wr_ticket_concert=; Path=/; Max-Age=0", "__Host-wr_token_concert=t=; Secure; Max-Age=600"]);
        assert_eq!(jar.header().unwrap(), "lang=ko; __Host-wr_token_concert=t=");
        assert!(!jar.has_ticket() && jar.has_session());
        assert_eq!(jar.room(), Some("concert"));
        jar.drop_session();
        assert_eq!(jar.header().unwrap(), "lang=ko");
    }

    #[test]
    fn a_name_is_kept_once_and_the_jar_is_bounded() {
        let mut jar = Jar::default();
        set(&mut jar, &["a=1", "a=2"]);
        assert_eq!(jar.header().unwrap(), "a=2");
        for n in 0..100 {
            set(&mut jar, &[&format!("c{n}=x"), &format!("big{n}={}", "x".repeat(5000))]);
        }
        assert_eq!(jar.cookies.len(), MAX_COOKIES);
    }
}
