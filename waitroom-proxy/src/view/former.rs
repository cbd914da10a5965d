//! The line as it was before the store lost it: by this, too, positions are told until everybody had time to come
//! back, so that nobody is told a place that rises again (I5). Pure.

use std::sync::Arc;

use crate::rank::RankIndex;

/// A line that the store may have lost.
#[derive(Clone, Debug)]
pub(super) struct Former {
    /// Who waited.
    pub(super) line: Arc<RankIndex>,
    /// Highest number that the line knows of.
    pub(super) line_seq: u64,
    /// Highest number that this node had heard of.
    pub(super) highest: u64,
    /// New numbers begin behind this one.
    pub(super) next: u64,
    /// The first in line.
    pub(super) head: Option<u64>,
    /// Until when it counts, milliseconds by the store's clock.
    pub(super) until_ms: u64,
}

impl Former {
    /// The position of a number by the former line. `head`: the first in line now. While nobody is given a turn
    /// (`holding`) nobody has moved up, whoever has come back first.
    pub(super) fn position(&self, seq: u64, head: Option<u64>, holding: bool) -> u64 {
        let first = if holding { self.head } else { head };
        let Some(first) = first else { return 0 };
        (self.ahead_of(seq) + 1).saturating_sub(self.line.rank(first))
    }

    /// How many numbers below this one may come back; those above the former ones are all new.
    fn ahead_of(&self, seq: u64) -> u64 {
        if seq <= self.line_seq {
            return self.line.rank(seq);
        }
        let old = (seq - 1).min(self.highest).saturating_sub(self.line_seq);
        let new = (seq - 1).saturating_sub(self.next.max(self.highest));
        self.line.count() + old + new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::BitSpan;

    /// 1 and 2 have left, 3 to 10 wait; 11 and 12 have joined since; new numbers begin at 101.
    fn former() -> Former {
        let line = RankIndex::build(&BitSpan { first: 0, bytes: vec![0b0001_1111, 0b1110_0000] });
        Former { line: Arc::new(line), line_seq: 10, highest: 12, next: 100, head: Some(3), until_ms: 0 }
    }

    #[test]
    fn i5_whoever_comes_back_first_keeps_the_place() {
        let while_held = |seq, head| former().position(seq, head, true);
        assert_eq!([3, 10, 11, 12].map(|seq| while_held(seq, Some(seq))), [1, 8, 9, 10], "each alone in the new line");
        assert_eq!([101, 102].map(|seq| while_held(seq, Some(3))), [11, 12], "newcomers are behind all that may come");
    }

    #[test]
    fn once_turns_are_given_the_line_moves_up() {
        let then = |seq, head| former().position(seq, head, false);
        assert_eq!([5, 10, 12].map(|seq| then(seq, Some(5))), [1, 6, 8]);
        assert_eq!(then(10, Some(1)), 8, "a turn that was lost is given again, and moves nobody back");
        assert_eq!(then(10, None), 0, "says nothing of an empty line");
    }
}
