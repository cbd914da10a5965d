//! One `[[rooms]]`, without its neighbours.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::{Checker, names, upstream};
use crate::config::raw::{RawHealth, RawRoom, RawTimeouts};
use crate::config::{HealthCheck, Room, Template, Timeouts, Upstream};
use crate::store::RoomName;

/// A turn that lasts less is missed by people who look away for a moment.
const SHORT_CLAIM_S: u64 = 15;

/// Pages far from the head ask about this often; who is given less is dropped between two polls.
const SHORT_ABANDON_S: u64 = 60;

/// Checks room `i`. `listen`: to find a proxy that forwards to itself.
pub(super) fn check(checker: &mut Checker<'_>, i: usize, raw: &RawRoom, listen: &[SocketAddr]) -> Option<Room> {
    let key = |name: &str| format!("rooms[{i}].{name}");
    let name = raw.name.as_deref().and_then(|name| checker.accept(&key("name"), room_name(name)));
    let hosts = checker.list(&key("hosts"), &raw.hosts, names::host);
    let paths = checker.list(&key("paths"), &raw.paths, names::prefix);
    if raw.paths.is_empty() {
        checker.mistake(&key("paths"), "is empty: nothing would ever wait; [\"/\"] is everything");
    }
    let bypass_paths = checker.list(&key("bypass_paths"), &raw.bypass_paths, names::prefix);
    let upstreams = upstreams(checker, &key("upstreams"), raw, listen);
    let upstream_host = checker.accept(&key("upstream_host"), upstream::host_policy(&raw.upstream_host));
    let health = match &raw.health {
        Some(raw) => checker.accept(&key("health.path"), health(raw)).map(Some),
        None => Some(None),
    };
    let cors_origins = checker.list(&key("cors_origins"), &raw.cors_origins, names::origin);
    let waiting_status = checker.accept(&key("waiting_status"), waiting_status(raw.waiting_status));
    let template = template(checker, &key("template"), &raw.template);
    times(checker, &key, raw);
    limits(checker, &key, raw);
    Some(Room {
        name: name?,
        hosts: hosts?,
        paths: paths?,
        bypass_paths: bypass_paths?,
        upstreams: upstreams?,
        upstream_host: upstream_host?,
        health: health?,
        timeouts: timeouts(&raw.timeouts),
        rate_per_s: raw.rate_per_s,
        // A tick is short enough that a quarter of a second's turns never starves the rate.
        burst: raw.burst.unwrap_or_else(|| (raw.rate_per_s / 4.0).max(2.0)),
        max_active: raw.max_active,
        session_ttl: Duration::from_secs(raw.session_ttl_s.min(raw.session_max_s)),
        session_renewal: raw.session_renewal,
        session_max: Duration::from_secs(raw.session_max_s),
        claim_ttl: Duration::from_secs(raw.claim_ttl_s),
        ticket_max_age: Duration::from_secs(raw.ticket_max_age_s),
        abandon_after: Duration::from_secs(raw.abandon_after_s),
        waiting_status: waiting_status?,
        cors_origins: cors_origins?,
        sse_max_streams: usize::try_from(raw.sse_max_streams).unwrap_or(usize::MAX),
        template: template?,
    })
}

fn room_name(name: &str) -> Result<RoomName, String> {
    RoomName::new(name).ok_or_else(|| format!("{name:?} must be 1 to 64 of the characters a-z 0-9 _ -"))
}

fn upstreams(checker: &mut Checker<'_>, key: &str, raw: &RawRoom, listen: &[SocketAddr]) -> Option<Vec<Upstream>> {
    let texts = raw.upstreams.as_deref()?;
    if texts.is_empty() {
        checker.mistake(key, "is empty: give at least one server, like \"127.0.0.1:9000\"");
        return None;
    }
    let parsed = checker.list(key, texts, upstream::parse)?;
    for (i, upstream) in parsed.iter().enumerate().filter(|(_, upstream)| is_self(upstream, listen)) {
        checker.mistake(
            &format!("{key}[{i}]"),
            format!("{} is this proxy itself: requests would go round", upstream.authority()),
        );
    }
    Some(parsed)
}

fn is_self(upstream: &Upstream, listen: &[SocketAddr]) -> bool {
    let loopback = upstream.host == "localhost";
    let ip = upstream.host.parse::<IpAddr>().ok();
    listen.iter().filter(|own| own.port() == upstream.port).any(|own| {
        let same = ip.is_some_and(|ip| ip == own.ip() || (own.ip().is_unspecified() && ip.is_loopback()));
        same || (loopback && (own.ip().is_loopback() || own.ip().is_unspecified()))
    })
}

fn health(raw: &RawHealth) -> Result<HealthCheck, String> {
    let path = raw.path.parse::<http::uri::PathAndQuery>().ok().filter(|_| raw.path.starts_with('/'));
    path.ok_or_else(|| format!("{:?} must be a path that begins with a slash", raw.path))?;
    Ok(HealthCheck { path: raw.path.clone(), interval: Duration::from_secs(raw.interval_s) })
}

/// A status that may carry a page and makes no browser go elsewhere.
fn waiting_status(status: u16) -> Result<u16, String> {
    match status {
        204 | 205 | 300..=399 => Err(format!("{status} cannot carry a page: use 200, 429 or 503")),
        _ => Ok(status),
    }
}

/// The outer `None`: a mistake.
fn template(checker: &mut Checker<'_>, key: &str, file: &str) -> Option<Option<Template>> {
    if file.is_empty() {
        return Some(None);
    }
    let (path, bytes) = checker.file(key, file)?;
    let text = String::from_utf8(bytes).map_err(|_| format!("{} is not UTF-8 text", path.display()));
    let text = checker.accept(key, text)?;
    match (checker.template)(&text) {
        Ok(warnings) => {
            for warning in warnings {
                checker.warning(key, format!("{}: {warning}", path.display()));
            }
        }
        Err(mistakes) => {
            for (line, message) in mistakes {
                checker.mistake(key, format!("{}:{line}: {message}", path.display()));
            }
            return None;
        }
    }
    Some(Some(Template { path, text: Arc::from(text) }))
}

fn timeouts(raw: &RawTimeouts) -> Timeouts {
    Timeouts {
        connect: Duration::from_millis(raw.connect_ms),
        read: Duration::from_millis(raw.read_ms),
        write: Duration::from_millis(raw.write_ms),
        idle: Duration::from_millis(raw.idle_ms),
    }
}

fn times(checker: &mut Checker<'_>, key: &impl Fn(&str) -> String, raw: &RawRoom) {
    if raw.session_max_s < raw.session_ttl_s {
        let message = format!(
            "is less than session_ttl_s ({}): every session ends after {} seconds, and none is renewed",
            raw.session_ttl_s, raw.session_max_s
        );
        checker.warning(&key("session_max_s"), message);
    }
    if raw.ticket_max_age_s < raw.abandon_after_s {
        let message = format!(
            "is less than abandon_after_s ({}): a place stays in the line after its ticket has become too old for it",
            raw.abandon_after_s
        );
        checker.warning(&key("ticket_max_age_s"), message);
    }
    if raw.claim_ttl_s > raw.ticket_max_age_s {
        let message = format!(
            "is more than ticket_max_age_s ({}): who comes late has a turn, and no ticket to take it up with",
            raw.ticket_max_age_s
        );
        checker.warning(&key("claim_ttl_s"), message);
    }
    if raw.claim_ttl_s < SHORT_CLAIM_S {
        let message = format!("is under {SHORT_CLAIM_S} seconds: people who look away for a moment miss their turn");
        checker.warning(&key("claim_ttl_s"), message);
    }
    if raw.abandon_after_s < SHORT_ABANDON_S {
        let message = format!("is under {SHORT_ABANDON_S} seconds: pages in the background poll about that often");
        checker.warning(&key("abandon_after_s"), message);
    }
}

fn limits(checker: &mut Checker<'_>, key: &impl Fn(&str) -> String, raw: &RawRoom) {
    if raw.rate_per_s == 0.0 {
        checker.warning(&key("rate_per_s"), "is 0: nobody is let in");
    }
    if let Some(burst) = raw.burst.filter(|burst| raw.max_active > 0 && *burst > raw.max_active as f64) {
        let message = format!("is {burst}, more than max_active ({}) ever lets in at once", raw.max_active);
        checker.warning(&key("burst"), message);
    }
}
