//! Visitors who gave up before they were put in line: the store has nothing to forget of them, and their pre-ticket
//! would put them in line after all. Remembered until that ticket is too old.
//!
//! By this node only: another one would still let such a ticket join. It is the visitor's own, and worth nothing more
//! than the new one that anybody gets, so nothing is shared for it.

use std::collections::{HashSet, VecDeque};
use std::sync::{PoisonError, RwLock};

use crate::store::Vid;

/// Most that are remembered, some four megabytes; past it the oldest are forgotten.
const MOST: usize = 65_536;

/// Who left.
#[derive(Debug, Default)]
pub(super) struct Left(RwLock<Inner>);

#[derive(Debug, Default)]
struct Inner {
    vids: HashSet<Vid>,
    /// The same, oldest first, with when they are forgotten, ms.
    order: VecDeque<(u64, Vid)>,
}

impl Left {
    /// Remembers one until then.
    pub(super) fn note(&self, vid: Vid, until_ms: u64, now_ms: u64) {
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if !inner.vids.insert(vid) {
            return;
        }
        inner.order.push_back((until_ms, vid));
        while inner.order.front().is_some_and(|(until, _)| *until < now_ms) || inner.order.len() > MOST {
            let Some((_, oldest)) = inner.order.pop_front() else { return };
            inner.vids.remove(&oldest);
        }
    }

    /// Whether this one left.
    pub(super) fn contains(&self, vid: Vid) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).vids.contains(&vid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vid(number: u64) -> Vid {
        let mut vid = [0; 12];
        vid[..8].copy_from_slice(&number.to_be_bytes());
        Vid(vid)
    }

    #[test]
    fn i8_who_left_is_remembered_in_bounded_memory() {
        let left = Left::default();
        left.note(vid(1), 1_000, 0);
        left.note(vid(1), 9_000, 0);
        left.note(vid(2), 1_500, 1_000);
        assert!(left.contains(vid(1)) && left.contains(vid(2)) && !left.contains(vid(3)));
        left.note(vid(3), 2_000, 1_001);
        assert!(!left.contains(vid(1)), "its ticket is too old by now");
        for number in 10..10 + MOST as u64 {
            left.note(vid(number), 5_000, 1_001);
        }
        assert_eq!(left.0.read().unwrap().vids.len(), MOST);
        assert!(!left.contains(vid(2)) && left.contains(vid(10)));
    }
}
