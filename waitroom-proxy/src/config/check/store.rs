//! `[store]`.

use std::time::Duration;

use super::Checker;
use crate::config::raw::{RawOnUnavailable, RawStore};
use crate::config::{OnUnavailable, RedisUrl, Store, StoreUrl};

const FORMS: &str = "use \"memory://\", \"redis://host:6379\", \"redis+sentinel://host:26379,host:26379/NAME\" or \
    \"redis+cluster://host:6379,host:6379\", with rediss in place of redis for TLS";

pub(super) fn check(checker: &mut Checker<'_>, raw: &RawStore) -> Option<Store> {
    let url = checker.accept("store.url", parse(&raw.url));
    if let Some(StoreUrl::Redis(url)) = &url {
        let from_file = checker.document.place("store.url").line.is_some();
        if from_file && url.to_string() != url.expose() {
            checker.warning("store.url", "has a password in it: give the URL in WAITROOM_STORE_URL instead");
        }
    }
    if raw.min_acks > 0 && url == Some(StoreUrl::Memory) {
        checker.mistake("store.min_acks", "must be 0 with \"memory://\": it has no replicas that could acknowledge");
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
    let (transport, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
    match (transport, kind) {
        ("redis" | "rediss", "" | "sentinel" | "cluster") => {}
        ("memory", "") => return Err("must be exactly \"memory://\"".to_owned()),
        _ => return Err(format!("has the unknown scheme {scheme:?}: {FORMS}")),
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (user, servers) = match authority.rsplit_once('@') {
        Some((user, servers)) => (Some(user), servers),
        None => (None, authority),
    };
    let servers_named: Vec<&str> = if kind.is_empty() { vec![servers] } else { servers.split(',').collect() };
    for server in servers_named {
        host_and_port(server)?;
    }
    check_path(kind, path.strip_prefix('/').unwrap_or(path))?;
    let shown = match user.and_then(|user| user.split_once(':')) {
        Some((user, _)) => format!("{scheme}://{user}:***@{servers}{path}"),
        None => url.to_owned(),
    };
    Ok(StoreUrl::Redis(RedisUrl::new(url, shown)))
}

fn host_and_port(server: &str) -> Result<(), String> {
    let wrong = || format!("has no valid host and port: {FORMS}");
    let parsed: http::uri::Authority = server.parse().map_err(|_| wrong())?;
    let port = server[parsed.host().len()..].strip_prefix(':');
    if parsed.host().is_empty() || port.is_some_and(|port| !matches!(port.parse::<u16>(), Ok(1..))) {
        return Err(wrong());
    }
    Ok(())
}

/// What follows the servers: a database; with Sentinels the primary's name before it.
fn check_path(kind: &str, path: &str) -> Result<(), String> {
    let database = match kind {
        "sentinel" => {
            let (name, database) = path.split_once('/').unwrap_or((path, ""));
            let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            if name.is_empty() || !name.bytes().all(good) {
                return Err("must end with the name that the Sentinels give the primary, like \"/mymaster\"".to_owned());
            }
            database
        }
        "cluster" if !matches!(path, "" | "0") => {
            return Err("must end with the last host and port: a cluster has no databases".to_owned());
        }
        _ => path,
    };
    if !database.is_empty() && database.parse::<u16>().is_err() {
        return Err("must end with the host and port, or with a database number like \"/0\"".to_owned());
    }
    Ok(())
}
