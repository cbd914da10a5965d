//! What Prometheus is told. One registry per proxy, never the global one. Handles are resolved once: on the
//! way of a request there is no label lookup, only an atomic addition.

mod families;
mod process;
mod room;
mod store;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{Encoder as _, IntCounter, IntGauge, Registry, TextEncoder};

use families::Families;
pub use room::{Outcome, RoomFigures, RoomMetrics};
pub use store::{StoreMetrics, StoreOperation};

/// Content type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// All metrics of one proxy.
pub struct Metrics {
    registry: Registry,
    families: Arc<Families>,
    /// Rooms by name, so that a reload finds the handles of rooms that stay. A mutex, because only reloads
    /// take it.
    rooms: Mutex<BTreeMap<String, Arc<RoomMetrics>>>,
    /// Requests that belong to no room: refused before one was found.
    no_room: Arc<RoomMetrics>,
    store: StoreMetrics,
    /// Open connections of visitors.
    pub connections: IntGauge,
    /// Connections refused because there were too many.
    pub connections_refused: IntCounter,
    /// Queue tokens found in the cache of verified ones.
    pub token_cache_hits: IntCounter,
    /// Queue tokens whose signature had to be checked and was good.
    pub tokens_verified: IntCounter,
    /// Queue tokens, tickets and seals that were refused.
    pub credentials_refused: IntCounter,
    reloads: Reloads,
}

struct Reloads {
    accepted: IntCounter,
    rejected: IntCounter,
    last_ok: IntGauge,
    mistakes: IntGauge,
}

impl Metrics {
    /// A registry with everything at zero. `redis`: the store is Redis, so its calls are also counted under
    /// `redis_commands_total`.
    ///
    /// # Errors
    /// Two metrics of one name; none in a build whose tests pass.
    pub fn new(redis: bool) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let families = Arc::new(Families::new(&registry)?);
        let reloads = Reloads::new(&families);
        let simple = families.simple(&registry)?;
        Ok(Self {
            no_room: Arc::new(RoomMetrics::new(Arc::clone(&families), "")),
            store: StoreMetrics::new(&families, redis),
            rooms: Mutex::default(),
            connections: simple.connections,
            connections_refused: simple.connections_refused,
            token_cache_hits: simple.token_cache_hits,
            tokens_verified: simple.tokens_verified,
            credentials_refused: simple.credentials_refused,
            reloads,
            families,
            registry,
        })
    }

    /// The handles of a room; the same ones every time. For start and reload, not for requests.
    #[must_use]
    pub fn room(&self, name: &str) -> Arc<RoomMetrics> {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let made = || Arc::new(RoomMetrics::new(Arc::clone(&self.families), name));
        Arc::clone(rooms.entry(name.to_owned()).or_insert_with(made))
    }

    /// Drops the series of a room that a reload removed.
    pub fn forget_room(&self, name: &str) {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(room) = rooms.remove(name) {
            room.forget();
        }
    }

    /// Where requests are counted that belong to no room.
    #[must_use]
    pub fn no_room(&self) -> &RoomMetrics {
        &self.no_room
    }

    /// Calls of the store.
    #[must_use]
    pub fn store(&self) -> &StoreMetrics {
        &self.store
    }

    /// A new config was put in place.
    pub fn reload_accepted(&self) {
        self.reloads.accepted.inc();
        self.reloads.last_ok.set(1);
        self.reloads.mistakes.set(0);
    }

    /// A new config was refused for so many mistakes.
    pub fn reload_rejected(&self, mistakes: usize) {
        self.reloads.rejected.inc();
        self.reloads.last_ok.set(0);
        self.reloads.mistakes.set(i64::try_from(mistakes).unwrap_or(i64::MAX));
    }

    /// The text that Prometheus reads.
    ///
    /// # Errors
    /// A metric without a name; none in a build whose tests pass.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        self.families.process.refresh();
        let mut out = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut out)?;
        Ok(String::from_utf8_lossy(&out).into_owned())
    }
}

impl Reloads {
    fn new(families: &Families) -> Self {
        let by_result = |result| families.reloads.with_label_values(&[result]);
        // The config that the process started with is good.
        families.reload_ok.set(1);
        Self {
            accepted: by_result("accepted"),
            rejected: by_result("rejected"),
            last_ok: families.reload_ok.clone(),
            mistakes: families.reload_mistakes.clone(),
        }
    }
}
