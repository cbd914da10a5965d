//! What the line and the site have been seen to do: how many leave the line, how many sessions end. Pure.

use crate::store::{SEQ_MARGIN, Ticked};

/// What is seen counts for this long, in seconds; then it fades.
///
/// Long enough for some tens of ends where sessions last minutes, short enough to follow an evening.
const MEMORY_S: f64 = 300.0;
/// A longer pause between two ticks is an outage: what happened in it is nobody's habit.
const LONGEST_PAUSE_MS: u64 = 10_000;
/// How long turns count: a rate that the store or the proxies cannot keep is felt soon, and over soon.
const TURNS_MEMORY_S: f64 = 30.0;
/// Fewer turns than this are no measurement.
const LEAST_TURNS: f64 = 20.0;
/// Fewer ends than this are no measurement.
const LEAST_ENDS: f64 = 3.0;
/// A line watched for less than this, in seconds, has shown nothing: who goes silent is noticed after a minute or two.
const LEAST_WATCHED_S: f64 = 10.0;

/// What has been seen lately.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Habits {
    /// Of those who wait, the share that leaves the line each second without a turn.
    pub leaving_per_s: f64,
    /// Of those with a turn or a session, the share whose turn or session ends each second; `None`: too few seen.
    pub ending_per_s: Option<f64>,
    /// Turns a second while people waited and nothing forbade them; `None`: too few seen.
    pub turns_per_s: Option<f64>,
}

/// Learns the habits from one tick to the next, by the store's counters and clock.
#[derive(Clone, Debug, Default)]
pub struct HabitMeter {
    before: Option<Ticked>,
    /// Left the line, seconds waited by all together, seconds watched; faded.
    left: f64,
    waited_s: f64,
    watched_s: f64,
    /// Sessions and turns that ended, seconds inside by all together; faded.
    ended: f64,
    inside_s: f64,
    /// Turns given, and seconds in which they were; faded.
    turns: f64,
    turning_s: f64,
}

impl HabitMeter {
    /// Takes in a tick.
    pub fn note(&mut self, ticked: &Ticked) {
        let Some(before) = self.before.replace(*ticked) else { return };
        // A loss, a reset or a flush: numbers jump, people come back or are gone for other reasons.
        let broken = ticked.now_ms < before.now_ms
            || ticked.admitted < before.admitted
            || ticked.seq < before.seq
            || ticked.seq - before.seq >= SEQ_MARGIN
            || ticked.floor != before.floor
            || !ticked.hold.is_zero();
        if broken {
            *self = Self { before: Some(*ticked), ended: self.ended, inside_s: self.inside_s, ..Self::default() };
            return;
        }
        let pause_ms = ticked.now_ms - before.now_ms;
        if pause_ms > LONGEST_PAUSE_MS {
            return;
        }
        let seconds = pause_ms as f64 / 1_000.0;
        let more = |now: u64, then: u64| now as f64 - then as f64;
        let (joined, admitted) = (more(ticked.seq, before.seq), more(ticked.admitted, before.admitted));
        // Negative when somebody came back to an old number.
        let left = joined - admitted - more(ticked.waiting, before.waiting);
        let ended = admitted - more(ticked.occupied, before.occupied);
        let faded = (-seconds / MEMORY_S).exp();
        let fade = |sum: f64, new: f64| sum * faded + new;
        self.left = fade(self.left, left);
        self.waited_s = fade(self.waited_s, before.waiting as f64 * seconds);
        self.watched_s = fade(self.watched_s, if before.waiting > 0 { seconds } else { 0.0 });
        self.ended = fade(self.ended, ended);
        self.inside_s = fade(self.inside_s, before.occupied as f64 * seconds);
        if ticked.pause % 2 == 1 {
            // What held turns up before a pause says nothing of afterwards: sessions have ended meanwhile.
            (self.turns, self.turning_s) = (0.0, 0.0);
        }
        if before.waiting > 0 && ticked.waiting > 0 && before.pause.is_multiple_of(2) && ticked.pause.is_multiple_of(2)
        {
            let faded = (-seconds / TURNS_MEMORY_S).exp();
            self.turns = self.turns * faded + admitted;
            self.turning_s = self.turning_s * faded + seconds;
        }
    }

    /// Another rate holds from now on: the turns so far say nothing about it.
    pub fn rate_changed(&mut self) {
        (self.turns, self.turning_s) = (0.0, 0.0);
    }

    /// The habits as seen so far.
    #[must_use]
    pub fn habits(&self) -> Habits {
        let seen = self.watched_s >= LEAST_WATCHED_S && self.waited_s > 0.0;
        Habits {
            leaving_per_s: if seen { (self.left / self.waited_s).max(0.0) } else { 0.0 },
            turns_per_s: (self.turns >= LEAST_TURNS).then(|| self.turns / self.turning_s),
            ending_per_s: (self.ended >= LEAST_ENDS && self.inside_s > 0.0).then(|| self.ended / self.inside_s),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tick(now_s: u64, seq: u64, admitted: u64, waiting: u64, occupied: u64) -> Ticked {
        Ticked { now_ms: now_s * 1_000, seq, admitted, waiting, occupied, ..Ticked::default() }
    }

    #[test]
    fn who_leaves_and_whose_session_ends_is_read_from_the_counters() {
        let mut meter = HabitMeter::default();
        // Each second two are let in, one of 1,000 leaves the line, and two of 100 sessions end.
        for second in 0..600 {
            meter.note(&tick(second, 5_000 + 3 * second, 2 * second, 1_000, 100));
        }
        let habits = meter.habits();
        assert!((habits.leaving_per_s - 0.001).abs() < 1e-6, "{habits:?}");
        assert!((habits.ending_per_s.unwrap() - 0.02).abs() < 1e-6, "{habits:?}");
        assert!((habits.turns_per_s.unwrap() - 2.0).abs() < 1e-6, "{habits:?}");
        meter.rate_changed();
        assert_eq!(meter.habits().turns_per_s, None);
    }

    #[test]
    fn a_flush_or_a_loss_is_nobodys_habit() {
        let mut meter = HabitMeter::default();
        for second in 0..100 {
            meter.note(&tick(second, 5_000, second, 4_000 - second, 0));
        }
        meter.note(&Ticked { floor: 5_000, ..tick(100, 5_000, 100, 0, 0) });
        meter.note(&Ticked { floor: 5_000, ..tick(101, 5_000 + SEQ_MARGIN, 100, 0, 0) });
        assert_eq!(meter.habits().leaving_per_s, 0.0);
        assert_eq!(HabitMeter::default().habits(), Habits::default());
    }
}
