//! How long somebody still waits, as a range. Pure: what is known comes in, and nobody knows more.
//!
//! The line moves by turns and by people who leave. Turns come at the configured rate as long as the cap leaves
//! room, and as sessions end once it is reached. The range is as wide as the contract allows (`high ≤ 1.5 · low + 10 s`)
//! and lies where the simulation found the truth most often: `loadtest simulate --estimates` prints how often.

use std::time::Duration;

use super::Habits;
use crate::status::Eta;

/// Between the ends of a range lies at most this factor, and `SLACK_S`.
const WIDTH: f64 = 1.5;
/// Turns that come this much slower than the rate are believed: something holds them up.
const HELD_UP: f64 = 0.95;
/// With this share of the cap taken it may be the cap that holds turns up: sessions come and go.
const AT_THE_CAP: f64 = 0.95;
/// Nobody is let in faster than the rate, but ticks, rounding and a late proxy cost a little.
const LATE: f64 = 1.05;
/// People may leave more slowly from now on than they did.
const LEAVE_LESS: f64 = 1.25;
/// Where sessions set the pace, it wobbles to both sides.
const WOBBLE: f64 = 1.22;
/// A turn is taken up with the next poll.
const SLACK_S: f64 = 3.0;
// Whole seconds cost one at each end: high + 1 ≤ 1.5 · (low - 1) + 10 s.
const _: () = assert!(SLACK_S + 1.0 + WIDTH <= 10.0 && LATE < WIDTH && WOBBLE < WIDTH && LEAVE_LESS < WIDTH);

/// Estimates beyond this are no estimates.
const LONGEST_ETA_S: f64 = 7.0 * 86_400.0;

/// What is known about how fast a room's line moves.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Flow {
    /// The configured rate.
    pub rate_per_s: f64,
    /// An operator has paused the room.
    pub paused: bool,
    /// Nobody is admitted for this long (after a loss of the store's memory).
    pub hold: Duration,
    /// Cap on turns and sessions; 0: none.
    pub max_active: u64,
    /// Turns and sessions now.
    pub occupied: u64,
    /// What visitors have been seen to do.
    pub habits: Habits,
}

/// How long until the visitor at this position (from 1) is admitted; `None` when nobody can tell.
#[must_use]
pub fn estimate(position: u64, flow: &Flow) -> Option<Eta> {
    let rate = flow.rate_per_s;
    if flow.paused || rate <= 0.0 || !rate.is_finite() {
        return None;
    }
    let leaving = flow.habits.leaving_per_s;
    let rate = held_up(flow).unwrap_or(rate);
    let slowest = match fills_up(flow, rate) {
        Pace::Rate => {
            let (all_stay, as_seen) = (time_to(position as f64, rate, 0.0), time_to(position as f64, rate, leaving));
            (all_stay * LATE).min(as_seen * LEAVE_LESS)
        }
        Pace::Ends { after_s, per_s } => {
            let until_full = time_to(position as f64, rate, leaving);
            match per_s {
                _ if until_full <= after_s => until_full * LATE,
                // Nobody has been seen to leave the site yet.
                None => return None,
                Some(per_s) => {
                    let behind = ahead_after(position as f64, rate, leaving, after_s);
                    (after_s + time_to(behind, per_s, leaving)) * WOBBLE
                }
            }
        }
    };
    let hold = flow.hold.as_secs_f64();
    let (low, high) = ((hold + slowest / WIDTH).floor(), (hold + slowest + SLACK_S).ceil());
    (low <= LONGEST_ETA_S).then(|| Eta { low: low as u64, high: high.min(LONGEST_ETA_S * WIDTH) as u64 })
}

/// What sets the pace.
enum Pace {
    /// The rate, for good.
    Rate,
    /// The rate until the cap is reached, then the sessions that end.
    Ends { after_s: f64, per_s: Option<f64> },
}

/// The rate at which turns come when something other than the cap holds them up: ticks that come late, a store that is
/// slow. At the cap it is the sessions that end.
fn held_up(flow: &Flow) -> Option<f64> {
    let below_the_cap = flow.max_active == 0 || (flow.occupied as f64) < flow.max_active as f64 * AT_THE_CAP;
    flow.habits.turns_per_s.filter(|turns| below_the_cap && *turns > 0.0 && *turns < flow.rate_per_s * HELD_UP)
}

fn fills_up(flow: &Flow, rate: f64) -> Pace {
    if flow.max_active == 0 {
        return Pace::Rate;
    }
    let (cap, inside) = (flow.max_active as f64, flow.occupied as f64);
    let free = (cap - inside).max(0.0);
    let Some(ending) = flow.habits.ending_per_s else {
        return Pace::Ends { after_s: free / rate, per_s: None };
    };
    let ends_when_full = ending * cap;
    // Until then fewer end, on average as many as half-way between now and full.
    let filling = rate - ending * (cap + inside) / 2.0;
    if ends_when_full >= rate || filling <= 0.0 {
        return Pace::Rate;
    }
    Pace::Ends { after_s: free / filling, per_s: Some(ends_when_full) }
}

/// How long until this many are gone, by turns at this rate and by leaving.
fn time_to(ahead: f64, rate: f64, leaving: f64) -> f64 {
    let share = leaving * ahead / rate;
    // Where hardly anybody leaves, the logarithm is the share itself and loses its digits.
    if share < 1e-6 { ahead / rate } else { share.ln_1p() / leaving }
}

/// How many are left after a time, by the same.
fn ahead_after(ahead: f64, rate: f64, leaving: f64, seconds: f64) -> f64 {
    let left = match leaving * seconds < 1e-6 {
        true => ahead - rate * seconds,
        false => (ahead + rate / leaving) * (-leaving * seconds).exp() - rate / leaving,
    };
    left.max(0.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn flow(rate_per_s: f64) -> Flow {
        Flow { rate_per_s, ..Flow::default() }
    }

    fn full(ending_per_s: Option<f64>) -> Flow {
        let habits = Habits { ending_per_s, ..Habits::default() };
        Flow { max_active: 100, occupied: 100, habits, ..flow(10.0) }
    }

    #[test]
    fn an_estimate_brackets_the_configured_rate() {
        assert_eq!(estimate(1_000, &flow(10.0)), Some(Eta { low: 70, high: 108 }));
        let held = Flow { hold: Duration::from_secs(60), ..flow(10.0) };
        assert_eq!(estimate(1_000, &held), Some(Eta { low: 130, high: 168 }));
        assert_eq!(estimate(1, &flow(10.0)), Some(Eta { low: 0, high: 4 }));
    }

    #[test]
    fn nobody_can_tell_while_paused_closed_or_full_without_an_exit() {
        assert_eq!(estimate(1, &Flow { paused: true, ..flow(10.0) }), None);
        assert_eq!(estimate(1, &flow(0.0)), None);
        assert_eq!(estimate(1, &full(None)), None);
        assert_eq!(estimate(u64::MAX, &flow(0.1)), None);
    }

    #[test]
    fn a_full_room_moves_as_sessions_end_and_never_faster_than_the_rate() {
        // Two of a hundred end each second.
        assert_eq!(estimate(100, &full(Some(0.02))), Some(Eta { low: 40, high: 64 }));
        assert_eq!(estimate(1_000, &full(Some(0.5))), estimate(1_000, &flow(10.0)));
        // The first fifty go in at the rate, then the cap holds the others.
        let half = Flow { occupied: 50, ..full(Some(0.02)) };
        assert!(estimate(1_000, &half).unwrap().high > 5 * estimate(1_000, &flow(10.0)).unwrap().high);
        assert_eq!(estimate(20, &half), Some(Eta { low: 1, high: 6 }));
    }

    #[test]
    fn i13_people_who_leave_shorten_the_wait_of_those_behind() {
        let leaving = Flow { habits: Habits { leaving_per_s: 0.01, ..Habits::default() }, ..flow(10.0) };
        // ln(1 + 0.01 · 1,000 / 10) / 0.01 = 69 s.
        assert_eq!(estimate(1_000, &leaving), Some(Eta { low: 57, high: 90 }));
    }

    #[test]
    fn turns_that_come_more_slowly_than_the_rate_are_believed() {
        let slow = |turns| Flow { habits: Habits { turns_per_s: Some(turns), ..Habits::default() }, ..flow(10.0) };
        assert_eq!(estimate(1_000, &slow(5.0)), Some(Eta { low: 140, high: 213 }));
        assert_eq!(estimate(1_000, &slow(12.0)), estimate(1_000, &flow(10.0)));
        // Under a cap that is far away, too, whether sessions have been seen to end or not …
        for ending_per_s in [None, Some(0.02)] {
            let habits = Habits { turns_per_s: Some(5.0), ending_per_s, ..Habits::default() };
            let far = Flow { max_active: 2_000, occupied: 250, habits, ..flow(10.0) };
            assert_eq!(estimate(1_000, &far), estimate(1_000, &slow(5.0)), "{ending_per_s:?}");
        }
        // … and at the cap it is the sessions that tell.
        let habits = Habits { turns_per_s: Some(2.0), ending_per_s: Some(0.02), ..Habits::default() };
        assert_eq!(estimate(100, &Flow { habits, ..full(None) }), estimate(100, &full(Some(0.02))));
    }

    proptest! {
        #[test]
        fn a_range_is_never_wider_than_promised(
            position in 1_u64..10_000_000,
            rate in 0.1_f64..50_000.0,
            leaving in 0.0_f64..0.1,
            ending in proptest::option::of(0.0001_f64..1.0),
            cap in 0_u64..100_000,
            inside in 0_u64..120_000,
            hold in 0_u64..200,
        ) {
            let habits = Habits { leaving_per_s: leaving, ending_per_s: ending, turns_per_s: ending };
            let hold = Duration::from_secs(hold);
            let flow = Flow { rate_per_s: rate, paused: false, hold, max_active: cap, occupied: inside, habits };
            if let Some(Eta { low, high }) = estimate(position, &flow) {
                prop_assert!(low <= high);
                prop_assert!(high as f64 <= 1.5 * low as f64 + 10.0, "{low} to {high}");
            }
        }
    }
}
