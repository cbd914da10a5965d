//! `[store]`.

use std::time::Duration;

use super::Checker;
use crate::config::raw::{RawOnUnavailable, RawStore};
use crate::config::{OnUnavailable, RedisUrl, Store, StoreUrl};

/// URL forms of the contract that do not work in this version, and what to use.
const NOT_YET: [(&str, &str); 3] = [
    ("rediss", "TLS to Redis is not supported in this version: use redis:// over a private network"),
    ("redis+sentinel", "Sentinel is not supported in this version: use redis:// with one server"),
    ("redis+cluster", "Redis Cluster is not supported in this version: use redis:// with one server"),
];

const FORMS: &str = "use \"memory://\" or \"redis://host:6379\"";

pub(super) fn check(checker: &mut Checker<'_>, raw: &RawStore) -> Option<Store> {
    let url = checker.accept("store.url", parse(&raw.url));
    if let Some(StoreUrl::Redis(url)) = &url {
        let from_file = checker.document.place("store.url").line.is_some();
        if from_file && url.to_string() != url.expose() {
            checker.warning("store.url", "has a password in it: give the URL in WAITROOM_STORE_URL instead");
        }
    }
    if raw.min_acks > 0 {
        checker.mistake("store.min_acks", "must be 0: waiting for replicas is not supported in this version");
    }
    let after = Duration::from_secs(raw.on_unavailable_after_s);
    let on_unavailable = match raw.on_unavailable {
        RawOnUnavailable::Hold => OnUnavailable::Hold,
        RawOnUnavailable::Pass => OnUnavailable::Pass { after },
    };
    if let (OnUnavailable::Pass { .. }, Some(StoreUrl::Redis(_))) = (on_unavailable, &url) {
        checker.warning(
            "store.on_unavailable",
            "is \"pass\": while the store is down everybody reaches the upstreams at once",
        );
    }
    Some(Store { url: url?, min_acks: raw.min_acks, on_unavailable })
}

fn parse(url: &str) -> Result<StoreUrl, String> {
    if url == "memory://" {
        return Ok(StoreUrl::Memory);
    }
    // The URL may hold a password: no message repeats it.
    let (scheme, rest) = url.split_once("://").ok_or(format!("is not a URL: {FORMS}"))?;
    if let Some((_, sentence)) = NOT_YET.iter().find(|(known, _)| *known == scheme) {
        return Err((*sentence).to_owned());
    }
    match scheme {
        "redis" => {}
        "memory" => return Err("must be exactly \"memory://\"".to_owned()),
        _ => return Err(format!("has the unknown scheme {scheme:?}: {FORMS}")),
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, database) = rest.split_at(end);
    let (user, server) = match authority.rsplit_once('@') {
        Some((user, server)) => (Some(user), server),
        None => (None, authority),
    };
    let parsed: http::uri::Authority = server.parse().map_err(|_| format!("has no valid host and port: {FORMS}"))?;
    let port = server[parsed.host().len()..].strip_prefix(':');
    if parsed.host().is_empty() || port.is_some_and(|port| !matches!(port.parse::<u16>(), Ok(1..))) {
        return Err(format!("has no valid host and port: {FORMS}"));
    }
    let database = database.strip_prefix('/').unwrap_or(database);
    if !database.is_empty() && database.parse::<u16>().is_err() {
        return Err("must end with the host and port, or with a database number like \"/0\"".to_owned());
    }
    let shown = match user.and_then(|user| user.split_once(':')) {
        Some((user, _)) => format!("redis://{user}:***@{server}/{database}"),
        None => url.to_owned(),
    };
    Ok(StoreUrl::Redis(RedisUrl::new(url, shown)))
}
