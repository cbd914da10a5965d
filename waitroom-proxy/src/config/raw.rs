//! The config as it is written: the one list of keys, types, ranges and defaults. The JSON Schema is made
//! from it, and [`super::document`] reads files by that schema. No meaning is checked here.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A year: longer times are typing errors.
const YEAR_S: u64 = 366 * 24 * 3600;
/// An hour, for timeouts in milliseconds.
const HOUR_MS: u64 = 3_600_000;

/// Config of waitroom-proxy.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Config")]
pub(crate) struct RawConfig {
    /// Listeners.
    pub server: RawServer,
    /// Where the line is kept.
    pub store: RawStore,
    /// Keys.
    pub tokens: RawTokens,
    /// The rooms, at least one.
    pub rooms: Vec<RawRoom>,
}

/// Listeners and what is believed of them.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Server")]
pub(crate) struct RawServer {
    /// Public addresses, `IP:port`.
    pub listen: Vec<String>,
    /// Metrics, health, control; never public.
    pub admin_listen: String,
    /// File with the operators' bearer token; needed when `admin_listen` is not loopback.
    pub admin_token_file: String,
    /// CIDRs whose `X-Forwarded-*` is believed.
    pub trusted_proxies: Vec<String>,
    /// True behind TLS: cookies become `__Host-` and `Secure`.
    pub secure_cookies: bool,
    /// Most connections at once.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub max_connections: u64,
}

/// Where the line is kept.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Store")]
pub(crate) struct RawStore {
    /// `memory://`, `redis://[user:password@]host:port[/db]`, `redis+sentinel://h1:p,h2:p/NAME` or
    /// `redis+cluster://h1:p,h2:p`; `rediss` in place of `redis`: over TLS.
    pub url: String,
    /// Replicas that must have a tick's grants before they count.
    #[schemars(range(max = 100))]
    pub min_acks: u32,
    /// What to do while the store does not answer.
    pub on_unavailable: RawOnUnavailable,
    /// For `pass`: how long the store must have been silent.
    #[schemars(range(min = 1, max = YEAR_S))]
    pub on_unavailable_after_s: u64,
}

/// What to do while the store does not answer.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "OnUnavailable")]
pub(crate) enum RawOnUnavailable {
    /// Nobody new enters.
    Hold,
    /// Everybody passes.
    Pass,
}

/// Queue tokens and seals.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Tokens")]
pub(crate) struct RawTokens {
    /// `iss` of every queue token.
    pub issuer: String,
    /// Of all signing keys.
    pub algorithm: RawAlgorithm,
    /// First signs, all verify; none: made at start.
    pub keys: Vec<RawKey>,
    /// At least 32 raw bytes each; first seals, all open; none: made at start.
    pub seal_keys: Vec<RawKey>,
}

/// How queue tokens are signed.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(rename = "Algorithm")]
pub(crate) enum RawAlgorithm {
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// HMAC-SHA256.
    #[serde(rename = "HS256")]
    Hs256,
}

/// A key and where it is.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Key", extend("required" = ["kid", "file"]))]
pub(crate) struct RawKey {
    /// Key id.
    #[serde(default)]
    #[schemars(required)]
    pub kid: Option<String>,
    /// Path, relative to the config file.
    #[serde(default)]
    #[schemars(required)]
    pub file: Option<String>,
}

/// A protected set of hosts and paths with its own queue, rate and upstreams.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Room", extend("required" = ["name", "upstreams"]))]
pub(crate) struct RawRoom {
    /// `[a-z0-9_-]{1,64}`, unique.
    #[schemars(required)]
    pub name: Option<String>,
    /// Host names without port; empty: any.
    pub hosts: Vec<String>,
    /// Prefixes that need a session.
    pub paths: Vec<String>,
    /// Prefixes that are never queued.
    pub bypass_paths: Vec<String>,
    /// `host:port`, `http://host:port` or `https://host:port`.
    #[schemars(required)]
    pub upstreams: Option<Vec<String>>,
    /// `preserve`: the visitor's `Host`; or a fixed name.
    pub upstream_host: String,
    /// Active health checks; without it: connect checks.
    pub health: Option<RawHealth>,
    /// Towards upstreams.
    pub timeouts: RawTimeouts,
    /// Admissions per second.
    #[schemars(range(min = 0.0, max = 1_000_000.0))]
    pub rate_per_s: f64,
    /// Most that may enter at once; default `max(2, rate_per_s / 4)`.
    #[schemars(range(min = 1.0, max = 1_000_000.0))]
    pub burst: Option<f64>,
    /// Cap on turns and sessions; 0: none.
    #[schemars(range(max = 1_000_000_000))]
    pub max_active: u64,
    /// How long a session lasts after its last request.
    #[schemars(range(min = 1, max = YEAR_S))]
    pub session_ttl_s: u64,
    /// Requests keep the session alive.
    pub session_renewal: bool,
    /// No session outlives this.
    #[schemars(range(min = 1, max = YEAR_S))]
    pub session_max_s: u64,
    /// Time to take up a turn.
    #[schemars(range(min = 1, max = YEAR_S))]
    pub claim_ttl_s: u64,
    /// How long a ticket is good.
    #[schemars(range(min = 1, max = YEAR_S))]
    pub ticket_max_age_s: u64,
    /// Silent this long: taken out of the line.
    #[schemars(range(min = 1, max = YEAR_S))]
    pub abandon_after_s: u64,
    /// Status of the waiting page for browsers.
    #[schemars(range(min = 200, max = 599))]
    pub waiting_status: u16,
    /// Front ends on another origin.
    pub cors_origins: Vec<String>,
    /// Most event streams at once.
    #[schemars(range(max = 10_000_000))]
    pub sse_max_streams: u64,
    /// File with an own waiting page, relative to the config file.
    pub template: String,
}

/// Active health checks.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Health")]
pub(crate) struct RawHealth {
    /// Asked with `GET`.
    pub path: String,
    /// How often.
    #[schemars(range(min = 1, max = 3600))]
    pub interval_s: u64,
}

/// Timeouts towards upstreams.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Timeouts")]
pub(crate) struct RawTimeouts {
    /// Until connected.
    #[schemars(range(min = 1, max = HOUR_MS))]
    pub connect_ms: u64,
    /// Of one read.
    #[schemars(range(min = 1, max = HOUR_MS))]
    pub read_ms: u64,
    /// Of one write.
    #[schemars(range(min = 1, max = HOUR_MS))]
    pub write_ms: u64,
    /// How long an unused connection is kept.
    #[schemars(range(min = 1, max = HOUR_MS))]
    pub idle_ms: u64,
}

impl Default for RawServer {
    fn default() -> Self {
        Self {
            listen: vec!["127.0.0.1:8080".into()],
            admin_listen: "127.0.0.1:9090".into(),
            admin_token_file: String::new(),
            trusted_proxies: Vec::new(),
            secure_cookies: false,
            max_connections: 20_000,
        }
    }
}

impl Default for RawStore {
    fn default() -> Self {
        Self {
            url: "memory://".into(),
            min_acks: 0,
            on_unavailable: RawOnUnavailable::Hold,
            on_unavailable_after_s: 30,
        }
    }
}

impl Default for RawTokens {
    fn default() -> Self {
        Self { issuer: "waitroom".into(), algorithm: RawAlgorithm::EdDsa, keys: Vec::new(), seal_keys: Vec::new() }
    }
}

impl Default for RawRoom {
    fn default() -> Self {
        Self {
            name: None,
            hosts: Vec::new(),
            paths: vec!["/".into()],
            bypass_paths: Vec::new(),
            upstreams: None,
            upstream_host: "preserve".into(),
            health: None,
            timeouts: RawTimeouts::default(),
            rate_per_s: 100.0,
            burst: None,
            max_active: 2000,
            session_ttl_s: 600,
            session_renewal: true,
            session_max_s: 3600,
            claim_ttl_s: 120,
            ticket_max_age_s: 86_400,
            abandon_after_s: 90,
            waiting_status: 200,
            cors_origins: Vec::new(),
            sse_max_streams: 2000,
            template: String::new(),
        }
    }
}

impl Default for RawHealth {
    fn default() -> Self {
        Self { path: "/".into(), interval_s: 2 }
    }
}

impl Default for RawTimeouts {
    fn default() -> Self {
        Self { connect_ms: 1000, read_ms: 30_000, write_ms: 30_000, idle_ms: 60_000 }
    }
}
