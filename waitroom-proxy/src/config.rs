//! The proxy's config: raw TOML becomes one checked, immutable value, or a list of every mistake in it.
//! Must not open a socket and must not be named by other modules than `main`, `cli`, `run` and tests:
//! the others take small settings of their own.

mod check;
mod checked;
mod diff;
mod document;
mod keys;
mod overrides;
mod problem;
mod raw;
mod schema;
mod source;
mod watch;

pub use check::TemplateCheck;
pub use checked::{
    Algorithm, Config, HealthCheck, NamedKey, OnUnavailable, RedisUrl, Room, Server, Store, StoreUrl, Template,
    Timeouts, Tokens, Upstream, UpstreamHost,
};
pub use diff::{Changes, diff};
pub use keys::MIN_SEAL_BYTES;
pub use problem::Problem;
pub use schema::schema;
pub use source::{Loaded, Report, Source};
pub use watch::{ConfigWatcher, WatchError};

#[cfg(test)]
mod tests;
