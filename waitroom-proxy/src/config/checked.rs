//! The checked config: what the rest of the program may rely on. Holds no raw text that still needs parsing.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};

use crate::store::{Limits, RoomName};

/// Everything the proxy is told by its operator.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Listeners and what is believed of them.
    pub server: Server,
    /// Where the line is kept.
    pub store: Store,
    /// Keys.
    pub tokens: Tokens,
    /// At least one; names are unique; the index is the one that [`crate::classify`] answers with.
    pub rooms: Vec<Room>,
}

/// `[server]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// Public listeners; at least one, no duplicates.
    pub listen: Vec<SocketAddr>,
    /// The operators' listener.
    pub admin_listen: SocketAddr,
    /// What operators must show; always there when `admin_listen` is not loopback.
    pub admin_token: Option<NamedKey>,
    /// Peers whose `X-Forwarded-*` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Cookies are `__Host-` and `Secure`.
    pub secure_cookies: bool,
    /// Most connections at once, ≥ 1.
    pub max_connections: usize,
}

/// `[store]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Store {
    /// Which store.
    pub url: StoreUrl,
    /// Replicas that must have a tick's grants before they count.
    pub min_acks: u32,
    /// What to do while the store does not answer.
    pub on_unavailable: OnUnavailable,
}

/// Which store keeps the line.
#[derive(Clone, Debug, PartialEq)]
pub enum StoreUrl {
    /// In this process; one node only.
    Memory,
    /// Redis: one server, the primary of some Sentinels, or a cluster.
    Redis(RedisUrl),
}

/// A URL of Redis, in any of its forms; may hold a password, so it is shown without it.
#[derive(Clone)]
pub struct RedisUrl {
    url: SecretString,
    shown: String,
}

/// Policy while the store does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnUnavailable {
    /// Nobody new enters.
    Hold,
    /// After this long, everybody passes.
    Pass {
        /// How long the store must have been silent.
        after: Duration,
    },
}

/// `[tokens]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Tokens {
    /// `iss` of every queue token.
    pub issuer: String,
    /// Of all signing keys.
    pub algorithm: Algorithm,
    /// First signs, all verify. Empty: make one at start ([`Tokens::fill_missing`]).
    pub keys: Vec<NamedKey>,
    /// First seals, all open; each ≥ 32 bytes. Empty: make one at start.
    pub seal_keys: Vec<NamedKey>,
}

/// How queue tokens are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Ed25519; the public part is in the JWKS.
    EdDsa,
    /// HMAC-SHA256; the backend needs the same secret.
    Hs256,
}

/// Key material with its id. Never printed.
#[derive(Clone)]
pub struct NamedKey {
    /// Key id; for the admin token the file's name.
    pub kid: String,
    bytes: Arc<SecretSlice<u8>>,
}

/// One `[[rooms]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Room {
    /// Unique.
    pub name: RoomName,
    /// Lower case, without port or trailing dot; empty: any host.
    pub hosts: Vec<String>,
    /// Prefixes that need a session; at least one.
    pub paths: Vec<String>,
    /// Prefixes that are never queued.
    pub bypass_paths: Vec<String>,
    /// At least one, no duplicates.
    pub upstreams: Vec<Upstream>,
    /// The `Host` (and SNI) that upstreams see.
    pub upstream_host: UpstreamHost,
    /// Active health checks; `None`: connect checks.
    pub health: Option<HealthCheck>,
    /// Towards upstreams.
    pub timeouts: Timeouts,
    /// Admissions per second, finite, ≥ 0.
    pub rate_per_s: f64,
    /// Most that may enter at once, finite, ≥ 1.
    pub burst: f64,
    /// Cap on turns and sessions; 0: none.
    pub max_active: u64,
    /// How long a session lasts, or lasts after its last request when renewed.
    pub session_ttl: Duration,
    /// Requests keep the session alive.
    pub session_renewal: bool,
    /// No session outlives this; ≥ `session_ttl`.
    pub session_max: Duration,
    /// Time to take up a turn.
    pub claim_ttl: Duration,
    /// How long a ticket is good.
    pub ticket_max_age: Duration,
    /// Silent this long: out of the line.
    pub abandon_after: Duration,
    /// Status of the waiting page.
    pub waiting_status: u16,
    /// Exact origins, as browsers send them.
    pub cors_origins: Vec<String>,
    /// Most event streams at once; 0: none.
    pub sse_max_streams: usize,
    /// The operator's own waiting page.
    pub template: Option<Template>,
}

/// One upstream server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Name or IP address; IPv6 without brackets.
    pub host: String,
    /// Port, not 0.
    pub port: u16,
    /// Speak TLS.
    pub tls: bool,
}

/// The `Host` that upstreams see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamHost {
    /// The visitor's.
    Preserve,
    /// Always this.
    Fixed(String),
}

/// Active health checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// Asked with `GET`.
    pub path: String,
    /// How often.
    pub interval: Duration,
}

/// Timeouts towards upstreams, all > 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until connected, TLS included.
    pub connect: Duration,
    /// Of one read.
    pub read: Duration,
    /// Of one write.
    pub write: Duration,
    /// How long an unused connection is kept.
    pub idle: Duration,
}

/// An operator's waiting page; its text passed the checker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Where it was read.
    pub path: PathBuf,
    /// Its text.
    pub text: Arc<str>,
}

impl Room {
    /// What a grant must respect.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits { rate_per_s: self.rate_per_s, burst: self.burst, max_active: self.max_active }
    }
}

impl Upstream {
    /// `host:port`, with brackets around an IPv6 address.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl NamedKey {
    /// Wraps key material.
    #[must_use]
    pub fn new(kid: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self { kid: kid.into(), bytes: Arc::new(SecretSlice::from(bytes)) }
    }

    /// The bytes: PKCS#8 PEM for Ed25519, raw for HS256 and seal keys.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.bytes.expose_secret()
    }
}

impl PartialEq for NamedKey {
    fn eq(&self, other: &Self) -> bool {
        self.kid == other.kid && self.expose() == other.expose()
    }
}

impl fmt::Debug for NamedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NamedKey({})", self.kid)
    }
}

impl RedisUrl {
    /// `shown` is what logs may say: the URL without its password.
    pub(super) fn new(url: &str, shown: String) -> Self {
        Self { url: SecretString::from(url), shown }
    }

    /// The URL, password included.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.url.expose_secret()
    }
}

impl PartialEq for RedisUrl {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisUrl({})", self.shown)
    }
}
