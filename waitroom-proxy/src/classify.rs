//! Which room a request belongs to, and whether its path may be trusted at all. Pure: no sockets, no clock,
//! no allocation unless the path is percent-encoded.

mod path;
mod target;

use std::borrow::Cow;
use std::collections::HashMap;

use crate::store::RoomName;

pub use path::BadPath;

/// Longest host name that DNS allows; a longer one is in no table.
const MAX_HOST: usize = 253;

/// Rounds of decoding looked at. Nobody encodes three times in earnest, and every round costs a copy.
const MAX_ROUNDS: usize = 3;

/// What the table needs to know of one room.
#[derive(Clone, Debug)]
pub struct RoomRule {
    /// The room's name.
    pub name: RoomName,
    /// Lower case, no port, no trailing dot; empty: any host that no other room names.
    pub hosts: Vec<String>,
    /// Prefixes that need a session, each with a leading slash. A trailing slash means nothing.
    pub paths: Vec<String>,
    /// Prefixes that are never queued. With a trailing slash only what lies below.
    pub bypass_paths: Vec<String>,
}

/// Hosts and paths of all rooms, ready to be asked.
#[derive(Clone, Debug, Default)]
pub struct RoutingTable {
    rooms: Vec<RoomRoute>,
    /// By host in lower case. A map, because operators may front hundreds of hosts.
    hosts: HashMap<Box<str>, HostRoutes>,
    /// Rooms without hosts: they answer for every host that no room names.
    any: Option<HostRoutes>,
}

/// The room that a request belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomRoute {
    /// Its place in the list that the table was made of.
    pub index: usize,
    /// Its name.
    pub name: RoomName,
    bypass: Vec<Prefix>,
}

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route<'t> {
    /// The room whose upstreams get the request.
    pub room: &'t RoomRoute,
    /// Whether it needs a session.
    pub kind: RouteKind,
}

/// Whether a request needs a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteKind {
    /// In the room: no session, no entry.
    Protected,
    /// In the room's `bypass_paths`.
    Bypass,
    /// In no room of this host: forwarded to the host's first room.
    Open,
}

/// Why a request is not looked at any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 400: matched here, it could be another path at the upstream.
    #[error("{0}")]
    BadPath(#[from] BadPath),
    /// 421.
    #[error("this host is not served here")]
    UnknownHost,
    /// 400.
    #[error("the request names no host")]
    MissingHost,
}

#[derive(Clone, Debug, Default)]
struct HostRoutes {
    /// Index of the first room that names this host.
    first: usize,
    /// Longest first, so that the first hit is the longest.
    prefixes: Vec<(Prefix, usize)>,
}

/// A path prefix that matches by whole segments.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Prefix {
    /// Decoded, as the paths that it is compared with; no trailing slash; empty: everything.
    text: Box<[u8]>,
    /// Only what lies below, not the path itself.
    below: bool,
}

/// A prefix as it is compared: decoded, without trailing slash; empty: everything. Two prefixes that are
/// equal here take the same requests.
///
/// # Errors
/// A request for such a path would be refused, so the prefix could never match.
pub fn normal_prefix(path: &str) -> Result<Box<[u8]>, BadPath> {
    path::read(path).map(|decoded| decoded.strip_suffix(b"/").unwrap_or(&decoded).into())
}

impl RoutingTable {
    /// Builds the table. The order of rooms matters only for `Open` routes.
    #[must_use]
    pub fn new(rules: &[RoomRule]) -> Self {
        let mut table = Self::default();
        for (index, rule) in rules.iter().enumerate() {
            let bypass = rule.bypass_paths.iter().map(|p| Prefix::new(p, p.ends_with('/'))).collect();
            table.rooms.push(RoomRoute { index, name: rule.name.clone(), bypass });
            if rule.hosts.is_empty() {
                table.any.get_or_insert_with(|| HostRoutes::starting_at(index)).add(index, &rule.paths);
            }
            for host in &rule.hosts {
                let routes = table.hosts.entry(host.to_ascii_lowercase().into_boxed_str());
                routes.or_insert_with(|| HostRoutes::starting_at(index)).add(index, &rule.paths);
            }
        }
        table
    }

    /// The path and query that the upstream is to see, when the target is an absolute URL; `None` when it is
    /// a path already.
    ///
    /// # Errors
    /// For targets that are neither a path nor a URL, and URLs of another host than the header's.
    pub fn origin_form(host: Option<&str>, target: &str) -> Result<Option<String>, Refusal> {
        let Some(path) = target::origin_form(target)? else { return Ok(None) };
        let (authority, _) = target::split(target)?;
        target::host(host, authority)?;
        Ok(Some(path))
    }

    /// Finds the room. `host` is the `Host` header as it came; `target` the request target as it came: a
    /// path, with or without a query, or an absolute URL (whose host must then agree with `host`).
    ///
    /// # Errors
    /// See [`Refusal`]. Nothing that is refused may be forwarded.
    pub fn classify<'t>(&'t self, host: Option<&str>, target: &str) -> Result<Route<'t>, Refusal> {
        let (authority, path) = target::split(target)?;
        let path = path::read(path)?;
        let host = target::host(host, authority)?;
        let routes = self.routes_of(host).ok_or(Refusal::UnknownHost)?;
        let route = self.route(routes, &path).ok_or(Refusal::UnknownHost)?;
        let Cow::Owned(mut decoded) = path else { return Ok(route) };
        for _ in 0..MAX_ROUNDS {
            let Some(again) = path::read_again(&decoded)? else { return Ok(route) };
            if self.route(routes, &again) != Some(route) {
                break;
            }
            decoded = again;
        }
        Err(BadPath::EncodedTwice.into())
    }

    fn route<'t>(&'t self, routes: &HostRoutes, path: &[u8]) -> Option<Route<'t>> {
        let Some((_, index)) = routes.prefixes.iter().find(|(prefix, _)| prefix.covers(path)) else {
            return Some(Route { room: self.rooms.get(routes.first)?, kind: RouteKind::Open });
        };
        let room = self.rooms.get(*index)?;
        let bypass = room.bypass.iter().any(|prefix| prefix.is_above(path));
        Some(Route { room, kind: if bypass { RouteKind::Bypass } else { RouteKind::Protected } })
    }

    fn routes_of(&self, host: &str) -> Option<&HostRoutes> {
        let mut lower = [0; MAX_HOST];
        let known = lower.get_mut(..host.len()).and_then(|lower| {
            lower.copy_from_slice(host.as_bytes());
            lower.make_ascii_lowercase();
            self.hosts.get(std::str::from_utf8(lower).ok()?)
        });
        known.or(self.any.as_ref())
    }
}

impl HostRoutes {
    fn starting_at(first: usize) -> Self {
        Self { first, prefixes: Vec::new() }
    }

    fn add(&mut self, index: usize, paths: &[String]) {
        self.prefixes.extend(paths.iter().map(|path| (Prefix::new(path, false), index)));
        // Stable: of two equal prefixes (the config refuses them) the first room wins.
        self.prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.text.len()));
    }
}

impl Prefix {
    fn new(path: &str, below: bool) -> Self {
        // The config checks prefixes by the same rules; what it would refuse is compared as it stands.
        let text = normal_prefix(path).unwrap_or_else(|_| path.as_bytes().into());
        Self { below: below && !text.is_empty(), text }
    }

    /// The strict reading, for what is never queued: the path as it stands.
    fn is_above(&self, path: &[u8]) -> bool {
        match path.strip_prefix(&*self.text) {
            Some([]) => !self.below,
            Some([next, ..]) => *next == b'/',
            None => false,
        }
    }

    /// The wide reading, for what is protected: segments without their parameters, because servlet
    /// containers serve `/buy;x=1` as `/buy`.
    fn covers(&self, path: &[u8]) -> bool {
        if !path.contains(&b';') {
            return self.is_above(path);
        }
        let mut segments = path.split(|b| *b == b'/').map(|s| s.split(|b| *b == b';').next().unwrap_or_default());
        self.text.split(|b| *b == b'/').all(|own| segments.next() == Some(own))
    }
}

#[cfg(test)]
mod tests;
