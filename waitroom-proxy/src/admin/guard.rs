//! Who may speak to the admin listener. Against other machines: a bearer token. Against web pages in an
//! operator's browser: on loopback, the name asked for must be loopback (a page can point its own name at
//! 127.0.0.1), and orders need a header that no page can send without being asked first.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use ring::hmac;
use secrecy::{ExposeSecret as _, SecretSlice};

use super::problem::Problem;

/// A page can send this only after a preflight, which is never answered.
const ADMIN_HEADER: &str = "x-waitroom-admin";

/// The rules of one listener.
pub struct Guard {
    loopback: bool,
    /// Swapped by a reload.
    token: ArcSwapOption<SecretSlice<u8>>,
}

impl Guard {
    /// `listen`: where the listener is bound. Without a token and not on loopback, everything but health is
    /// refused.
    #[must_use]
    pub fn new(listen: SocketAddr, token: Option<&[u8]>) -> Self {
        let guard = Self { loopback: listen.ip().is_loopback(), token: ArcSwapOption::empty() };
        guard.set_token(token);
        guard
    }

    /// Takes a new token; requests from now on must show it.
    pub fn set_token(&self, token: Option<&[u8]>) {
        self.token.store(token.map(|token| Arc::new(SecretSlice::from(token.to_vec()))));
    }

    fn refuses(&self, method: &Method, path: &str, headers: &HeaderMap) -> Option<Problem> {
        if self.loopback && !host_is_loopback(headers) {
            let detail = "this listener is reached by 127.0.0.1, [::1] or localhost only";
            return Some(Problem::new(StatusCode::FORBIDDEN, detail));
        }
        // Probes come from machines that should not know the token; the answer tells them yes or no.
        if matches!(path, "/livez" | "/readyz") {
            return None;
        }
        let token = self.token.load();
        match &*token {
            Some(token) if !bearer_is(headers, token.expose_secret()) => {
                let detail = "send the token of admin_token_file as `Authorization: Bearer …`";
                return Some(Problem::new(StatusCode::UNAUTHORIZED, detail));
            }
            None if !self.loopback => {
                return Some(Problem::new(StatusCode::UNAUTHORIZED, "no admin token is configured"));
            }
            _ => {}
        }
        let reading = matches!(*method, Method::GET | Method::HEAD);
        if self.loopback && !reading && headers.get(ADMIN_HEADER).is_none_or(|value| value != "1") {
            let detail = "send the header `X-Waitroom-Admin: 1`: it shows that this is no web page's doing";
            return Some(Problem::new(StatusCode::FORBIDDEN, detail));
        }
        None
    }
}

/// Stands before every route.
pub(super) async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Result<Response, Problem> {
    match guard.refuses(request.method(), request.uri().path(), request.headers()) {
        Some(problem) => Err(problem),
        None => Ok(next.run(request).await),
    }
}

/// Compares MACs under a key of the moment, so that the time tells nothing about the token, its length included.
fn bearer_is(headers: &HeaderMap, token: &[u8]) -> bool {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (given.next(), given.next()) else { return false };
    let Some((scheme, shown)) = value.as_bytes().split_first_chunk::<7>() else { return false };
    let Ok(key) = hmac::Key::generate(hmac::HMAC_SHA256, &ring::rand::SystemRandom::new()) else { return false };
    let same = hmac::verify(&key, shown, hmac::sign(&key, token).as_ref()).is_ok();
    scheme.eq_ignore_ascii_case(b"bearer ") && same
}

fn host_is_loopback(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let Ok(authority) = host.to_str().unwrap_or_default().parse::<axum::http::uri::Authority>() else { return false };
    if authority.as_str().contains('@') {
        return false;
    }
    let name = authority.host();
    if let Some(v6) = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        return v6.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_loopback());
    }
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
