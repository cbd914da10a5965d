//! The end of a run: the same facts as a table for people and as JSON for programs.

mod table;

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::{
    audit::Findings,
    rate::{Admissions, inversions},
    tally::{Counts, count},
    visitor::{Outcome, Visit},
};

/// Longest time that a histogram tells apart, ms: a day.
const LONGEST_MS: u64 = 24 * 3_600_000;

/// Snapshots and ticks of the queue are at most this old.
const TICK_SLACK: Duration = Duration::from_secs(1);

/// Percentiles of a time, in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Percentiles {
    /// How many were measured.
    pub count: u64,
    /// Half of them took at most this.
    pub p50: u64,
    /// Nine in ten.
    pub p90: u64,
    /// Ninety-nine in a hundred.
    pub p99: u64,
    /// All.
    pub max: u64,
}

impl Percentiles {
    /// Of these times.
    pub fn of(times: impl Iterator<Item = Duration>) -> Self {
        // Three digits; the bounds are constants that the histogram takes.
        let Ok(mut histogram) = Histogram::<u64>::new_with_bounds(1, LONGEST_MS, 3) else { return Self::default() };
        for time in times {
            histogram.saturating_record(time.as_millis() as u64);
        }
        Self {
            count: histogram.len(),
            p50: histogram.value_at_quantile(0.5),
            p90: histogram.value_at_quantile(0.9),
            p99: histogram.value_at_quantile(0.99),
            max: histogram.max(),
        }
    }
}

/// Everything about a run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The site.
    pub url: String,
    /// Repeat a run with it.
    pub seed: u64,
    /// How many were to come.
    pub visitors: usize,
    /// Over how long.
    pub arrive_s: f64,
    /// When it began, milliseconds since the Unix epoch.
    pub started_at_ms: u64,
    /// How long it took, seconds.
    pub took_s: f64,
    /// Ended by Ctrl-C.
    pub stopped_early: bool,
    /// Visitors who came.
    pub arrived: usize,
    /// Visitors who were let in.
    pub entered: usize,
    /// Visitors who saw the line.
    pub lined_up: usize,
    /// Visitors who were let in without seeing the line.
    pub straight_through: usize,
    /// From arrival to entry, of all who entered, milliseconds.
    pub waiting_ms: Percentiles,
    /// The same, of those who saw the line.
    pub in_line_ms: Percentiles,
    /// How fast people were let in.
    pub admissions: Admissions,
    /// How visits ended.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Reservations made.
    pub booked: u64,
    /// Seats in them.
    pub seats_booked: usize,
    /// Buyers who were turned down, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Visits that failed, by cause.
    pub errors: BTreeMap<String, u64>,
    /// Sessions that were lost while inside, or not honoured.
    pub sessions_lost: u64,
    /// Entries out of turn, beyond what polling explains. Reported, not judged.
    pub fifo_inversions: usize,
    /// The most that this program itself was late with an arrival, milliseconds. Large: it was the limit.
    pub generator_late_ms: u64,
    /// Answers, retries and failures of requests.
    #[serde(flatten)]
    pub counts: Counts,
    /// The verdict.
    pub audit: Findings,
}

/// What the run itself knows, for the report.
pub struct RunFacts {
    /// The site.
    pub url: String,
    /// The seed.
    pub seed: u64,
    /// How many were to come.
    pub visitors: usize,
    /// Over how long.
    pub arrive: Duration,
    /// When it began, since the Unix epoch.
    pub started_at: Duration,
    /// How long it took.
    pub took: Duration,
    /// Ended by Ctrl-C.
    pub stopped_early: bool,
    /// The most that an arrival was late.
    pub generator_late: Duration,
}

impl Report {
    /// Adds it all up.
    pub fn new(facts: RunFacts, visits: &[Visit], counts: Counts, audit: Findings) -> Self {
        let mut outcomes = BTreeMap::new();
        let (mut refused, mut errors) = (BTreeMap::new(), BTreeMap::new());
        for visit in visits {
            *outcomes.entry(visit.outcome.name()).or_default() += 1;
            match &visit.outcome {
                Outcome::Refused(why) => count(&mut refused, why.clone()),
                Outcome::Failed(why) => count(&mut errors, why.clone()),
                _ => {}
            }
        }
        let lined_up = |visit: &&Visit| visit.lined_up.is_some();
        let waited = |visit: &Visit| visit.entered.map(|entered| entered.saturating_sub(visit.arrived));
        Self {
            url: facts.url,
            seed: facts.seed,
            visitors: facts.visitors,
            arrive_s: facts.arrive.as_secs_f64(),
            started_at_ms: facts.started_at.as_millis() as u64,
            took_s: facts.took.as_secs_f64(),
            stopped_early: facts.stopped_early,
            arrived: visits.len(),
            entered: visits.iter().filter(|visit| visit.entered.is_some()).count(),
            lined_up: visits.iter().filter(lined_up).count(),
            straight_through: visits.iter().filter(|visit| visit.entered.is_some() && visit.lined_up.is_none()).count(),
            waiting_ms: Percentiles::of(visits.iter().filter_map(waited)),
            in_line_ms: Percentiles::of(visits.iter().filter(lined_up).filter_map(waited)),
            admissions: Admissions::of(visits),
            booked: outcomes.get("booked").copied().unwrap_or_default(),
            outcomes,
            seats_booked: visits.iter().map(|visit| visit.seats).sum(),
            refused,
            errors,
            sessions_lost: visits.iter().map(|visit| u64::from(visit.returns)).sum(),
            fifo_inversions: inversions(visits, TICK_SLACK),
            generator_late_ms: facts.generator_late.as_millis() as u64,
            counts,
            audit,
        }
    }

    /// Whether every invariant held.
    pub fn is_clean(&self) -> bool {
        self.audit.broken_total == 0
    }
}

impl Outcome {
    /// As in the JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Booked => "booked",
            Self::Browsed => "browsed",
            Self::LetGo => "let_go",
            Self::Refused(_) => "refused",
            Self::GaveUp => "gave_up",
            Self::Stopped => "stopped",
            Self::Failed(_) => "failed",
        }
    }
}
