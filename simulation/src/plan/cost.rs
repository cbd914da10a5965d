//! What things cost, as measured, and what gives way first. Pure: constants, each with the command that measured it.

use serde::Serialize;

use super::Sale;
use super::engine::Second;

/// Bytes of Redis for somebody who waits, and for somebody with a turn or a session (`used_memory` over a million).
/// `cargo xtask bench queue`; the second by the same count over 100,000 of `active` and `seqs`.
const REDIS_WAITING_B: f64 = 126.0;
const REDIS_INSIDE_B: f64 = 211.0;
/// Redis with nothing in it.
const REDIS_EMPTY_B: f64 = 1_000_000.0;
/// Bitmaps kept of all numbers: waiting, spent, ended. One bit a number each.
const BITMAPS: f64 = 3.0;
/// Reports of whom a node heard that are kept at a time: `silence::Pace::kept` at `abandon_after_s = 90`.
const REPORTS: f64 = 6.0;

/// Microseconds of Redis' processor for a join in the small batches of real traffic; ending and taking up a turn are
/// counted alike. `cargo xtask bench queue`.
const REDIS_JOIN_US: f64 = 4.4;
/// For one tick with nobody to let in; for each turn that it gives (19 ms for 5,000).
const REDIS_TICK_US: f64 = 50.0;
const REDIS_TURN_US: f64 = 3.8;
/// For a snapshot, and for each byte of bitmap in it (120 µs for 125,000).
const REDIS_SNAPSHOT_US: f64 = 60.0;
const REDIS_BYTE_US: f64 = 0.001;

/// Microseconds of a proxy's processor for a page, for a poll (`cargo xtask bench edge`) and for a join with its
/// pre-ticket (`cargo xtask bench queue`).
const PROXY_PAGE_US: f64 = 8.0;
const PROXY_POLL_US: f64 = 7.4;
const PROXY_JOIN_US: f64 = 21.9;
/// Bytes of a proxy for each number in line (2.1 MiB for a million); of an idle proxy; and of the connection of a
/// poller, kept for this long after a poll. `cargo xtask bench queue`.
const PROXY_NUMBER_B: f64 = 2.2;
const PROXY_IDLE_B: f64 = 25.5 * 1_048_576.0;
const PROXY_CONNECTION_B: f64 = 2.05 * 1_024.0;
const CONNECTION_KEPT_S: f64 = 5.0;

/// What there is of each thing: a core, a network of 1 Gbit/s, the default `max_connections`, the widest bitmap.
const CORE: f64 = 1.0;
const NETWORK_B: f64 = 125e6;
const CONNECTIONS: f64 = 20_000.0;
const NUMBERS: f64 = 134_217_728.0;
/// A small server of Redis.
const REDIS_MEMORY_B: f64 = 1_073_741_824.0;

/// Something a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Load {
    /// In the worst second.
    pub peak: f64,
    /// While somebody waits.
    pub mean: f64,
}

/// Bytes at the worst moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Memory {
    /// Redis (`used_memory`).
    pub redis_bytes: f64,
    /// One proxy, without connections.
    pub proxy_bytes: f64,
    /// The pollers' connections of one proxy, beside it.
    pub connections_bytes: f64,
}

/// Something that is limited, and how much of it the sale needs at the worst moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Limit {
    /// What.
    pub what: &'static str,
    /// What the sale needs.
    pub needs: f64,
    /// What there is.
    pub has: f64,
    /// In this unit.
    pub unit: &'static str,
    /// The one over the other; over 1 it gives way.
    pub share: f64,
    /// What helps.
    pub then: &'static str,
}

/// How a simulated second becomes a real one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    pub(super) each: f64,
    pub(super) nodes: f64,
}

impl Scale {
    /// Redis' processor in this second, as a share of a core.
    pub(super) fn redis_core(&self, second: &Second) -> f64 {
        let moved = (second.joins + second.claims + second.ends + second.reaped) as f64 * REDIS_JOIN_US;
        let people = (moved + second.grants as f64 * REDIS_TURN_US) * self.each;
        let snapshots = REDIS_SNAPSHOT_US + self.bitmap_bytes(second) * REDIS_BYTE_US;
        let nodes = (second.ticks as f64 * REDIS_TICK_US + snapshots) * self.nodes;
        (people + nodes) / 1e6
    }

    /// The processor of one proxy, as a share of a core.
    pub(super) fn proxy_core(&self, second: &Second) -> f64 {
        let us = second.pages as f64 * PROXY_PAGE_US
            + second.polls as f64 * PROXY_POLL_US
            + (second.joins + second.claims) as f64 * PROXY_JOIN_US;
        us * self.each / self.nodes / 1e6
    }

    /// Bytes of bitmaps that one proxy fetches: the line once a second.
    pub(super) fn bitmap_bytes(&self, second: &Second) -> f64 {
        second.span as f64 * self.each / 8.0
    }

    pub(super) fn memory(&self, second: &Second) -> Memory {
        let numbers = second.numbers as f64 * self.each;
        let reports = REPORTS * self.nodes * second.span as f64 * self.each / 8.0;
        let people = second.waiting as f64 * REDIS_WAITING_B + second.inside as f64 * REDIS_INSIDE_B;
        let connections = second.polls as f64 * self.each / self.nodes * CONNECTION_KEPT_S;
        Memory {
            redis_bytes: REDIS_EMPTY_B + people * self.each + BITMAPS * numbers / 8.0 + reports,
            proxy_bytes: PROXY_IDLE_B + numbers * PROXY_NUMBER_B,
            connections_bytes: connections * PROXY_CONNECTION_B,
        }
    }
}

impl Memory {
    /// The larger of each.
    pub(super) fn raise(&mut self, other: &Self) {
        self.redis_bytes = self.redis_bytes.max(other.redis_bytes);
        self.proxy_bytes = self.proxy_bytes.max(other.proxy_bytes);
        self.connections_bytes = self.connections_bytes.max(other.connections_bytes);
    }
}

/// What a sale needs at the worst moment.
pub(super) struct Needs {
    pub(super) redis: Load,
    pub(super) proxy: Load,
    pub(super) bitmap_bytes: Load,
    pub(super) memory: Memory,
    pub(super) polls: Load,
    pub(super) numbers: u64,
}

/// Everything that is limited, the tightest first.
pub(super) fn limits(needs: &Needs, sale: &Sale) -> Vec<Limit> {
    let limit = |what, needs: f64, has: f64, unit, then| Limit { what, needs, has, unit, share: needs / has, then };
    let connections = needs.polls.peak / sale.nodes as f64 * CONNECTION_KEPT_S;
    let mut limits = vec![
        limit(
            "processor of one proxy",
            needs.proxy.peak,
            CORE,
            "cores",
            "more proxies or cores; arrivals over a longer time",
        ),
        limit("connections at one proxy", connections, CONNECTIONS, "", "more proxies, or a larger max_connections"),
        limit(
            "bitmaps fetched by one proxy",
            needs.bitmap_bytes.peak,
            NETWORK_B,
            "bytes/s",
            "a faster network; several rooms",
        ),
        limit(
            "Redis' processor",
            needs.redis.peak,
            CORE,
            "cores",
            "arrivals over a longer time; fewer proxies; several rooms, in a cluster",
        ),
        limit(
            "memory of Redis",
            needs.memory.redis_bytes,
            REDIS_MEMORY_B,
            "bytes",
            "more memory: maxmemory must never be reached",
        ),
        limit("numbers in one room", needs.numbers as f64, NUMBERS, "", "several rooms"),
    ];
    limits.sort_by(|one, other| other.share.total_cmp(&one.share));
    limits
}
