//! Latencies as a few figures of JSON; keeps nothing but a histogram.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// The longest latency that is told apart from a longer one, in microseconds.
const LONGEST_US: u64 = 60_000_000;

/// Latencies of one kind, to three digits.
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self(Histogram::new_with_bounds(1, LONGEST_US, 3)?))
    }

    pub(crate) fn note(&mut self, took: Duration) {
        self.0.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    pub(crate) fn json(&self) -> Value {
        let ms = |quantile: f64| self.0.value_at_quantile(quantile) as f64 / 1000.0;
        json!({ "count": self.0.len(), "p50_ms": ms(0.5), "p90_ms": ms(0.9), "p99_ms": ms(0.99), "p999_ms": ms(0.999),
                "max_ms": self.0.max() as f64 / 1000.0 })
    }
}
