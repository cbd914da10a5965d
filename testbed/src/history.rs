//! What visitors, the store and the upstream saw, written down as it happened; whether it can have been right is
//! found out afterwards, and nobody is asked. It must know nothing of how the line works inside.
//!
//! Times are milliseconds of one observer's clock. An answer proves what was the case between its question and
//! itself, so everything here is an interval, and a check fails only where no order of events can explain it. How old
//! what a node tells may be is not assumed but seen: by how often it has heard from the store between two looks at it.

mod checks;
mod looks;

use std::collections::BTreeMap;
use std::ops::Range;

use looks::{Look, Looks};

/// A node, by a number that the observer gives it, such as its port.
pub type Node = u16;

/// What a visitor was told by one answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Saw {
    /// No number yet, and to come back at once.
    Unnumbered,
    /// In line.
    Waiting {
        /// The number.
        seq: u64,
        /// The place, from 1; nobody could tell when there is none.
        position: Option<u64>,
        /// The answer may be older than a second.
        stale: bool,
    },
    /// Let in.
    Admitted {
        /// The number, as the queue token has it.
        seq: u64,
    },
    /// Something that no visitor should get.
    Wrong(String),
}

/// One answer to one visitor.
#[derive(Clone, Debug)]
struct Sighting {
    visitor: usize,
    node: Node,
    asked_ms: u64,
    answered_ms: u64,
    saw: Saw,
}

/// The store's counters at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Count {
    /// When the observer had the answer.
    pub answered_ms: u64,
    /// The store's clock, ms.
    pub store_ms: u64,
    /// Turns and direct entries so far.
    pub admitted: u64,
    /// Turns not taken up, and sessions.
    pub occupied: u64,
}

/// A session that certainly counted for this long.
#[derive(Clone, Copy, Debug)]
struct Stay {
    from_ms: u64,
    until_ms: u64,
}

/// Turns that may have been lost.
#[derive(Clone, Debug)]
struct Loss {
    within: Range<u64>,
    at_most: u64,
}

/// What must hold.
#[derive(Clone, Debug)]
pub struct Rules {
    /// From when (ms) which rate a second holds at most; the first from the start. Where a rate is lowered, the
    /// moment from which the lower one is known to hold.
    pub rates: Vec<(u64, f64)>,
    /// The bucket's size.
    pub burst: f64,
    /// Most turns and sessions together; 0: any number.
    pub max_active: u64,
    /// How far clocks of one machine, and the time that a script takes, may blur a moment.
    pub blur_ms: u64,
    /// By how much a position may rise: a place is told by what the primary says, and the last turns that it gave may
    /// be known to no replica, and told to nobody.
    pub unsure_places: u64,
}

/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Its number.
    pub invariant: &'static str,
    /// What was seen.
    pub what: String,
}

/// Everything that was seen.
#[derive(Clone, Debug, Default)]
pub struct History {
    sightings: Vec<Sighting>,
    counts: Vec<Count>,
    looks: BTreeMap<Node, Vec<Look>>,
    stays: Vec<Stay>,
    /// Numbers in the tokens of requests that reached the upstream; `None`: a request without exactly one token.
    passed: Vec<Option<u64>>,
    /// When the store may have lost turns that it had given, and people went back in line for them.
    losses: Vec<Loss>,
}

impl History {
    /// A visitor was answered by a node.
    pub fn saw(&mut self, visitor: usize, node: Node, asked_ms: u64, answered_ms: u64, saw: Saw) {
        self.sightings.push(Sighting { visitor, node, asked_ms, answered_ms, saw });
    }

    /// A visitor's session certainly counted from here to there: from when it was known of until it was given up.
    pub fn stayed(&mut self, from_ms: u64, until_ms: u64) {
        self.stays.push(Stay { from_ms, until_ms });
    }

    /// The store was counted. One that is behind what it had counted before is left out: it has lost something,
    /// and that is not yet made good.
    pub fn counted(&mut self, count: Count) {
        if self.counts.last().is_none_or(|last| last.admitted <= count.admitted && last.store_ms <= count.store_ms) {
            self.counts.push(count);
        }
    }

    /// A node said how many turns it has given so far, and how often its rounds have heard from the store. Looks at
    /// one node come one after another.
    pub fn looked(&mut self, node: Node, asked_ms: u64, answered_ms: u64, given: u64, rounds: u64) {
        self.looks.entry(node).or_default().push(Look { asked_ms, answered_ms, given, rounds });
    }

    /// A request reached the upstream, with the token of this number or with none (or several).
    pub fn passed(&mut self, seq: Option<u64>) {
        self.passed.push(seq);
    }

    /// The store may have lost at most so many turns in this time: who had one is let in after people from behind, and
    /// goes back in line in front of people who were told a better place.
    pub fn lost_turns(&mut self, within: Range<u64>, at_most: u64) {
        self.losses.push(Loss { within, at_most });
    }

    /// Everything that cannot have been right.
    #[must_use]
    pub fn broken(&self, rules: &Rules) -> Vec<Broken> {
        let (visits, looks) = (self.visits(), Looks::of(&self.looks));
        let turns: Vec<Turn> = visits.values().filter_map(|visit| visit.turn(&looks)).collect();
        let mut broken = checks::numbers(&visits);
        broken.extend(checks::positions(&visits, &self.losses, &looks, rules));
        broken.extend(checks::order(&turns, &self.losses, rules));
        broken.extend(checks::rate_by_visitors(&turns, rules));
        broken.extend(checks::rate_by_nodes(&self.looks, rules));
        broken.extend(checks::rate_and_cap_by_store(&self.counts, rules));
        broken.extend(checks::cap_by_visitors(&self.stays, rules));
        broken.extend(checks::upstream(&self.passed, &visits));
        broken
    }

    /// Who was seen waiting, or without a number, and never let in (I12, where everybody kept polling).
    #[must_use]
    pub fn left_outside(&self) -> usize {
        self.visits().values().filter(|visit| visit.admitted().is_none()).count()
    }

    /// One line: how much was seen.
    #[must_use]
    pub fn summary(&self) -> String {
        let visits = self.visits();
        let admitted = visits.values().filter(|visit| visit.admitted().is_some()).count();
        let stale = self.sightings.iter().filter(|seen| matches!(seen.saw, Saw::Waiting { stale: true, .. })).count();
        format!(
            "{} visitors, {} answers ({stale} of them stale), {admitted} let in, {} counts of the store, {} requests upstream",
            visits.len(),
            self.sightings.len(),
            self.counts.len(),
            self.passed.len(),
        )
    }

    /// Answers by visitor, in the order in which they were asked for.
    fn visits(&self) -> BTreeMap<usize, Visit<'_>> {
        let mut visits: BTreeMap<usize, Visit<'_>> = BTreeMap::new();
        for seen in &self.sightings {
            visits.entry(seen.visitor).or_default().0.push(seen);
        }
        for visit in visits.values_mut() {
            visit.0.sort_by_key(|seen| seen.asked_ms);
        }
        visits
    }
}

/// All that one visitor saw.
#[derive(Clone, Debug, Default)]
struct Visit<'h>(Vec<&'h Sighting>);

/// When a visitor was given a turn: after the last answer that still said *waiting*, and before the one that let in.
#[derive(Clone, Copy, Debug)]
struct Turn {
    seq: u64,
    after_ms: u64,
    before_ms: u64,
}

impl Visit<'_> {
    fn admitted(&self) -> Option<(&Sighting, u64)> {
        self.0.iter().find_map(|seen| match seen.saw {
            Saw::Admitted { seq } => Some((*seen, seq)),
            _ => None,
        })
    }

    /// `None` for those who never waited, or were not let in.
    fn turn(&self, looks: &Looks) -> Option<Turn> {
        let (admitted, seq) = self.admitted()?;
        let waited = self.0.iter().filter_map(|seen| match seen.saw {
            Saw::Waiting { stale: false, .. } if seen.asked_ms < admitted.asked_ms => {
                Some(looks.as_of(seen.node, seen.asked_ms))
            }
            _ => None,
        });
        // The last answer need not be the freshest: another node may have known more before.
        Some(Turn { seq, after_ms: waited.max()?, before_ms: admitted.answered_ms })
    }
}

#[cfg(test)]
mod tests;
