//! What is over: refused here at once, told to the store in the background, forgotten when the keeper remembers it.

use std::sync::PoisonError;

use super::{Ending, MAX_ENDED_HERE, Room};
use crate::session::Session;
use crate::store::{Epoch, Vid};

impl Room {
    /// Ends a session or gives up a place, for good. Refused here from now on; the store is told in
    /// the background, as often as it takes, and once however often this is asked.
    pub fn end(&self, epoch: Epoch, vid: Vid, seq: u64) {
        if !self.is_first_end(epoch, vid, seq) {
            return;
        }
        if self.ends.try_send(Ending { epoch, vid, seq }).is_err() {
            tracing::error!(room = %self.name, "too many endings wait for the store; one is known to this proxy only");
        }
    }

    /// Takes note of an ending; `false`: it is known, or on its way.
    fn is_first_end(&self, epoch: Epoch, vid: Vid, seq: u64) -> bool {
        if seq == 0 {
            let mut leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
            return leaving.len() >= MAX_ENDED_HERE || leaving.insert(vid);
        }
        let view = self.view.load();
        if epoch == view.epoch && view.has_ended(seq) {
            return false;
        }
        let mut ended = self.ended_here.write().unwrap_or_else(PoisonError::into_inner);
        ended.len() >= MAX_ENDED_HERE || ended.insert((epoch, seq))
    }

    /// The store is about to be told of these: whoever leaves again has come back in between.
    pub(super) fn forget_leaving(&self, told: &[Ending]) {
        let mut leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
        told.iter().filter(|ending| ending.seq == 0).for_each(|ending| {
            leaving.remove(&ending.vid);
        });
    }

    /// Whether this node has ended the session and the snapshot does not show it yet.
    #[must_use]
    pub fn ended_here(&self, epoch: Epoch, seq: u64) -> bool {
        self.ended_here.read().unwrap_or_else(PoisonError::into_inner).contains(&(epoch, seq))
    }

    /// Whether what had this number is over for good, as far as this node knows.
    #[must_use]
    pub fn is_over(&self, epoch: Epoch, seq: u64) -> bool {
        let view = self.view();
        (epoch == view.epoch && view.has_ended(seq)) || self.ended_here(epoch, seq)
    }

    /// Gives up whatever a visitor has who shows a ticket without a number: it may have joined since. `until_ms`:
    /// when that ticket is too old for joining; until then it counts for nothing here.
    pub fn leave(&self, vid: Vid, until_ms: u64, now_ms: u64) {
        self.left.note(vid, until_ms, now_ms);
        self.end(self.view().epoch, vid, 0);
    }

    /// Ends a session. One without a number, given while the store was away, is known to nobody but whoever shows it: it
    /// is refused by this node until it has run out.
    pub fn end_session(&self, session: &Session, now_ms: u64) {
        match session.seq {
            0 => self.left.note(session.vid, session.expires_s.saturating_mul(1_000), now_ms),
            seq => self.end(session.epoch, session.vid, seq),
        }
    }

    /// Whether this node has ended the session and what it knows from the store does not show it.
    #[must_use]
    pub fn has_ended_here(&self, session: &Session) -> bool {
        match session.seq {
            0 => self.left.contains(session.vid),
            seq => self.ended_here(session.epoch, seq),
        }
    }

    /// Whether this visitor has given up a ticket without a number, at this node.
    #[must_use]
    pub fn has_left(&self, vid: Vid) -> bool {
        self.left.contains(vid)
    }

    /// Numbers of this epoch that this node has ended and no snapshot shows yet.
    pub(super) fn ended_here_of(&self, epoch: Epoch) -> Vec<u64> {
        let ended = self.ended_here.read().unwrap_or_else(PoisonError::into_inner);
        ended.iter().filter(|(of, _)| *of == epoch).map(|(_, seq)| *seq).collect()
    }

    /// Forgets endings that the view shows, once the keeper remembers what it shows: no loss may fall in between.
    pub(super) fn forget_endings_shown(&self) {
        let view = self.view.load();
        if !self.ended_here.read().unwrap_or_else(PoisonError::into_inner).is_empty() {
            let mut ended = self.ended_here.write().unwrap_or_else(PoisonError::into_inner);
            ended.retain(|(epoch, seq)| *epoch == view.epoch && !view.shows_ended(*seq));
        }
    }
}
