//! The site: all rooms as configured now. Swapped whole on reload; a request keeps the one it began with.

use std::sync::Arc;

use http::HeaderValue;
use ipnet::IpNet;

use super::mint::Mint;
use super::upstream::Upstreams;
use crate::classify::RoutingTable;
use crate::credentials::CookieNames;
use crate::page::RoomPage;
use crate::room::Room;

/// Everything a request may need, immutable.
pub struct Site {
    /// Hosts and paths.
    pub routing: RoutingTable,
    /// In the order of the routing table.
    pub rooms: Vec<SiteRoom>,
    /// Keys.
    pub mint: Arc<Mint>,
    /// Peers whose `X-Forwarded-*` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The JWKS document.
    pub jwks: bytes::Bytes,
}

/// A room as configured now.
pub struct SiteRoom {
    /// Its runtime, which outlives reloads.
    pub room: Arc<Room>,
    /// Its hosts; empty: any.
    pub hosts: Vec<String>,
    /// Names of its cookies.
    pub cookies: CookieNames,
    /// Its waiting page.
    pub page: Arc<RoomPage>,
    /// The `Content-Security-Policy` that goes with it, ready to be sent.
    pub csp: HeaderValue,
    /// Its upstreams.
    pub upstreams: Arc<Upstreams>,
    /// Status of the waiting page.
    pub waiting_status: u16,
    /// Front ends on other origins.
    pub cors_origins: Vec<String>,
}

impl Site {
    /// The room of this name.
    #[must_use]
    pub fn room(&self, name: &str) -> Option<usize> {
        self.rooms.iter().position(|room| room.room.name().as_str() == name)
    }

    /// The only room that serves this host, if it is the only one.
    #[must_use]
    pub fn only_room_of(&self, host: &str) -> Option<usize> {
        // An IPv6 address has colons of its own, inside brackets.
        let host = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
            _ => host,
        };
        let host = host.trim_end_matches('.');
        let named = |room: &SiteRoom| room.hosts.iter().any(|own| own.eq_ignore_ascii_case(host));
        let any_named = self.rooms.iter().any(named);
        let mut rooms = (0..self.rooms.len())
            .filter(|&i| if any_named { named(&self.rooms[i]) } else { self.rooms[i].hosts.is_empty() });
        match (rooms.next(), rooms.next()) {
            (Some(only), None) => Some(only),
            _ => None,
        }
    }
}
