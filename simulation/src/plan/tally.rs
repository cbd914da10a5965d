//! Counts what happens in a sale, and makes the forecast of it.

use serde::Serialize;
use waitroom_proxy::status::Eta;

use super::cost::{self, Load, Memory, Scale};
use super::engine::{Counts, Second, Teller};
use super::{Forecast, Quantiles, Sale};

/// A count, a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
struct Series {
    sum: f64,
    seconds: f64,
    peak: f64,
}

impl Series {
    fn add(&mut self, value: f64, counts: bool) {
        self.peak = self.peak.max(value);
        if counts {
            self.sum += value;
            self.seconds += 1.0;
        }
    }

    fn load(&self) -> Load {
        Load { peak: self.peak, mean: if self.seconds > 0.0 { self.sum / self.seconds } else { 0.0 } }
    }
}

/// What has happened so far.
pub(super) struct Tally {
    each: u64,
    scale: Option<Scale>,
    waits_ms: Vec<u32>,
    longest_line: u64,
    polls: Series,
    requests: Series,
    redis: Series,
    proxy: Series,
    bitmaps: Series,
    memory: Memory,
    numbers: u64,
}

impl Tally {
    pub(super) fn new(sale: &Sale, each: u64) -> Self {
        Self {
            each,
            scale: Some(Scale { each: each as f64, nodes: sale.nodes as f64 }),
            waits_ms: Vec::new(),
            longest_line: 0,
            polls: Series::default(),
            requests: Series::default(),
            redis: Series::default(),
            proxy: Series::default(),
            bitmaps: Series::default(),
            memory: Memory::default(),
            numbers: 0,
        }
    }

    pub(super) fn forecast(mut self, sale: &Sale, counts: &Counts, empty_after_s: Option<f64>) -> Forecast {
        self.waits_ms.sort_unstable();
        let at = |share: f64| {
            let last = self.waits_ms.len().saturating_sub(1);
            let index = ((self.waits_ms.len() as f64 * share).ceil() as usize).saturating_sub(1).min(last);
            self.waits_ms.get(index).map_or(0.0, |ms| f64::from(*ms) / 1_000.0)
        };
        let wait_s = Quantiles { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1.0) };
        let (redis, proxy, bitmap_bytes) = (self.redis.load(), self.proxy.load(), self.bitmaps.load());
        let polls = self.polls.load();
        let needs =
            cost::Needs { redis, proxy, bitmap_bytes, memory: self.memory, polls, numbers: self.numbers * self.each };
        Forecast {
            sale: sale.clone(),
            each_stands_for: self.each,
            admitted: counts.admitted * self.each,
            gave_up: counts.gave_up * self.each,
            wasted_turns: counts.granted.saturating_sub(counts.admitted) * self.each,
            wait_s,
            empty_after_s,
            longest_line: self.longest_line * self.each,
            polls,
            requests: self.requests.load(),
            memory: self.memory,
            redis,
            proxy,
            bitmap_bytes,
            limits: cost::limits(&needs, sale),
        }
    }
}

impl Teller for Tally {
    fn told(&mut self, _who: u32, _now_ms: u64, _eta: Option<Eta>) {}

    fn admitted(&mut self, _who: u32, now_ms: u64, arrived_ms: u64) {
        // A run lasts a day at most.
        self.waits_ms.push((now_ms - arrived_ms) as u32);
    }

    fn second(&mut self, second: &Second) {
        let Some(scale) = self.scale else { return };
        // Means are over the time in which somebody waits.
        let counts = second.waiting > 0;
        let each = scale.each;
        self.longest_line = self.longest_line.max(second.waiting);
        self.numbers = self.numbers.max(second.numbers);
        let joined_at_once = second.joins as f64;
        self.polls.add(second.polls as f64 * each, counts);
        self.requests.add((second.pages as f64 + joined_at_once + second.polls as f64) * each, counts);
        self.redis.add(scale.redis_core(second), counts);
        self.proxy.add(scale.proxy_core(second), counts);
        self.bitmaps.add(scale.bitmap_bytes(second), counts);
        self.memory.raise(&scale.memory(second));
    }
}
