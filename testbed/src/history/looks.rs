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
