//! The proxy's config: raw TOML becomes one checked, immutable value, or a list of every mistake in it.
//! Must not open a socket and must not be named by other modules than `main`, `cli`, `run` and tests:
//! the others take small settings of their own.

mod checked;
mod problem;

pub use checked::{
    Algorithm, Config, HealthCheck, NamedKey, OnUnavailable, RedisUrl, Room, Server, Store, StoreUrl, Template,
    Timeouts, Tokens, Upstream, UpstreamHost,
};
pub use problem::Problem;
