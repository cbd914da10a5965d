//! What the store holds at one moment, and what one operation may make of it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use waitroom_proxy::store::memory::RoomImage;
use waitroom_proxy::store::{Epoch, RoomPicture, Vid};

/// What was done to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Join,
    Enter,
    Tick,
    Claim,
    Touch,
    End,
    Reap,
    Flush,
    Reset,
    Pause,
    Recover,
    /// An accident: everything may be as it was earlier, or gone.
    Loss,
}

/// Number and time of expiry, by visitor.
type Until = BTreeMap<Vid, (u64, u64)>;

/// A room at one moment.
#[derive(Clone, Debug)]
pub(super) struct Contents {
    pub(super) waiting: BTreeMap<Vid, u64>,
    pub(super) granted: Until,
    pub(super) active: Until,
    /// Numbers in line, in order.
    pub(super) line: Vec<u64>,
    pub(super) spent: BTreeSet<u64>,
    pub(super) ended: BTreeSet<u64>,
    bits: Vec<u64>,
    pub(super) picture: RoomPicture,
}

/// An invariant and what was seen instead.
pub(super) type Wrong = (&'static str, String);

impl Contents {
    pub(super) fn of(image: &RoomImage, picture: RoomPicture) -> Self {
        let [bits, spent, ended] = image.bits();
        Self {
            waiting: image.waiting(),
            granted: image.granted(),
            active: image.active(),
            line: image.line(),
            spent: spent.into_iter().collect(),
            ended: ended.into_iter().collect(),
            bits,
            picture,
        }
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.picture.epoch
    }

    /// Turns and sessions that are not overdue.
    pub(super) fn occupied(&self) -> u64 {
        let now = self.picture.now_ms;
        self.granted.values().chain(self.active.values()).filter(|(_, until)| *until >= now).count() as u64
    }

    /// Everybody with a number: the number and who has it.
    pub(super) fn owners(&self) -> impl Iterator<Item = (u64, Vid)> + '_ {
        let inside = self.granted.iter().chain(&self.active).map(|(vid, (seq, _))| (*seq, *vid));
        self.waiting.iter().map(|(vid, seq)| (*seq, *vid)).chain(inside)
    }

    /// Those with a turn or a session.
    pub(super) fn inside(&self) -> impl Iterator<Item = (u64, Vid)> + '_ {
        self.granted.iter().chain(&self.active).map(|(vid, (seq, _))| (*seq, *vid))
    }

    fn is_inside(&self, vid: Vid) -> bool {
        self.granted.contains_key(&vid) || self.active.contains_key(&vid)
    }

    /// Numbers that are in this line and were not in the earlier one, although they had been given out by then.
    pub(super) fn returned_since<'c>(&'c self, before: &'c Self) -> impl Iterator<Item = u64> + 'c {
        let gone = move |seq: &u64| *seq <= before.picture.seq && before.line.binary_search(seq).is_err();
        self.line.iter().copied().filter(gone)
    }

    /// Numbers that were in the earlier line and are not in this one.
    pub(super) fn left_since<'c>(&'c self, before: &'c Self) -> impl Iterator<Item = u64> + 'c {
        before.line.iter().copied().filter(|seq| self.line.binary_search(seq).is_err())
    }

    /// How many came in by this operation: turns given, sessions by the fast lane.
    pub(super) fn let_in_since(&self, before: &Self) -> u64 {
        self.inside().filter(|(_, vid)| !before.is_inside(*vid)).count() as u64
    }

    /// Sessions that nobody had a turn for: proved by a token.
    pub(super) fn proved_since<'c>(&'c self, before: &'c Self) -> impl Iterator<Item = Vid> + 'c {
        let now = self.picture.now_ms;
        let counted = move |vid: &Vid| {
            let live = |until: &Until| until.get(vid).is_some_and(|(_, until)| *until >= now);
            live(&before.granted) || live(&before.active)
        };
        self.active.keys().copied().filter(move |vid| !counted(vid))
    }

    /// What is true of a room at any moment: I4, I6, I7, I8.
    pub(super) fn unsound(&self) -> Option<Wrong> {
        let numbers: Vec<u64> = self.waiting.values().copied().collect::<BTreeSet<_>>().into_iter().collect();
        if numbers != self.line || numbers.len() != self.waiting.len() {
            return Some(("I4", format!("{} wait at {} numbers", self.waiting.len(), numbers.len())));
        }
        if self.bits != self.line || self.picture.waiting != self.line.len() as u64 {
            return Some(("I6", format!("{} bits, {} in line", self.bits.len(), self.line.len())));
        }
        let twice = |vid: &&Vid| {
            let places =
                [self.waiting.contains_key(vid), self.granted.contains_key(vid), self.active.contains_key(vid)];
            places.into_iter().filter(|there| *there).count() > 1
        };
        if let Some(vid) = self.waiting.keys().chain(self.granted.keys()).find(twice) {
            return Some(("I7", format!("{vid} is in two places at once")));
        }
        let over = |seq: &&u64| self.spent.contains(seq) || self.ended.contains(seq);
        if let Some(seq) = self.line.iter().find(over) {
            return Some(("I8", format!("{seq} is spent or ended and waits")));
        }
        let back = self.active.values().find(|(seq, _)| self.ended.contains(seq));
        back.map(|(seq, _)| ("I8", format!("the session of {seq} has ended and is there")))
    }

    /// What a tick may do: take the first of the line, and only them (I3).
    pub(super) fn out_of_order(&self, before: &Self) -> Option<Wrong> {
        let mut popped: Vec<u64> = self
            .granted
            .iter()
            .filter(|(vid, _)| !before.granted.contains_key(vid))
            .map(|(_, (seq, _))| *seq)
            .collect();
        popped.sort_unstable();
        let first = &before.line[..popped.len().min(before.line.len())];
        (popped != first).then(|| ("I3", format!("turns for {popped:?}, but the line began {first:?}")))
    }
}
