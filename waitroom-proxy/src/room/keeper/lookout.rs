//! Notices a loss that somebody else has mended already: the store answers as if nothing had happened, and what only
//! this node remembers would be forgotten. Pure.

use std::time::Duration;

use crate::store::{Epoch, SEQ_MARGIN};

/// What the store said last.
#[derive(Debug, Default)]
pub(super) struct Lookout {
    last: Option<Last>,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    epoch: Epoch,
    seq: u64,
    held: bool,
}

impl Lookout {
    /// Whether the store has lost something since: whoever recovers it lets the numbers jump, and holds the turns
    /// where all was gone. Fifty thousand who joined between two looks are taken for a jump as well, which costs one
    /// recovery that changes nothing.
    pub(super) fn sees_a_loss(&self, epoch: Epoch, seq: u64, hold: Duration) -> bool {
        self.last.is_some_and(|last| {
            let held_since = !last.held && !hold.is_zero();
            last.epoch == epoch && (held_since || seq >= last.seq + SEQ_MARGIN / 2)
        })
    }

    /// Whether this room (this epoch of it) is new to the node.
    pub(super) fn is_new(&self, epoch: Epoch) -> bool {
        self.last.is_none_or(|last| last.epoch != epoch)
    }

    /// Takes this as known, after it was looked at or whatever was lost has been given back.
    pub(super) fn note(&mut self, epoch: Epoch, seq: u64, hold: Duration) {
        self.last = Some(Last { epoch, seq, held: !hold.is_zero() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Epoch = Epoch { generation: 1, life: 7 };
    const HOLD: Duration = Duration::from_secs(60);

    #[test]
    fn a_hold_or_a_jump_is_a_loss_once() {
        let mut lookout = Lookout::default();
        assert!(!lookout.sees_a_loss(NOW, 500, HOLD), "the first look has nothing to lose");
        lookout.note(NOW, 500, Duration::ZERO);
        assert!(!lookout.sees_a_loss(NOW, 800, Duration::ZERO), "people join");
        assert!(lookout.sees_a_loss(NOW, 500, HOLD));
        assert!(lookout.sees_a_loss(NOW, 500 + SEQ_MARGIN, Duration::ZERO), "a failover holds nobody");
        lookout.note(NOW, 500 + SEQ_MARGIN, HOLD);
        assert!(!lookout.sees_a_loss(NOW, 501 + SEQ_MARGIN, HOLD / 2), "the same hold");
        assert!(lookout.sees_a_loss(NOW, 501 + 2 * SEQ_MARGIN, HOLD), "lost again while it is held");
        let other = Epoch { generation: 2, ..NOW };
        assert!(!lookout.sees_a_loss(other, 9 * SEQ_MARGIN, HOLD), "another epoch has nothing of ours");
        assert_eq!((lookout.is_new(NOW), lookout.is_new(other)), (false, true));
    }
}
