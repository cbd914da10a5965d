//! Which lanes of the outbox are left alone for a while because what is first in them could not be brought on. Pure
//! but for the type of its times: they come in.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// After a lane's first failure; doubled with each further one in a row.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// Longest pause: how long after the end of an outage a lane goes on at the latest.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// How much smaller the next batch of a lane is after each failure: what can not be brought on is found among a
/// thousand in four steps, and everything before it goes.
const NARROWER: i64 = 8;

/// The lanes that failed last. Those that went on are not in here, so it is bounded by how many lanes there are.
#[derive(Debug, Default)]
pub(super) struct Lanes(BTreeMap<i32, Failing>);

#[derive(Debug)]
struct Failing {
    /// In a row.
    failures: u32,
    until: Instant,
    why: String,
}

impl Lanes {
    /// The lanes not to be looked at now.
    pub(super) fn left_alone(&self, now: Instant) -> Vec<i32> {
        self.0.iter().filter(|(_, failing)| now < failing.until).map(|(lane, _)| *lane).collect()
    }

    /// How many events to take of a lane, where a lane that is well gives `whole`; at least one.
    pub(super) fn limit(&self, lane: i32, whole: i64) -> i64 {
        let failures = self.0.get(&lane).map_or(0, |failing| failing.failures);
        (whole / NARROWER.saturating_pow(failures)).max(1)
    }

    /// A batch of this lane came to nothing.
    pub(super) fn failed(&mut self, lane: i32, now: Instant, why: &str) {
        let failures = self.0.get(&lane).map_or(0, |failing| failing.failures).saturating_add(1);
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(failures - 1)).min(LONGEST_PAUSE);
        self.0.insert(lane, Failing { failures, until: now + pause, why: why.to_owned() });
    }

    /// A batch of this lane got through.
    pub(super) fn went_on(&mut self, lane: i32) {
        self.0.remove(&lane);
    }

    /// Why one of them failed last, and how many do.
    pub(super) fn trouble(&self) -> Option<String> {
        let (_, first) = self.0.first_key_value()?;
        Some(format!("{} (lanes that do not go on: {})", first.why, self.0.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_that_fails_is_left_alone_for_longer_each_time_and_the_others_are_not() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        assert_eq!((lanes.left_alone(now), lanes.trouble()), (vec![], None));
        let mut pauses = Vec::new();
        for _ in 0..7 {
            lanes.failed(3, now, "gone");
            assert_eq!(lanes.left_alone(now), [3]);
            let mut pause = Duration::ZERO;
            while lanes.left_alone(now + pause) == [3] {
                pause += Duration::from_millis(250);
            }
            pauses.push(pause.as_millis());
        }
        assert_eq!(pauses, [250, 500, 1_000, 2_000, 4_000, 8_000, 8_000]);
        assert_eq!(lanes.trouble().as_deref(), Some("gone (lanes that do not go on: 1)"));
        lanes.went_on(3);
        assert_eq!((lanes.left_alone(now), lanes.trouble()), (vec![], None));
    }

    #[test]
    fn batches_get_smaller_down_to_the_one_event() {
        let mut lanes = Lanes::default();
        let mut limits = Vec::new();
        for _ in 0..5 {
            limits.push(lanes.limit(3, 1_000));
            lanes.failed(3, Instant::now(), "gone");
        }
        assert_eq!(limits, [1_000, 125, 15, 1, 1]);
        assert_eq!(lanes.limit(4, 1_000), 1_000);
        for _ in 0..100 {
            lanes.failed(3, Instant::now(), "gone");
        }
        assert_eq!(lanes.limit(3, 1_000), 1, "no overflow after a long outage");
    }
}
