//! What Prometheus is told. One registry per proxy, never the global one. Handles are resolved once: on the
//! way of a request there is no label lookup, only atomic additions.

mod families;
mod metered;
mod process;
mod room;
mod store;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use prometheus::{Encoder as _, Registry, TextEncoder};

use crate::edge::{Observer, Outcome};
use families::Families;
pub use metered::MeteredStore;
use room::RoomMetrics;
use store::StoreMetrics;

/// Content type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// All metrics of one proxy.
pub struct Metrics {
    registry: Registry,
    families: Arc<Families>,
    /// In the order of the config, for requests. Swapped whole by a reload.
    in_order: ArcSwap<Vec<Arc<RoomMetrics>>>,
    /// By name, so that rooms that stay keep their handles. A mutex: taken by reloads and by calls of the
    /// store, which are few because they are batched.
    by_name: Mutex<BTreeMap<String, Arc<RoomMetrics>>>,
    /// Requests that belong to no room: refused before one was found.
    no_room: RoomMetrics,
    store: StoreMetrics,
    /// Kept by the listener, read when Prometheus asks.
    connections: ArcSwapOption<AtomicUsize>,
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
        // The config that the process started with is good.
        families.reload_ok.set(1);
        Ok(Self {
            no_room: RoomMetrics::new(Arc::clone(&families), ""),
            store: StoreMetrics::new(&families, redis),
            in_order: ArcSwap::default(),
            by_name: Mutex::default(),
            connections: ArcSwapOption::empty(),
            families,
            registry,
        })
    }

    /// The rooms in force, in the order of the config. Rooms that are gone lose their series.
    pub fn set_rooms<'a>(&self, names: impl Iterator<Item = &'a str>) {
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *by_name);
        let mut in_order = Vec::new();
        for name in names {
            let made = || Arc::new(RoomMetrics::new(Arc::clone(&self.families), name));
            let room = before.remove(name).unwrap_or_else(made);
            by_name.insert(name.to_owned(), Arc::clone(&room));
            in_order.push(room);
        }
        self.in_order.store(Arc::new(in_order));
        before.values().for_each(|gone| gone.forget());
    }

    /// A reload ended, with so many mistakes (0: it was taken). `at_s`: seconds since the Unix epoch.
    pub fn note_reload(&self, mistakes: usize, at_s: u64) {
        let ok = mistakes == 0;
        let result = if ok { "accepted" } else { "rejected" };
        self.families.reloads.with_label_values(&[result]).inc();
        self.families.reload_ok.set(i64::from(ok));
        self.families.reload_mistakes.set(i64::try_from(mistakes).unwrap_or(i64::MAX));
        self.families.reload_at.set(i64::try_from(at_s).unwrap_or(i64::MAX));
    }

    /// Where the number of open connections is kept.
    pub fn watch_connections(&self, count: Arc<AtomicUsize>) {
        self.connections.store(Some(count));
    }

    /// The text that Prometheus reads.
    ///
    /// # Errors
    /// A metric without a name; none in a build whose tests pass.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        self.families.process.refresh();
        if let Some(count) = &*self.connections.load() {
            let count = count.load(Ordering::Relaxed);
            self.families.connections.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        let mut out = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut out)?;
        Ok(String::from_utf8_lossy(&out).into_owned())
    }

    /// `None` for a room that is not in force (any more): what it still does is not counted.
    fn room(&self, name: &str) -> Option<Arc<RoomMetrics>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }
}

impl Observer for Metrics {
    fn answered(&self, room: Option<usize>, outcome: Outcome, status: u16, took: Duration) {
        let rooms = self.in_order.load();
        let room = room.and_then(|index| rooms.get(index)).map_or(&self.no_room, |room| room);
        room.request(outcome, status, took);
    }
}
