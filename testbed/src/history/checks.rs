//! The checks of a history. Each is pure, and says in words what it found.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::looks::{self, Look, Looks, Piece};
use super::{Broken, Count, Loss, Node, Rules, Saw, Sighting, Stay, Turn, Visit};

/// Findings of one kind that are told; the first ones say most.
const TOLD: usize = 5;

/// Windows of time begin at multiples of this: fewer windows, and each of them still sound.
const GRID_MS: u64 = 100;

type Visits<'h> = BTreeMap<usize, Visit<'h>>;

fn found(invariant: &'static str, all: impl Iterator<Item = String>) -> Vec<Broken> {
    all.take(TOLD).map(|what| Broken { invariant, what }).collect()
}

impl Rules {
    /// The most that may be let in between two moments.
    pub(super) fn allowed(&self, from_ms: u64, to_ms: u64) -> f64 {
        let (from, to) = (from_ms.saturating_sub(self.blur_ms), to_ms + self.blur_ms);
        let ends = self.rates.iter().skip(1).map(|(at, _)| *at).chain([u64::MAX]);
        let pieces = self.rates.iter().zip(ends).map(|((begins, rate), ends)| {
            let overlap_ms = to.min(ends).saturating_sub(from.max(*begins));
            rate * overlap_ms as f64 / 1_000.0
        });
        self.burst + pieces.sum::<f64>()
    }

    /// As many turns as may be given from the one moment to the other; none when it is not later.
    fn turns(&self, from_ms: u64, to_ms: u64) -> u64 {
        // Finite and not negative, as rates are.
        if from_ms < to_ms { self.allowed(from_ms, to_ms) as u64 } else { 0 }
    }
}

/// I4, I8, and that nobody got what no visitor should get.
pub(super) fn numbers(visits: &Visits<'_>) -> Vec<Broken> {
    let (mut changed, mut twice, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
    let mut owners: HashMap<u64, usize> = HashMap::new();
    for (who, visit) in visits {
        let (mut number, mut inside) = (None::<u64>, false);
        for seen in &visit.0 {
            let at = seen.answered_ms;
            let seq = match &seen.saw {
                Saw::Waiting { seq, .. } | Saw::Admitted { seq } => *seq,
                Saw::Unnumbered => {
                    if number.is_some() {
                        changed.push(format!("{who} had number {number:?} and is asked to join anew at {at} ms"));
                    }
                    continue;
                }
                Saw::Wrong(what) => {
                    wrong.push(format!("{who} got {what} at {at} ms"));
                    continue;
                }
            };
            let first = *number.get_or_insert(seq);
            if first != seq {
                changed.push(format!("the number of {who} changed from {first} to {seq} at {at} ms"));
            }
            if inside && matches!(seen.saw, Saw::Waiting { .. }) {
                twice.push(format!("{who} was let in, and waits again at {at} ms"));
            }
            inside |= matches!(seen.saw, Saw::Admitted { .. });
        }
        if let Some(number) = number
            && let Some(other) = owners.insert(number, *who)
        {
            changed.push(format!("{other} and {who} share the number {number}"));
        }
    }
    let each = [("I4", changed), ("I8", twice), ("answer", wrong)];
    each.into_iter().flat_map(|(name, all)| found(name, all.into_iter())).collect()
}

/// I5: what one node tells a visitor never rises, and what another tells, by no more than the turns that may have been
/// given between the moments that the two speak of. One that does not hear from the store tells what it knew, however
/// long ago, and the page keeps to the smallest: that is not compared with what others have told.
pub(super) fn positions(visits: &Visits<'_>, losses: &[Loss], looks: &Looks, rules: &Rules) -> Vec<Broken> {
    let mut rose = Vec::new();
    for (who, visit) in visits {
        // The last that each node has told.
        let mut told: Vec<(&Sighting, u64)> = Vec::new();
        for seen in &visit.0 {
            let Saw::Waiting { seq, position: Some(position), stale } = seen.saw else { continue };
            for (before, place) in &told {
                if before.node != seen.node && stale {
                    continue;
                }
                let may_rise = rules.unsure_places
                    + lost_between(losses, before.asked_ms, seen.answered_ms)
                    + if before.node == seen.node {
                        0
                    } else {
                        rules.turns(looks.as_of(seen.node, seen.asked_ms), before.answered_ms)
                    };
                if place + may_rise < position {
                    rose.push(format!(
                        "the position of {who}, number {seq}, rose from {place} (node {}, {} ms) to {position} (node {}, {} ms)",
                        before.node, before.asked_ms, seen.node, seen.answered_ms
                    ));
                }
            }
            told.retain(|(before, _)| before.node != seen.node);
            told.push((seen, position));
        }
    }
    found("I5", rose.into_iter())
}

/// How many may have gone back in front of somebody between these moments, for turns that were lost.
fn lost_between(losses: &[Loss], from_ms: u64, to_ms: u64) -> u64 {
    let met = losses.iter().filter(|loss| from_ms < loss.within.end && loss.within.start < to_ms);
    met.map(|loss| loss.at_most).sum()
}

/// I3: nobody was certainly given a turn before somebody with a lower number. Whose turn was lost comes after some
/// from behind, so turns on both sides of a loss are not compared.
pub(super) fn order(turns: &[Turn], losses: &[Loss], rules: &Rules) -> Vec<Broken> {
    let mut turns = turns.to_vec();
    turns.sort_by_key(|turn| turn.seq);
    let mut cuts: Vec<u64> = losses.iter().flat_map(|loss| [loss.within.start, loss.within.end]).collect();
    cuts.extend([0, u64::MAX]);
    cuts.sort_unstable();
    let mut out_of_order = Vec::new();
    for between in cuts.windows(2) {
        let here = between[0]..between[1];
        if losses.iter().any(|loss| loss.within == here) {
            continue;
        }
        let certain = turns.iter().filter(|turn| here.contains(&turn.after_ms) && here.contains(&turn.before_ms));
        let mut earliest: Option<Turn> = None;
        for turn in certain.rev() {
            if let Some(other) = earliest.filter(|other| other.before_ms + rules.blur_ms < turn.after_ms) {
                out_of_order.push(format!(
                    "number {} still waited at {} ms, and {} was let in by {} ms",
                    turn.seq, turn.after_ms, other.seq, other.before_ms
                ));
            }
            earliest = Some(earliest.filter(|other| other.before_ms <= turn.before_ms).unwrap_or(*turn));
        }
    }
    found("I3", out_of_order.into_iter())
}

/// I1 by what visitors saw: in no window of time were more of them certainly given their turn than allowed.
pub(super) fn rate_by_visitors(turns: &[Turn], rules: &Rules) -> Vec<Broken> {
    let mut turns = turns.to_vec();
    turns.sort_by_key(|turn| turn.before_ms);
    let starts: BTreeSet<u64> = turns.iter().map(|turn| turn.after_ms / GRID_MS * GRID_MS).collect();
    let mut too_many = Vec::new();
    for start in starts {
        let inside = turns.iter().filter(|turn| turn.after_ms >= start);
        let worst =
            inside.enumerate().find(|(before, turn)| (before + 1) as f64 > rules.allowed(start, turn.before_ms));
        if let Some((before, turn)) = worst {
            let allowed = rules.allowed(start, turn.before_ms);
            too_many.push(format!("{} let in from {start} to {} ms, {allowed:.1} allowed", before + 1, turn.before_ms));
        }
    }
    found("I1", too_many.into_iter())
}

/// I1 by the nodes' own counters: what all of them together gave in a window, by the looks that lie inside it.
pub(super) fn rate_by_nodes(all: &BTreeMap<Node, Vec<Look>>, rules: &Rules) -> Vec<Broken> {
    let mut pieces = looks::pieces(all);
    pieces.sort_by_key(|piece| piece.to_ms);
    let starts: BTreeSet<u64> = pieces.iter().map(|piece| piece.from_ms).collect();
    let mut too_many = Vec::new();
    for start in starts {
        let mut gave = 0;
        for Piece { to_ms, gave: more, .. } in pieces.iter().filter(|piece| piece.from_ms >= start) {
            gave += more;
            let allowed = rules.allowed(start, *to_ms);
            if gave as f64 > allowed {
                too_many.push(format!("all nodes gave {gave} turns from {start} to {to_ms} ms, {allowed:.1} allowed"));
                break;
            }
        }
    }
    found("I1", too_many.into_iter())
}

/// I1 by the store's counter over the store's clock, and I2.
pub(super) fn rate_and_cap_by_store(counts: &[Count], rules: &Rules) -> Vec<Broken> {
    let mut broken = Vec::new();
    // The rates are told by the observer's clock; the store's runs beside it.
    let began = counts.first().map_or(0, |first| first.store_ms.saturating_sub(first.answered_ms));
    let mut too_many = Vec::new();
    for (at, from) in counts.iter().enumerate() {
        for to in &counts[at + 1..] {
            let (from_ms, to_ms) = (from.store_ms - began, to.store_ms - began);
            let (gave, allowed) = ((to.admitted - from.admitted) as f64, rules.allowed(from_ms, to_ms));
            if gave > allowed {
                too_many.push(format!("{gave} let in from {from_ms} to {to_ms} ms by the store, {allowed:.1} allowed"));
            }
        }
    }
    broken.extend(found("I1", too_many.into_iter()));
    let over = counts.iter().filter(|count| rules.max_active > 0 && count.occupied > rules.max_active);
    broken.extend(found("I2", over.map(|count| format!("{} inside, {} may be", count.occupied, rules.max_active))));
    broken
}

/// I2 by what visitors know: at no moment did more of them certainly have a session than may.
pub(super) fn cap_by_visitors(stays: &[Stay], rules: &Rules) -> Vec<Broken> {
    let ends = stays.iter().map(|stay| (stay.until_ms, -1_i64));
    // At one and the same millisecond the end counts first.
    let mut changes: Vec<(u64, i64)> = ends.chain(stays.iter().map(|stay| (stay.from_ms, 1))).collect();
    changes.sort_unstable();
    let (mut inside, mut over) = (0, Vec::new());
    for (at_ms, change) in changes {
        inside += change;
        if rules.max_active > 0 && inside > rules.max_active.cast_signed() {
            over.push(format!("{inside} had a session at {at_ms} ms, {} may", rules.max_active));
        }
    }
    found("I2", over.into_iter())
}

/// I10: whatever reached the upstream carried one token, of somebody who was let in.
pub(super) fn upstream(passed: &[Option<u64>], visits: &Visits<'_>) -> Vec<Broken> {
    let admitted: BTreeSet<u64> = visits.values().filter_map(|visit| visit.admitted()).map(|(_, seq)| seq).collect();
    let strangers = passed.iter().filter(|seq| !seq.is_some_and(|seq| admitted.contains(&seq)));
    found("I10", strangers.map(|seq| format!("a request with the token of number {seq:?} reached the upstream")))
}
