//! What this node knows of a room: one picture, read by every request with one atomic load. Pure.

use std::sync::Arc;
use std::time::Duration;

use crate::admission::{Flow, Habits};
use crate::rank::RankIndex;
use crate::session::Session;
use crate::store::{Epoch, Limits, RoomPicture, SEQ_MARGIN, Seen, Ticked};
use crate::ticket::Ticket;

mod former;

use former::Former;

/// A room as of the last time the store was asked.
#[derive(Clone, Debug)]
pub struct RoomView {
    /// Which incarnation of the room.
    pub epoch: Epoch,
    /// Whether the store has ever answered. Until then nothing here means anything.
    pub known: bool,
    /// The store did not answer the last time it was asked.
    pub stale: bool,
    /// What is passed along with every call; also what is remembered across a loss.
    pub seen: Seen,
    /// In line.
    pub waiting: u64,
    /// With a turn not yet claimed.
    pub granted: u64,
    /// With a session.
    pub active: u64,
    /// With a turn or a session, as of the last tick.
    pub occupied: u64,
    /// The first in line; everybody below has left it.
    pub head: Option<u64>,
    /// No grants for this long.
    pub hold: Duration,
    /// An operator has paused the room.
    pub paused: bool,
    /// Started from nothing a short while ago: yields to whoever proves more.
    pub cold: bool,
    /// Admissions a second, measured over the last seconds by the store's clock.
    pub measured_rate: Option<f64>,
    /// What visitors have been seen to do.
    pub habits: Habits,
    /// The store's clock at that time, milliseconds since the Unix epoch.
    pub as_of_ms: u64,
    /// Highest number that the line below knows of; who joined later is not in it yet.
    line_seq: u64,
    /// Who waits. Shared, because a tick changes the counters and not the bits.
    line: Arc<RankIndex>,
    /// Whose session ended for good.
    ended: Arc<RankIndex>,
    /// The line before a loss that people still come back from.
    former: Option<Arc<Former>>,
}

/// Where a ticket stands, as far as the view can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In line, this many from the front, counting from 1.
    Waiting(u64),
    /// Not in line any more, or not yet: the store knows.
    AskStore,
}

/// How a credential of some epoch relates to the room now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Of this incarnation.
    Current,
    /// Proves that the room had a life before its present, newly begun one.
    ProvesMore,
    /// Of a generation that this node has not heard of yet.
    Ahead,
    /// Of a former incarnation.
    Void,
}

impl Default for RoomView {
    fn default() -> Self {
        Self {
            epoch: Epoch { generation: 0, life: 0 },
            known: false,
            stale: true,
            seen: Seen::default(),
            waiting: 0,
            granted: 0,
            active: 0,
            occupied: 0,
            head: None,
            hold: Duration::ZERO,
            paused: false,
            cold: false,
            measured_rate: None,
            habits: Habits::default(),
            as_of_ms: 0,
            line_seq: 0,
            line: Arc::new(RankIndex::default()),
            ended: Arc::new(RankIndex::default()),
            former: None,
        }
    }
}

impl RoomView {
    /// The view after a snapshot.
    #[must_use]
    pub fn from_picture(picture: &RoomPicture, measured_rate: Option<f64>) -> Self {
        let line = RankIndex::build(&picture.waiting_bits);
        Self {
            epoch: picture.epoch,
            known: true,
            stale: false,
            seen: picture.seen(),
            waiting: picture.waiting,
            granted: picture.granted,
            active: picture.active,
            occupied: picture.granted + picture.active,
            head: line.first(),
            hold: picture.hold,
            paused: picture.paused(),
            cold: picture.cold,
            measured_rate,
            habits: Habits::default(),
            as_of_ms: picture.now_ms,
            line_seq: picture.seq,
            line: Arc::new(line),
            ended: Arc::new(RankIndex::build(&picture.ended_bits)),
            former: None,
        }
    }

    /// The view after a snapshot without ended bits: those known so far stay, and so do habits and rate.
    #[must_use]
    pub fn with_line(&self, picture: &RoomPicture) -> Self {
        Self { ended: self.ended.clone(), habits: self.habits, ..Self::from_picture(picture, self.measured_rate) }
    }

    /// The view after a tick: counters and head are new, the bits are those of the last snapshot.
    #[must_use]
    pub fn after_tick(&self, ticked: &Ticked, measured_rate: Option<f64>) -> Self {
        Self {
            stale: false,
            seen: Seen {
                seq: ticked.seq,
                admitted: ticked.admitted,
                watermark: ticked.watermark,
                base: ticked.base,
                floor: ticked.floor,
                pause: ticked.pause,
            },
            waiting: ticked.waiting,
            occupied: ticked.occupied,
            head: ticked.head,
            hold: ticked.hold,
            paused: ticked.pause % 2 == 1,
            measured_rate,
            as_of_ms: ticked.now_ms,
            ..self.clone()
        }
    }

    /// With these habits.
    #[must_use]
    pub fn with_habits(self, habits: Habits) -> Self {
        Self { habits, ..self }
    }

    /// How fast the line moves under these limits.
    #[must_use]
    pub fn flow(&self, limits: Limits) -> Flow {
        Flow {
            rate_per_s: limits.rate_per_s,
            paused: self.paused,
            hold: self.hold,
            max_active: limits.max_active,
            occupied: self.occupied,
            habits: self.habits,
        }
    }

    /// The same, but the store did not answer.
    #[must_use]
    pub fn gone_stale(&self) -> Self {
        Self { stale: true, ..self.clone() }
    }

    /// The same, after the store has lost something: `recovered` is what it knows now, and for `lasting` people may
    /// still come back to places in the line that is known here.
    #[must_use]
    pub fn after_loss(&self, recovered: &Seen, lasting: Duration) -> Self {
        // Of two losses in short order the first knows more of who may come back.
        let former = self.former_now().cloned();
        let former = former.unwrap_or_else(|| self.remembered(recovered.seq, self.as_of_ms, lasting));
        Self { former: Some(former), ..self.clone() }
    }

    /// The view, with what the one before it remembers of a loss. While nobody is let in after a loss and everybody
    /// comes back it is stale, and where the one before knew of no loss yet, its line is the one to remember.
    #[must_use]
    pub fn following(mut self, before: &Self) -> Self {
        if self.former.is_none() && before.known && self.epoch == before.epoch {
            self.former = before.former.as_ref().filter(|former| self.as_of_ms < former.until_ms).cloned();
            if self.former.is_none() && before.hold.is_zero() && !self.hold.is_zero() {
                self.former = Some(before.remembered(self.seen.seq, self.as_of_ms, self.hold));
            }
        }
        self.stale |= !self.hold.is_zero() && self.former_now().is_some();
        self
    }

    fn remembered(&self, next: u64, from_ms: u64, lasting: Duration) -> Arc<Former> {
        Arc::new(Former {
            line: self.line.clone(),
            line_seq: self.line_seq,
            highest: self.seen.seq,
            next,
            head: self.head,
            until_ms: from_ms.saturating_add(u64::try_from(lasting.as_millis()).unwrap_or(u64::MAX)),
        })
    }

    fn former_now(&self) -> Option<&Arc<Former>> {
        self.former.as_ref().filter(|former| self.as_of_ms < former.until_ms)
    }

    /// The position to tell, which is this one by the line as the store has it now.
    fn told(&self, seq: u64, position: u64) -> u64 {
        match self.former_now() {
            Some(former) => position.max(former.position(seq, self.head, !self.hold.is_zero())),
            None => position,
        }
    }

    /// Where the ticket with this number stands. Exact as of the last snapshot; after a loss, as it was before, until
    /// everybody had time to come back.
    #[must_use]
    pub fn place(&self, seq: u64) -> Place {
        let Some(head) = self.head else { return Place::AskStore };
        if seq < head {
            return Place::AskStore;
        }
        let ahead_of_head = self.line.rank(head);
        if seq > self.line_seq {
            // Joined after the snapshot: behind everybody in it, and behind those who joined since.
            let in_line = self.line.count().saturating_sub(ahead_of_head);
            let since = seq - self.line_seq;
            // A loss left out this many numbers; nobody stands at them.
            let since = if since > SEQ_MARGIN { since - SEQ_MARGIN } else { since };
            return Place::Waiting(self.told(seq, in_line + since));
        }
        if self.line.contains(seq) {
            Place::Waiting(self.told(seq, self.line.rank(seq).saturating_sub(ahead_of_head) + 1))
        } else {
            Place::AskStore
        }
    }

    /// The position to tell somebody whom the store has just put (back) in line at this number.
    #[must_use]
    pub fn position_of_joined(&self, seq: u64) -> u64 {
        match self.place(seq) {
            Place::Waiting(position) => position,
            // Not in the snapshot: everybody in it with a lower number is ahead.
            Place::AskStore => {
                let gone = self.head.map_or(self.line.count(), |head| self.line.rank(head));
                self.told(seq, self.line.rank(seq).saturating_sub(gone) + 1)
            }
        }
    }

    /// Whether nobody waits and nothing forbids to let somebody straight in.
    #[must_use]
    pub fn open_door(&self) -> bool {
        self.known && !self.stale && self.head.is_none() && self.waiting == 0 && !self.paused && self.hold.is_zero()
    }

    /// How a ticket with a number relates to the room.
    #[must_use]
    pub fn standing_of(&self, ticket: &Ticket) -> Standing {
        self.standing(ticket.epoch)
    }

    /// Whether a session still counts. Unknown rooms honour what we signed: sessions go on while the
    /// store is away.
    #[must_use]
    pub fn honours(&self, session: &Session) -> bool {
        if !self.known {
            return true;
        }
        match self.standing(session.epoch) {
            // A number below the base is so old that its ended bit is forgotten: fail closed.
            Standing::Current => {
                session.seq == 0 || (session.seq >= self.seen.base && !self.ended.contains(session.seq))
            }
            Standing::ProvesMore => true,
            Standing::Ahead | Standing::Void => false,
        }
    }

    /// Whether this number's session has ended for good.
    #[must_use]
    pub fn has_ended(&self, seq: u64) -> bool {
        self.ended.contains(seq)
    }

    /// Whether the ended bits hold this number, or are past it.
    #[must_use]
    pub fn shows_ended(&self, seq: u64) -> bool {
        seq < self.seen.base || self.ended.contains(seq)
    }

    fn standing(&self, epoch: Epoch) -> Standing {
        use std::cmp::Ordering::{Equal, Greater, Less};
        match epoch.generation.cmp(&self.epoch.generation) {
            Less => Standing::Void,
            Greater => Standing::Ahead,
            Equal if epoch.life == self.epoch.life => Standing::Current,
            Equal if self.cold => Standing::ProvesMore,
            Equal => Standing::Void,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{BitSpan, Vid};

    /// Numbers 1, 3 and 4 wait; 2 has left; 5 is the highest given out and has left too.
    fn picture() -> RoomPicture {
        RoomPicture {
            epoch: Epoch { generation: 1, life: 7 },
            seq: 5,
            base: 0,
            floor: 0,
            admitted: 0,
            watermark: 0,
            hold: Duration::ZERO,
            pause: 0,
            cold: false,
            waiting: 3,
            granted: 0,
            active: 0,
            now_ms: 1,
            waiting_bits: BitSpan { first: 0, bytes: vec![0b0101_1000] },
            ended_bits: BitSpan { first: 0, bytes: vec![0b0000_0100] },
            spent_bits: BitSpan::default(),
        }
    }

    #[test]
    fn i13_who_left_does_not_count() {
        let view = RoomView::from_picture(&picture(), None);
        assert_eq!(view.place(1), Place::Waiting(1));
        assert_eq!(view.place(2), Place::AskStore);
        assert_eq!(view.place(3), Place::Waiting(2));
        assert_eq!(view.place(4), Place::Waiting(3));
        assert_eq!(view.place(6), Place::Waiting(4), "joined after the snapshot");
    }

    #[test]
    fn a_tick_moves_everybody_up_at_once() {
        let view = RoomView::from_picture(&picture(), None);
        let ticked = Ticked { head: Some(3), waiting: 2, seq: 5, ..Ticked::default() };
        let view = view.after_tick(&ticked, None);
        assert_eq!(view.place(1), Place::AskStore, "was given a turn");
        assert_eq!(view.place(3), Place::Waiting(1));
        assert_eq!(view.place(7), Place::Waiting(4));
        let empty = view.after_tick(&Ticked { seq: 5, ..Ticked::default() }, None);
        assert!(empty.open_door());
        assert_eq!(empty.place(4), Place::AskStore);
    }

    #[test]
    fn i5_positions_stay_while_a_lost_line_comes_back() {
        let before = RoomView::from_picture(&picture(), None);
        let held = RoomPicture {
            hold: Duration::from_secs(60),
            seq: 100_005,
            waiting: 1,
            waiting_bits: BitSpan { first: 0, bytes: vec![0b0000_1000] },
            ..picture()
        };
        let restored = RoomView::from_picture(&held, None).following(&before);
        assert!(restored.stale);
        assert_eq!(restored.place(4), Place::Waiting(3), "back, and nobody before it");
        assert_eq!((restored.place(3), restored.position_of_joined(3)), (Place::AskStore, 2), "on its way back");
        assert_eq!(restored.position_of_joined(100_006), 4, "new, behind those who are still to come");
        // The next snapshot keeps what was, and the first tick after the hold lets go of it.
        let later = RoomView::from_picture(&held, None).following(&restored);
        assert_eq!(later.place(4), Place::Waiting(3));
        let ticked = Ticked { head: Some(4), waiting: 1, seq: 100_005, hold: Duration::ZERO, ..Ticked::default() };
        let open = later.after_tick(&ticked, None);
        assert_eq!((open.place(4), open.stale), (Place::Waiting(1), false));
        // A node that did not restore it itself hears of it by a tick.
        let told = before.after_tick(&Ticked { head: None, waiting: 0, hold: Duration::from_secs(60), ..ticked }, None);
        let told = told.following(&before);
        assert_eq!(RoomView::from_picture(&held, None).following(&told).place(4), Place::Waiting(3));
        // Another room altogether has no past.
        let reset = RoomPicture { epoch: Epoch { generation: 2, life: 7 }, ..held };
        assert_eq!(RoomView::from_picture(&reset, None).following(&before).place(4), Place::Waiting(1));
    }

    #[test]
    fn i8_a_look_at_the_line_alone_forgets_no_ended_session() {
        let before = RoomView::from_picture(&picture(), Some(3.0));
        let line = RoomPicture {
            waiting: 1,
            waiting_bits: BitSpan { first: 0, bytes: vec![0b0000_1000] },
            ended_bits: BitSpan::default(),
            ..picture()
        };
        let view = before.with_line(&line);
        assert_eq!((view.place(4), view.place(3)), (Place::Waiting(1), Place::AskStore));
        assert!(view.has_ended(5) && view.measured_rate == Some(3.0));
    }

    #[test]
    fn a_jump_of_the_numbers_is_nobody_in_line() {
        let view = RoomView::from_picture(&picture(), None);
        assert_eq!(view.place(5 + SEQ_MARGIN + 1), Place::Waiting(4));
    }

    #[test]
    fn i8_an_ended_session_is_refused_and_i11_another_epoch_too() {
        let view = RoomView::from_picture(&picture(), None);
        let session = |seq, generation, life| Session {
            epoch: Epoch { generation, life },
            vid: Vid([0; 12]),
            seq,
            began_s: 0,
            expires_s: 10,
            provisional: false,
        };
        assert!(view.honours(&session(4, 1, 7)));
        assert!(!view.honours(&session(5, 1, 7)), "ended");
        assert!(!view.honours(&session(4, 0, 7)), "former generation");
        assert!(!view.honours(&session(4, 1, 8)), "former life");
        let cold = RoomView { cold: true, ..view };
        assert!(cold.honours(&session(4, 1, 8)), "a newly begun room yields to what we signed");
    }
}
