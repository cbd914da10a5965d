//! F26: what comes down on the store when it is back.

use std::time::Duration;

use simulation::check::after_outage;

/// Who come while the store is away.
const VISITORS: u64 = 2_000;
/// The longest interval between two polls, seconds.
const INTERVAL_S: u64 = 30;
/// Of the polls that an even spread over the interval brings in a second, so many in the worst: intervals end
/// at different times, so those that have just begun are over-represented, and chance has its part.
const WORST: f64 = 2.5;

#[test]
fn f26_after_an_outage_people_come_back_spread_over_an_interval() {
    let after = after_outage(1, VISITORS, Duration::from_secs(60)).unwrap();
    let most = (VISITORS as f64 * WORST) as u64 / INTERVAL_S;
    let worst = |counts: &[u64]| counts.iter().max().copied().unwrap_or(0);
    let (polls, joins) = (worst(&after.polls), worst(&after.joins));
    println!("at most {polls} polls and {joins} joins a second: {after:?}");
    assert!(polls <= most && joins <= most, "more than {most} in a second: {after:?}");
    assert_eq!(after.joins.iter().sum::<u64>(), VISITORS, "everybody gets a number");
    let late = after.joins.iter().skip(INTERVAL_S as usize * 6 / 5 + 1).sum::<u64>();
    assert_eq!((late, after.arrivals_lost), (0, 0), "within one interval, and as who they are");
}

#[test]
fn f26_an_outage_longer_than_a_pre_ticket_lasts_makes_nobody_begin_anew() {
    let after = after_outage(1, 200, Duration::from_secs(1_500)).unwrap();
    assert_eq!((after.joins.iter().sum::<u64>(), after.arrivals_lost), (200, 0), "{after:?}");
}
