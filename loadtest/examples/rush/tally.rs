//! What a rush has seen, as figures; it asks nobody.

use std::time::Duration;

use serde_json::{Value, json};

use crate::report::Latencies;

/// Counted by all newcomers together.
pub(crate) struct Tally {
    /// Connecting, and the first request, which gets a pre-ticket.
    pub(crate) pre: Latencies,
    /// From the first poll with it until there is a place, further polls included.
    pub(crate) join: Latencies,
    /// Both.
    pub(crate) whole: Latencies,
    /// Polls of those who stood there before.
    pub(crate) poll: Latencies,
    /// Every place that was given.
    pub(crate) seqs: Vec<u64>,
    /// Let in without having waited.
    pub(crate) admitted: u64,
    /// Polls answered without a place, because the store had not answered.
    pub(crate) blind: u64,
    pub(crate) requests: u64,
    lost: u64,
    failed: u64,
    first_error: Option<String>,
    /// How late the generator itself was at worst.
    lag: Duration,
}

impl Tally {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self {
            pre: Latencies::new()?,
            join: Latencies::new()?,
            whole: Latencies::new()?,
            poll: Latencies::new()?,
            seqs: Vec::new(),
            admitted: 0,
            blind: 0,
            requests: 0,
            lost: 0,
            failed: 0,
            first_error: None,
            lag: Duration::ZERO,
        })
    }

    /// A newcomer without a place.
    pub(crate) fn lost(&mut self, error: &anyhow::Error) {
        self.lost += 1;
        self.first_error.get_or_insert_with(|| format!("{error:#}"));
    }

    /// A poll without an answer.
    pub(crate) fn failed(&mut self, error: &anyhow::Error) {
        self.failed += 1;
        self.first_error.get_or_insert_with(|| format!("{error:#}"));
    }

    pub(crate) fn note_lag(&mut self, lag: Duration) {
        self.lag = self.lag.max(lag);
    }

    pub(crate) fn json(&self, took: Duration) -> Value {
        let mut places = self.seqs.clone();
        places.sort_unstable();
        places.dedup();
        let seconds = took.as_secs_f64();
        json!({
            "seconds": seconds, "requests": self.requests, "requests_per_s": self.requests as f64 / seconds,
            "joined": self.whole.count(), "joined_per_s": self.whole.count() as f64 / seconds,
            "places": self.seqs.len(), "places_given_twice": self.seqs.len() - places.len(), "admitted": self.admitted,
            "blind": self.blind, "lost": self.lost, "failed_polls": self.failed, "first_error": self.first_error,
            "generator_lag_ms": self.lag.as_secs_f64() * 1000.0,
            "pre_ticket": self.pre.json(), "join": self.join.json(), "whole": self.whole.json(), "poll": self.poll.json(),
        })
    }
}
