//! Who has gone silent, from whom the nodes heard and when. Pure: no store, no clock, no lock.
//!
//! Time is cut into buckets. At the end of each, every live node reports whom it heard in it. Silent is who waits,
//! is covered by every report of the last few buckets, and is set in none. In doubt nobody is silent: a visitor
//! taken out too early loses a turn, one taken out late costs at most one.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::store::{BitSpan, Lane, Report};

/// Heartbeats of the whole line are reported at least this often.
const LONGEST_PERIOD: Duration = Duration::from_secs(30);
/// A silence spans at least this many buckets, so that its length is known to a third.
const LEAST_BUCKETS: u32 = 3;
/// Those who are next are looked at this many times as often.
const HEAD_SPEED: u32 = 6;
/// No bucket is shorter, or reports would cost more than turns.
const SHORTEST_PERIOD: Duration = Duration::from_millis(250);
/// … and those who are next are not looked at more often than this.
const SHORTEST_HEAD_PERIOD: Duration = Duration::from_secs(1);
/// Reports of a bucket have this long to come in, or a quarter of the bucket if that is less.
const LONGEST_GRACE: Duration = Duration::from_secs(2);

/// The lengths of time in one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    period_ms: u64,
    grace_ms: u64,
    /// Buckets without a sign of somebody, in a row, that make a silence.
    buckets: u64,
}

impl Pace {
    /// The pace at which a lane finds those who were silent for `abandon_after`.
    #[must_use]
    pub fn new(lane: Lane, abandon_after: Duration) -> Self {
        let line = (abandon_after / LEAST_BUCKETS).clamp(SHORTEST_PERIOD, LONGEST_PERIOD);
        let period = match lane {
            Lane::Line => line,
            Lane::Head => (line / HEAD_SPEED).max(SHORTEST_HEAD_PERIOD.min(line)),
        };
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let period_ms = ms(period);
        // One bucket more than the silence asked for: what a node heard and took along when it died is that much.
        let buckets = ms(abandon_after).div_ceil(period_ms) + 1;
        Self { period_ms, grace_ms: ms(LONGEST_GRACE).min(period_ms / 4), buckets }
    }

    /// The length of a bucket.
    #[must_use]
    pub fn period(&self) -> Duration {
        Duration::from_millis(self.period_ms)
    }

    /// How long a report is of use.
    #[must_use]
    pub fn kept(&self) -> Duration {
        Duration::from_millis((self.buckets + 2) * self.period_ms)
    }

    /// The bucket that ended last; its reports are due.
    #[must_use]
    pub fn ended(&self, now_ms: u64) -> Option<u64> {
        (now_ms / self.period_ms).checked_sub(1)
    }

    /// The last bucket whose reports had time to come in.
    #[must_use]
    pub fn settled(&self, now_ms: u64) -> Option<u64> {
        self.ended(now_ms.saturating_sub(self.grace_ms))
    }

    /// The first bucket that begins at this time or later.
    #[must_use]
    pub fn first_since(&self, ms: u64) -> u64 {
        ms.div_ceil(self.period_ms)
    }
}

/// What was heard of one lane, bucket by bucket.
#[derive(Clone, Debug)]
pub struct Rounds {
    pace: Pace,
    /// Buckets before this one prove nothing: the room was another, or could not be reached.
    since: u64,
    heard: BTreeMap<u64, Vec<Report>>,
    /// The bucket judged last.
    judged: Option<u64>,
}

/// What to do about the last settled bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing (any more, or yet).
    Nothing,
    /// Fetch the reports of these buckets, the oldest first; the last is the one to judge.
    Fetch(Vec<u64>),
}

/// Whether everybody was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hearing {
    /// Every live node has reported.
    Complete,
    /// One that lives has not: whom it heard is not known.
    Missing,
}

impl Rounds {
    /// Nothing heard yet; what was before `now_ms` proves nothing.
    #[must_use]
    pub fn new(pace: Pace, now_ms: u64) -> Self {
        Self { pace, since: pace.first_since(now_ms), heard: BTreeMap::new(), judged: None }
    }

    /// The pace.
    #[must_use]
    pub fn pace(&self) -> Pace {
        self.pace
    }

    /// What is to be heard now.
    #[must_use]
    pub fn due(&self, now_ms: u64) -> Due {
        let Some(last) = self.pace.settled(now_ms) else { return Due::Nothing };
        if self.judged.is_some_and(|judged| judged >= last) || last < self.since {
            return Due::Nothing;
        }
        let first = (last + 1).saturating_sub(self.pace.buckets).max(self.since);
        Due::Fetch((first..=last).filter(|bucket| *bucket == last || !self.heard.contains_key(bucket)).collect())
    }

    /// Somebody else judges this bucket.
    pub fn pass(&mut self, bucket: u64) {
        self.judged = Some(bucket);
    }

    /// Takes in what the live nodes reported of a bucket.
    ///
    /// A node whose report of an earlier bucket is missing has put what it heard into a later one.
    pub fn hear(&mut self, bucket: u64, reports: Vec<Option<Report>>) -> Hearing {
        let missing = reports.is_empty() || reports.iter().any(Option::is_none);
        self.heard.insert(bucket, reports.into_iter().flatten().collect());
        let oldest = (bucket + 1).saturating_sub(self.pace.buckets);
        self.heard.retain(|heard, _| *heard >= oldest);
        if missing { Hearing::Missing } else { Hearing::Complete }
    }

    /// Judges a bucket that was heard completely: who waits and has been silent for long enough. The lowest first.
    pub fn judge(&mut self, bucket: u64, waiting: &BitSpan) -> Vec<u64> {
        self.judged = Some(bucket);
        let Some(first) = (bucket + 1).checked_sub(self.pace.buckets).filter(|first| *first >= self.since) else {
            return Vec::new();
        };
        let window: Vec<&Vec<Report>> = (first..=bucket).filter_map(|bucket| self.heard.get(&bucket)).collect();
        // A bucket that nobody reported is one in which nobody could be heard.
        let whole = window.len() as u64 == self.pace.buckets && window.iter().all(|reports| !reports.is_empty());
        if whole { silent(waiting, window.into_iter().flatten()) } else { Vec::new() }
    }
}

/// Who waits, is covered by every report and set in none.
fn silent<'r>(waiting: &BitSpan, reports: impl Iterator<Item = &'r Report> + Clone) -> Vec<u64> {
    debug_assert!(waiting.first.is_multiple_of(8), "bitmaps begin at whole bytes");
    let from = reports.clone().map(|report| report.first).max().unwrap_or(u64::MAX);
    let to = reports.clone().map(|report| report.to).min().unwrap_or(0);
    let mut silent = Vec::new();
    for (at, byte) in waiting.bytes.iter().enumerate() {
        let first = waiting.first + 8 * at as u64;
        if *byte == 0 || first < from || first >= to {
            continue;
        }
        let heard = reports.clone().fold(0, |heard, report| heard | byte_at(report, first));
        let quiet = byte & !heard;
        silent.extend((0..8).filter(|bit| quiet & (0x80 >> bit) != 0).map(|bit| first + bit).filter(|seq| *seq < to));
    }
    silent
}

/// The eight bits from `first` on, which the report covers.
fn byte_at(report: &Report, first: u64) -> u8 {
    let at = (first - report.first) / 8;
    usize::try_from(at).ok().and_then(|at| report.bytes.get(at)).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests;
