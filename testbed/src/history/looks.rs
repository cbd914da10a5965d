//! Looks at the nodes: how many turns each has given, and how old what it tells can be.

use std::collections::BTreeMap;

use super::Node;

/// Rounds between two looks after which what a node tells is no older than the first look: the first of them may have
/// asked the store before it, the second may be counted before its answer is shown, and the third begins after that.
const ROUNDS: u64 = 3;

/// What one node said of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) asked_ms: u64,
    pub(super) answered_ms: u64,
    /// Turns that it has given so far.
    pub(super) given: u64,
    /// How often the store has answered its rounds so far.
    pub(super) rounds: u64,
}

/// Turns that a node gave between two looks, and when it may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) from_ms: u64,
    pub(super) to_ms: u64,
    pub(super) gave: u64,
}

/// What each node gave between one look and the next. One that began anew counts from nothing.
///
/// A round is counted when its answer is there, and the store may have given its turns well before: but not before the
/// round before it was over, which an earlier look had not seen yet.
pub(super) fn pieces(looks: &BTreeMap<Node, Vec<Look>>) -> Vec<Piece> {
    let of_node = |looks: &Vec<Look>| -> Vec<Piece> {
        let piece = |at: usize| {
            let (from, to) = (looks[at], looks[at + 1]);
            // Two less: the counters of turns and of rounds are not read in the same instant.
            let before = looks[..at].iter().rev().find(|before| before.rounds + 2 <= from.rounds);
            Piece {
                from_ms: before.map_or(0, |before| before.asked_ms),
                to_ms: to.answered_ms,
                gave: to.given.saturating_sub(from.given),
            }
        };
        (0..looks.len().saturating_sub(1)).map(piece).collect()
    };
    looks.values().flat_map(of_node).collect()
}

/// From which moment on (answered, ms) a node speaks of which moment (ms) or of a later one.
#[derive(Clone, Debug, Default)]
pub(super) struct Looks(BTreeMap<Node, Vec<(u64, u64)>>);

impl Looks {
    pub(super) fn of(looks: &BTreeMap<Node, Vec<Look>>) -> Self {
        let proofs = |looks: &Vec<Look>| {
            let proof = |(at, to): (usize, &Look)| {
                let from = looks[..at].iter().rev().find(|from| from.rounds + ROUNDS <= to.rounds)?;
                Some((to.answered_ms, from.asked_ms))
            };
            looks.iter().enumerate().filter_map(proof).collect()
        };
        Self(looks.iter().map(|(node, looks)| (*node, proofs(looks))).collect())
    }

    /// The moment that an answer of this node to a question of `asked_ms` speaks of, at the earliest.
    pub(super) fn as_of(&self, node: Node, asked_ms: u64) -> u64 {
        let Some(proofs) = self.0.get(&node) else { return 0 };
        let known = proofs.partition_point(|(answered_ms, _)| *answered_ms <= asked_ms);
        known.checked_sub(1).map_or(0, |last| proofs[last].1)
    }
}
