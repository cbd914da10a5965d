//! Counting while the run goes on. Every count is bounded by what the site can answer, not by the visitors.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use http::StatusCode;
use serde::Serialize;

use crate::site::{Failure, What};

/// Different sentences kept of errors; the rest is counted as `other`.
const MAX_KINDS: usize = 64;

/// What is counted under a lock.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Counts {
    /// Answers by status, over all requests.
    pub status: BTreeMap<u16, u64>,
    /// Answers by request and status.
    pub requests: BTreeMap<What, BTreeMap<u16, u64>>,
    /// Requests that were sent again.
    pub retries: BTreeMap<What, u64>,
    /// Requests without an answer, by cause.
    pub failures: BTreeMap<String, u64>,
}

/// Counters of a run, shared by all visitors.
#[derive(Debug, Default)]
pub struct Tally {
    counts: Mutex<Counts>,
    /// Visitors who have arrived.
    pub arrived: AtomicU64,
    /// Visitors who are in line now.
    pub in_line: AtomicU64,
    /// Visitors who are on the site now.
    pub inside: AtomicU64,
    /// Visitors who were let in, ever.
    pub entered: AtomicU64,
    /// Reservations made.
    pub booked: AtomicU64,
    /// Visitors who are through.
    pub finished: AtomicU64,
    /// Requests that got no answer, each try counted.
    pub failed: AtomicU64,
}

impl Tally {
    pub(crate) fn answered(&self, what: What, status: StatusCode) {
        let mut counts = self.lock();
        *counts.status.entry(status.as_u16()).or_default() += 1;
        *counts.requests.entry(what).or_default().entry(status.as_u16()).or_default() += 1;
    }

    pub(crate) fn failed_request(&self, failure: &Failure) {
        self.failed.fetch_add(1, Relaxed);
        count(&mut self.lock().failures, failure.to_string());
    }

    pub(crate) fn retry(&self, what: What) {
        *self.lock().retries.entry(what).or_default() += 1;
    }

    /// The counts so far.
    pub fn counts(&self) -> Counts {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // A count that a panicking visitor left behind is still a count.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds one to a kind, with a bound on the kinds.
pub(crate) fn count(kinds: &mut BTreeMap<String, u64>, kind: String) {
    let known = kinds.len() < MAX_KINDS || kinds.contains_key(&kind);
    *kinds.entry(if known { kind } else { "other".to_owned() }).or_default() += 1;
}
