//! What is on: lists that everybody sees alike, read once a second for all who ask, and written out once. Knows no HTTP
//! and no SQL.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use ring::digest;
use tokio::time::Instant;

use crate::flight::{Flights, Landed, Wish};
use crate::ledger::catalogue::{Concert, Listed, Schedule};
use crate::ledger::{Ledger, LedgerError};
use crate::seatmap::rendered::short_hex;

/// A list this young is shown without asking anybody. Concerts change by the week.
pub const SHOWN_FOR: Duration = Duration::from_secs(1);

/// Pages that a process keeps. Whoever makes up cursors can have no more of its memory.
const MOST_KEPT: usize = 1_000;

/// Which page of which list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Page {
    /// Concerts in order of their ids: after this one, so many at most.
    Concerts(Option<i64>, i64),
    /// A concert's evenings, the earliest first: after this one, so many at most.
    Schedules(i64, Option<i64>, i64),
}

/// How lists are written for clients: the edge's business. Both as JSON.
#[derive(Debug, Clone, Copy)]
pub struct Writers {
    /// Concerts.
    pub concerts: fn(Listed<Concert>) -> Result<Vec<u8>, serde_json::Error>,
    /// Evenings.
    pub schedules: fn(Listed<Schedule>) -> Result<Vec<u8>, serde_json::Error>,
}

/// A page as it goes out.
#[derive(Debug)]
pub struct Written {
    /// The body.
    pub json: Bytes,
    /// Names this state, without the quotes.
    pub etag: String,
    /// It has in it what was committed before this.
    since: Instant,
}

/// The lists. Cheap to clone.
#[derive(Clone)]
pub struct Catalogue(Arc<Inner>);

struct Inner {
    ledger: Ledger,
    writers: Writers,
    /// A plain mutex: held for a look-up.
    kept: Mutex<HashMap<Page, Arc<Entry>>>,
}

#[derive(Default)]
struct Entry {
    current: ArcSwapOption<Written>,
    flights: Flights<Written>,
}

impl Catalogue {
    /// Lists of what is in `ledger`.
    pub fn new(ledger: Ledger, writers: Writers) -> Self {
        Self(Arc::new(Inner { ledger, writers, kept: Mutex::default() }))
    }

    /// A page; `None` when there is no such concert.
    pub async fn get(&self, page: Page) -> Landed<Written> {
        let entry = self.entry(page);
        if let Some(current) = entry.current.load_full()
            && current.since.elapsed() < SHOWN_FOR
        {
            return Ok(Some(current));
        }
        let (lists, flying) = (self.clone(), Arc::clone(&entry));
        let landed = entry.flights.join(Wish::AsShown, move |_| async move {
            // Before it is read: what is read later is at least as new.
            let since = Instant::now();
            let written = lists.0.read(page, since).await?.map(Arc::new);
            flying.current.store(written.clone());
            Ok(written)
        });
        let landed = landed.await;
        if !matches!(landed, Ok(Some(_))) {
            self.kept().remove(&page);
        }
        landed
    }

    fn entry(&self, page: Page) -> Arc<Entry> {
        let mut kept = self.kept();
        if kept.len() >= MOST_KEPT && !kept.contains_key(&page) {
            let is_young = |written: Arc<Written>| written.since.elapsed() < SHOWN_FOR;
            kept.retain(|_, entry| Arc::strong_count(entry) > 1 || entry.current.load_full().is_some_and(is_young));
        }
        if kept.len() >= MOST_KEPT {
            // All are in use: this one is read and forgotten.
            return kept.get(&page).map(Arc::clone).unwrap_or_default();
        }
        Arc::clone(kept.entry(page).or_default())
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<Page, Arc<Entry>>> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    async fn read(&self, page: Page, since: Instant) -> Result<Option<Written>, LedgerError> {
        let json = match page {
            Page::Concerts(after, limit) => (self.writers.concerts)(self.ledger.concerts(after, limit).await?),
            Page::Schedules(concert, after, limit) => match self.ledger.schedules(concert, after, limit).await? {
                None => return Ok(None),
                Some(listed) => (self.writers.schedules)(listed),
            },
        };
        let json = json.map_err(|error| LedgerError::Broken(format!("writing a list: {error}")))?;
        let etag = short_hex(digest::digest(&digest::SHA256, &json).as_ref());
        Ok(Some(Written { json: json.into(), etag, since }))
    }
}
