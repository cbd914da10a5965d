//! Rate maths: tick period, burst, estimates, poll intervals. Pure: no clock, no randomness of its own.

use std::collections::VecDeque;
use std::time::Duration;

use crate::status::Eta;

mod estimate;
mod habits;

pub use self::estimate::{Flow, estimate};
pub use self::habits::{HabitMeter, Habits};

/// The longest time between two ticks: a turn is noticed without a visible delay.
const SLOWEST_TICK: Duration = Duration::from_millis(50);
/// The shortest: each tick costs the store about 50 µs.
const FASTEST_TICK: Duration = Duration::from_millis(5);
/// Four ticks fill the bucket at most once, so that a late tick does not spill tokens.
const TICKS_PER_BURST: f64 = 4.0;

/// Poll intervals: a tenth of the remaining time, so that the estimate is refreshed while it shrinks.
const POLLS_PER_WAIT: f64 = 10.0;
/// Nobody needs to poll more often, except those whose turn is next.
const SHORTEST_POLL: Duration = Duration::from_secs(2);
/// Also the longest silence of a visitor who is there: `abandon_after_s` must be well above it.
const LONGEST_POLL: Duration = Duration::from_secs(30);
/// For those whose turn comes within two seconds or so.
const NEXT_FEW_POLL: Duration = Duration::from_secs(1);
/// After trouble that has just begun, most of which is over soon.
const SHORTEST_AFTER_TROUBLE: Duration = Duration::from_secs(5);
/// Who belongs to the next few: those admitted within this many seconds …
const NEXT_FEW_S: f64 = 2.0;
/// … and never fewer than this many visitors.
const NEXT_FEW_MIN: u64 = 5;
/// Half the width of the jitter: ±20 %.
const JITTER: f64 = 0.2;

const _: () = assert!(SHORTEST_POLL.as_secs() < LONGEST_POLL.as_secs());

/// How long to wait between ticks: `min(50 ms, burst / rate / 4)`, never under 5 ms.
///
/// A room that admits nobody still ticks, so that overdue turns are swept and a new rate is felt.
#[must_use]
pub fn tick_period(rate_per_s: f64, burst: f64) -> Duration {
    let seconds = burst / rate_per_s / TICKS_PER_BURST;
    if rate_per_s <= 0.0 || !seconds.is_finite() {
        return SLOWEST_TICK;
    }
    Duration::from_secs_f64(seconds.clamp(FASTEST_TICK.as_secs_f64(), SLOWEST_TICK.as_secs_f64()))
}

/// The bucket's size when none is configured: a quarter of a second's worth, at least two.
#[must_use]
pub fn default_burst(rate_per_s: f64) -> f64 {
    (rate_per_s / 4.0).max(2.0)
}

/// When to ask again. `jitter` is a random number in [0, 1).
#[must_use]
pub fn poll_after(eta: Option<Eta>, position: u64, rate_per_s: f64, jitter: f64) -> Duration {
    let next_few = ((rate_per_s.max(0.0) * NEXT_FEW_S) as u64).max(NEXT_FEW_MIN);
    let calm = match eta {
        Some(eta) => {
            let middle = (eta.low as f64 + eta.high as f64) / 2.0;
            (middle / POLLS_PER_WAIT).clamp(SHORTEST_POLL.as_secs_f64(), LONGEST_POLL.as_secs_f64())
        }
        // Nobody can tell: then asking often tells nothing either.
        None => LONGEST_POLL.as_secs_f64(),
    };
    let base = match (position <= next_few, eta) {
        (true, Some(eta)) if (eta.low as f64) <= NEXT_FEW_S => NEXT_FEW_POLL.as_secs_f64(),
        // Paused or held: those in front feel the end of it soon.
        (true, _) => SHORTEST_POLL.as_secs_f64(),
        (false, _) => calm,
    };
    Duration::from_secs_f64(base * (1.0 - JITTER + 2.0 * JITTER * jitter.clamp(0.0, 1.0)))
}

/// When to ask again after an answer that could not be given, for trouble that has lasted this long; `jitter` is a random
/// number in [0, 1).
///
/// The longer it lasts the more people have come, so the longer is the interval; and it is drawn over its whole
/// length, so that at the end of an outage they come back spread over one interval and not at once (F26).
#[must_use]
pub fn poll_after_trouble(lasted: Duration, jitter: f64) -> Duration {
    lasted.clamp(SHORTEST_AFTER_TROUBLE, LONGEST_POLL).mul_f64(JITTER + jitter.clamp(0.0, 1.0))
}

/// The rate of admissions over the last half minute, from the store's own counter and clock.
#[derive(Clone, Debug, Default)]
pub struct RateMeter {
    /// (store's clock in ms, admissions so far), oldest first; bounded by `SLOT_MS` and `WINDOW_MS`.
    samples: VecDeque<(u64, u64)>,
}

/// How far back the meter looks.
const WINDOW_MS: u64 = 30_000;
/// Samples closer together than this replace one another: at most 60 are kept.
const SLOT_MS: u64 = 500;
/// Less than this is no measurement.
const LEAST_MS: u64 = 2_000;

impl RateMeter {
    /// Notes the counter. `waiting`: somebody waits; without a line the rate says only who came, so it starts over.
    pub fn note(&mut self, admitted: u64, now_ms: u64, waiting: bool) {
        let backwards = self.samples.back().is_some_and(|(at, total)| now_ms < *at || admitted < *total);
        if backwards || !waiting {
            self.samples.clear();
        }
        if let [.., before, _] = self.samples.make_contiguous()
            && now_ms - before.0 < SLOT_MS
        {
            self.samples.pop_back();
        }
        self.samples.push_back((now_ms, admitted));
        // One sample at or before the window's start stays, so that the window is always covered.
        while self.samples.get(1).is_some_and(|(at, _)| at + WINDOW_MS <= now_ms) {
            self.samples.pop_front();
        }
    }

    /// Admissions per second; `None` before two seconds were seen.
    #[must_use]
    pub fn per_second(&self) -> Option<f64> {
        let ((start, first), (end, last)) = (*self.samples.front()?, *self.samples.back()?);
        let elapsed_ms = end.saturating_sub(start);
        (elapsed_ms >= LEAST_MS).then(|| (last - first) as f64 * 1_000.0 / elapsed_ms as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_burst_ticks_often_enough() {
        assert_eq!(tick_period(10.0, 100.0), Duration::from_millis(50));
        assert_eq!(tick_period(1_000.0, 40.0), Duration::from_millis(10));
        assert_eq!(tick_period(1e6, 2.0), Duration::from_millis(5));
        for (rate, burst) in [(0.0, 2.0), (-1.0, 2.0), (f64::NAN, 2.0), (f64::MIN_POSITIVE, 0.0)] {
            let period = tick_period(rate, burst);
            assert!((FASTEST_TICK..=SLOWEST_TICK).contains(&period), "{rate} {burst}: {period:?}");
        }
        assert_eq!((default_burst(1.0), default_burst(400.0)), (2.0, 100.0));
    }

    #[test]
    fn polls_come_at_a_tenth_of_the_wait_with_bounds_and_jitter() {
        let at = |low, high| Some(Eta { low, high });
        let seconds = |eta, position, jitter| poll_after(eta, position, 10.0, jitter).as_secs_f64();
        assert_eq!(seconds(at(90, 110), 1_000, 0.5), 10.0);
        assert_eq!(seconds(at(10, 12), 100, 0.5), 2.0);
        assert_eq!(seconds(at(10_000, 12_000), 100_000, 0.5), 30.0);
        assert_eq!(seconds(at(10_000, 12_000), 100_000, 0.0), 24.0);
        assert!(seconds(at(10_000, 12_000), 100_000, 0.999_999) < 36.0);
        assert_eq!(seconds(None, 1_000, 0.5), 30.0);
    }

    #[test]
    fn f26_polls_after_trouble_come_later_the_longer_it_lasts_over_the_whole_interval() {
        let range = |lasted| {
            let at = |jitter| poll_after_trouble(Duration::from_secs(lasted), jitter).as_secs_f64();
            (at(0.0), at(1.0))
        };
        assert_eq!([range(0), range(5), range(20)], [(1.0, 6.0), (1.0, 6.0), (4.0, 24.0)]);
        assert_eq!(range(3_600), (6.0, 36.0), "never longer than any other poll");
    }

    #[test]
    fn the_next_few_poll_more_often() {
        let soon = Some(Eta { low: 0, high: 2 });
        assert_eq!(poll_after(soon, 20, 10.0, 0.5), Duration::from_secs(1));
        assert_eq!(poll_after(None, 3, 0.0, 0.5), Duration::from_secs(2));
        assert_eq!(poll_after(Some(Eta { low: 300, high: 310 }), 3, 0.01, 0.5), Duration::from_secs(2));
    }

    #[test]
    fn the_meter_measures_a_steady_rate_in_bounded_memory() {
        let mut meter = RateMeter::default();
        for tick in 0..2_000 {
            meter.note(tick, 1_000_000 + tick * 50, true);
        }
        assert_eq!(meter.per_second(), Some(20.0));
        assert!(meter.samples.len() <= 70, "{}", meter.samples.len());
    }

    #[test]
    fn the_meter_forgets_what_no_longer_counts() {
        let mut meter = RateMeter::default();
        assert_eq!(meter.per_second(), None);
        meter.note(0, 0, true);
        meter.note(10, 1_000, true);
        assert_eq!(meter.per_second(), None, "one second is no measurement");
        meter.note(20, 2_000, true);
        assert_eq!(meter.per_second(), Some(10.0));
        meter.note(5, 3_000, true);
        assert_eq!(meter.per_second(), None, "a new generation counts from 0");
        meter.note(5, 40_000, true);
        meter.note(5, 80_000, true);
        assert_eq!(meter.per_second(), Some(0.0));
        meter.note(9, 81_000, false);
        assert_eq!(meter.per_second(), None, "nobody waited");
    }
}
