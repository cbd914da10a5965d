//! Seat maps, made once and shown to everybody: kept in the process for a moment, in Redis for seconds, read from the
//! database by one for all who wait. Whatever goes wrong with Redis, the database answers. Knows no HTTP and no SQL.

pub mod rendered;
pub mod store;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::time::Instant;

pub use crate::flight::Wish;
use crate::flight::{Flights, Landed};
use crate::ledger::{Ledger, LedgerError, ReadFrom};
use crate::metrics::Metrics;
use crate::seat::{ScheduleId, Seat};
pub use rendered::{Render, Rendered};
pub use store::Change;
use store::{Filled, MapStore, Stored};

/// A map this young is shown without asking anybody. Many readers see the same; nobody sees it later than this.
pub const SHOWN_FOR: Duration = Duration::from_millis(100);

/// Schedules whose maps a process keeps. More than are ever on sale at once.
const MOST_KEPT: usize = 1_000;

/// The seat maps of all schedules. Cheap to clone.
#[derive(Clone)]
pub struct SeatMaps(Arc<Inner>);

struct Inner {
    ledger: Ledger,
    store: MapStore,
    /// How a map is written for clients: the edge's business.
    render: Render,
    metrics: Metrics,
    /// By schedule. A plain mutex: held for a look-up.
    kept: Mutex<HashMap<i64, Arc<Entry>>>,
}

/// One schedule's map in this process.
#[derive(Default)]
struct Entry {
    /// The last one made.
    current: ArcSwapOption<Rendered>,
    flights: Flights<Rendered>,
}

impl SeatMaps {
    /// Maps of what is in `ledger`, shared by `store`, written by `render`.
    pub fn new(ledger: Ledger, store: MapStore, render: Render, metrics: Metrics) -> Self {
        Self(Arc::new(Inner { ledger, store, render, metrics, kept: Mutex::default() }))
    }

    /// Whether readers may see a map that is a moment old.
    pub fn are_kept(&self) -> bool {
        self.0.store.is_on()
    }

    /// The map at the time `now_ms` (ms since 1970); `None` when there is no such schedule.
    pub async fn get(&self, schedule: ScheduleId, wish: Wish, now_ms: i64) -> Landed<Rendered> {
        let entry = self.entry(schedule);
        if wish == Wish::AsShown
            && let Some(current) = entry.current.load_full()
            && current.counts(now_ms)
        {
            self.0.metrics.seat_map("process");
            return Ok(Some(current));
        }
        let (maps, flying) = (self.clone(), Arc::clone(&entry));
        let landed =
            entry.flights.join(wish, move |wish| async move { maps.make(schedule, &flying, wish, now_ms).await });
        let landed = landed.await;
        if matches!(landed, Ok(None)) {
            // Ids that are none must not pile up.
            self.kept().remove(&schedule.0);
        }
        landed
    }

    /// Tells everybody's map of a change, after its commit.
    pub async fn tell(&self, schedule: ScheduleId, changes: &[Change]) {
        self.0.store.tell(schedule, changes).await;
    }

    fn entry(&self, schedule: ScheduleId) -> Arc<Entry> {
        let mut kept = self.kept();
        if kept.len() >= MOST_KEPT && !kept.contains_key(&schedule.0) {
            kept.retain(|_, entry| Arc::strong_count(entry) > 1);
        }
        Arc::clone(kept.entry(schedule.0).or_default())
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, HashMap<i64, Arc<Entry>>> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One flight: Redis if it knows, else the database, for all who wait.
    async fn make(&self, schedule: ScheduleId, entry: &Entry, wish: Wish, now_ms: i64) -> Landed<Rendered> {
        // Before anything is read: what is read later is at least as new.
        let since = Instant::now();
        let had = entry.current.load_full();
        let known = had.as_ref().and_then(|had| had.revision());
        let (revision, seats) = match (self.0.store.read(schedule, known).await, &had) {
            (Stored::Same, Some(had)) => (had.revision().map(str::to_owned), Arc::clone(had.seats())),
            (Stored::Map(revision, seats), _) => {
                self.0.metrics.seat_map("redis");
                (Some(revision), Arc::new(seats))
            }
            _ => match self.read_and_fill(schedule, wish).await? {
                Some((revision, seats)) => (revision, Arc::new(seats)),
                None => return Ok(None),
            },
        };
        let made = match had.filter(|had| had.shows(&seats, now_ms)) {
            Some(had) => Arc::new(had.again(revision, since)),
            None => Arc::new(self.write(revision, seats, since, now_ms).await?),
        };
        entry.current.store(Some(Arc::clone(&made)));
        Ok(Some(made))
    }

    async fn read_and_fill(
        &self,
        schedule: ScheduleId,
        wish: Wish,
    ) -> Result<Option<(Option<String>, Vec<Seat>)>, Arc<LedgerError>> {
        let from = if wish == Wish::Fresh { ReadFrom::Primary } else { ReadFrom::Replica };
        self.0.metrics.seat_map("database");
        let Some(read) = self.0.ledger.seats(schedule, from).await? else { return Ok(None) };
        Ok(Some(match self.0.store.fill(schedule, &read).await {
            Filled::AsRead(revision) => (Some(revision), read),
            Filled::Newer(revision, seats) => (Some(revision), seats),
            Filled::Unknown => (None, read),
        }))
    }

    /// Writes the map out. A thousand seats take a millisecond: not on a thread that others wait for.
    async fn write(
        &self,
        revision: Option<String>,
        seats: Arc<Vec<Seat>>,
        since: Instant,
        now_ms: i64,
    ) -> Result<Rendered, Arc<LedgerError>> {
        let render = self.0.render;
        let written =
            tokio::task::spawn_blocking(move || Rendered::write(revision, seats, since, now_ms, render)).await;
        let broken = |error: String| Arc::new(LedgerError::Broken(format!("writing a seat map: {error}")));
        written.map_err(|error| broken(error.to_string()))?.map_err(|error| broken(error.to_string()))
    }
}
