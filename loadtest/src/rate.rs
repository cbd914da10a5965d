//! Admissions per second, from what visitors noticed. Pure.

use std::time::Duration;

use serde::Serialize;

use crate::visitor::Visit;

/// How fast people were let in.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Admissions {
    /// Let in from the line, not straight through.
    pub from_line: usize,
    /// Seconds from the first to the last of them, as far as somebody was in line.
    pub busy_s: f64,
    /// From the first to the last admission while somebody was in line. A visitor notices only at the
    /// next poll, so the ends are blurred by one poll.
    pub per_s: Option<f64>,
    /// The slope of a straight line through the longest busy time, without one pause between polls at its ends:
    /// what to compare with the configured rate. Nothing when the line was too short for that.
    pub steady_per_s: Option<f64>,
    /// Everybody let in, by second of the run.
    pub by_second: Vec<u32>,
}

impl Admissions {
    /// From all visits.
    pub fn of(visits: &[Visit]) -> Self {
        let busy = busy_times(visits);
        let mut from_line: Vec<Duration> =
            visits.iter().filter(|visit| visit.lined_up.is_some()).filter_map(|visit| visit.entered).collect();
        from_line.sort_unstable();
        let mut busy_s = 0.0;
        let mut counted = 0;
        let mut longest: &[Duration] = &[];
        for (from, to) in busy {
            let start = from_line.partition_point(|at| *at < from);
            let end = from_line.partition_point(|at| *at <= to);
            let here = from_line.get(start..end).unwrap_or_default();
            if let [first, .., last] = here {
                busy_s += (*last - *first).as_secs_f64();
                // The first one starts the clock.
                counted += here.len() - 1;
                if here.len() > longest.len() {
                    longest = here;
                }
            }
        }
        let steady_per_s = slope(inner(longest, usual_gap(visits)));
        let per_s = (busy_s > 0.0).then(|| counted as f64 / busy_s);
        Self { from_line: from_line.len(), busy_s, per_s, steady_per_s, by_second: by_second(visits) }
    }
}

/// Stretches of time in which somebody was in line.
fn busy_times(visits: &[Visit]) -> Vec<(Duration, Duration)> {
    let mut waits: Vec<(Duration, Duration)> =
        visits.iter().filter_map(|visit| visit.lined_up.zip(visit.stopped_waiting)).collect();
    waits.sort_unstable();
    let mut busy: Vec<(Duration, Duration)> = Vec::new();
    for (from, to) in waits {
        match busy.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => busy.push((from, to)),
        }
    }
    busy
}

/// The pause between polls that nineteen in twenty did not exceed: so late may an entry be noticed.
fn usual_gap(visits: &[Visit]) -> Duration {
    let entered = visits.iter().filter(|visit| visit.lined_up.is_some() && visit.entered.is_some());
    let mut gaps: Vec<Duration> = entered.map(|visit| visit.poll_gap).collect();
    gaps.sort_unstable();
    gaps.get(gaps.len() * 19 / 20).copied().unwrap_or_default()
}

/// What lies at least `gap` from either end: only there are as many entries noticed as happen.
fn inner(times: &[Duration], gap: Duration) -> &[Duration] {
    let [first, .., last] = times else { return times };
    let start = times.partition_point(|at| *at < *first + gap);
    let end = times.partition_point(|at| *at + gap <= *last);
    times.get(start..end).unwrap_or_default()
}

/// Least squares through (time, number of admissions).
fn slope(middle: &[Duration]) -> Option<f64> {
    if middle.len() < 3 {
        return None;
    }
    let n = middle.len() as f64;
    let mean_time = middle.iter().map(Duration::as_secs_f64).sum::<f64>() / n;
    let mean_count = (n - 1.0) / 2.0;
    let (mut covariance, mut variance) = (0.0, 0.0);
    for (count, at) in middle.iter().enumerate() {
        let off = at.as_secs_f64() - mean_time;
        covariance += off * (count as f64 - mean_count);
        variance += off * off;
    }
    (variance > 0.0).then(|| covariance / variance)
}

fn by_second(visits: &[Visit]) -> Vec<u32> {
    let mut seconds = Vec::new();
    for entered in visits.iter().filter_map(|visit| visit.entered) {
        let second = entered.as_secs() as usize;
        if seconds.len() <= second {
            seconds.resize(second + 1, 0);
        }
        if let Some(count) = seconds.get_mut(second) {
            *count += 1;
        }
    }
    seconds
}

/// Visitors with an older ticket who entered later than somebody with a younger one, by more than their
/// own last poll and `slack` explain. Reported, not judged: an admission is noticed only by the next poll.
pub fn inversions(visits: &[Visit], slack: Duration) -> usize {
    let mut entries: Vec<(u64, Duration, Duration)> = visits
        .iter()
        .filter(|visit| visit.returns == 0)
        .filter_map(|visit| Some((visit.seq?, visit.entered?, visit.poll_gap)))
        .collect();
    entries.sort_unstable();
    let mut earliest_after = Duration::MAX;
    let mut found = 0;
    for (_, entered, gap) in entries.into_iter().rev() {
        if entered > earliest_after.saturating_add(gap + slack) {
            found += 1;
        }
        earliest_after = earliest_after.min(entered);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::visitor::Outcome;

    fn visit(seq: u64, lined_up_ms: Option<u64>, entered_ms: u64) -> Visit {
        let entered = Duration::from_millis(entered_ms);
        Visit {
            arrived: Duration::ZERO,
            lined_up: lined_up_ms.map(Duration::from_millis),
            entered: Some(entered),
            stopped_waiting: Some(entered),
            seq: Some(seq),
            poll_gap: Duration::from_millis(500),
            outcome: Outcome::Browsed,
            seats: 0,
            returns: 0,
        }
    }

    #[test]
    fn a_steady_line_gives_its_rate() {
        let visits: Vec<Visit> = (0..1000).map(|n| visit(n, Some(0), 3_000 + n * 20)).collect();
        let admissions = Admissions::of(&visits);
        assert!((admissions.per_s.unwrap() - 50.0).abs() < 0.001);
        assert!((admissions.steady_per_s.unwrap() - 50.0).abs() < 0.001);
        assert_eq!(admissions.by_second[..5], [0, 0, 0, 50, 50]);
    }

    #[test]
    fn time_in_which_nobody_waits_does_not_count_and_straight_through_neither() {
        let first = (0..100).map(|n| visit(n, Some(0), 1000 + n * 10));
        let second = (0..100).map(|n| visit(100 + n, Some(60_000), 61_000 + n * 10));
        let straight = (0..50).map(|n| visit(500 + n, None, n));
        let admissions = Admissions::of(&first.chain(second).chain(straight).collect::<Vec<_>>());
        assert_eq!(admissions.from_line, 200);
        assert!((admissions.per_s.unwrap() - 100.0).abs() < 0.001);
        assert!((admissions.busy_s - 1.98).abs() < 0.001);
    }

    #[test]
    fn nobody_in_line_is_no_rate() {
        let admissions = Admissions::of(&[visit(1, None, 5)]);
        assert_eq!((admissions.per_s, admissions.steady_per_s), (None, None));
        assert_eq!(Admissions::of(&[]).by_second, Vec::<u32>::new());
    }

    #[test]
    fn i3_an_entry_out_of_turn_is_reported_beyond_one_poll() {
        let slack = Duration::from_secs(1);
        let orderly: Vec<Visit> = (0..10).map(|n| visit(n, Some(0), 1000 * n)).collect();
        assert_eq!(inversions(&orderly, slack), 0);
        let late = |by_ms: u64| vec![visit(1, Some(0), 1000 + by_ms), visit(2, Some(0), 1000)];
        assert_eq!(inversions(&late(1500), slack), 0);
        assert_eq!(inversions(&late(1501), slack), 1);
    }
}
