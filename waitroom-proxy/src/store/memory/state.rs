//! What the memory store keeps of one room, and the steps its operations share. Reads no clock.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::super::{Epoch, Limits, MAX_BATCH, SEQ_MARGIN, Seen, StoreError, Vid};
use super::bits::Bits;
use super::seen::Heard;

/// The widest distance between `base` and a number: 2^27 bits are 16 MiB a bitmap.
pub(super) const BIT_WINDOW: u64 = 1 << 27;
/// How much of the window is kept behind when it must move up for a far ticket.
pub(super) const WINDOW_KEPT: u64 = 1 << 24;
/// The largest whole number that all stores keep exactly (scores are doubles).
pub(super) const LARGEST: u64 = 9_007_199_254_000_000;
/// A clock that steps back by less is waited out; by more, the tokens are forfeited.
const CLOCK_SLACK_US: u64 = 1_000_000;

/// Where a visitor is. One of these and no other: a visitor cannot wait and have a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Waiting(u64),
    Granted { seq: u64, until_ms: u64 },
    Active { seq: u64, until_ms: u64, began_ms: u64 },
}

/// One moment of the store's clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) us: u64,
    pub(super) ms: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Room {
    pub(super) epoch: Epoch,
    /// Highest number given out.
    pub(super) seq: u64,
    /// The seq of bit 0 of the bitmaps; a multiple of 8.
    pub(super) base: u64,
    /// Tickets up to here were flushed.
    pub(super) floor: u64,
    pub(super) admitted: u64,
    pub(super) watermark: u64,
    /// The token bucket, and when it was last filled.
    pub(super) tokens: f64,
    pub(super) refilled_us: u64,
    /// No grants before this.
    pub(super) hold_until_us: u64,
    /// Odd: paused.
    pub(super) pause: u64,
    /// Until then a room that began from nothing yields to a node that knows more; 0: it does not.
    pub(super) cold_until_us: u64,
    /// The nonce of the last flush.
    pub(super) flushed: String,
    /// The line in order. With `places` this is the truth; the bitmaps say the same in another form.
    pub(super) line: BTreeMap<u64, Vid>,
    /// Where each visitor is.
    pub(super) places: HashMap<Vid, Place>,
    /// (claim deadline, who), so that the overdue are found without a search.
    pub(super) grants: BTreeSet<(u64, Vid)>,
    /// (session expiry, who).
    pub(super) sessions: BTreeSet<(u64, Vid)>,
    /// Who waits, whose turn was claimed, whose session ended for good: bit `seq - base`.
    pub(super) waiting: Bits,
    pub(super) spent: Bits,
    pub(super) ended: Bits,
    /// Whom the nodes heard.
    pub(super) heard: Heard,
}

impl Place {
    pub(super) fn seq(self) -> u64 {
        match self {
            Self::Waiting(seq) | Self::Granted { seq, .. } | Self::Active { seq, .. } => seq,
        }
    }
}

impl Room {
    /// A room without anybody.
    pub(super) fn empty(epoch: Epoch, now: Now) -> Self {
        Self {
            epoch,
            seq: 0,
            base: 0,
            floor: 0,
            admitted: 0,
            watermark: 0,
            tokens: 0.0,
            refilled_us: now.us,
            hold_until_us: 0,
            pause: 0,
            cold_until_us: 0,
            flushed: String::new(),
            line: BTreeMap::new(),
            places: HashMap::new(),
            grants: BTreeSet::new(),
            sessions: BTreeSet::new(),
            waiting: Bits::default(),
            spent: Bits::default(),
            ended: Bits::default(),
            heard: Heard::default(),
        }
    }

    pub(super) fn paused(&self) -> bool {
        self.pause % 2 == 1
    }

    pub(super) fn head(&self) -> Option<u64> {
        self.line.first_key_value().map(|(seq, _)| *seq)
    }

    /// Whether a ticket of this number can no longer be put in line.
    pub(super) fn is_void(&self, seq: u64) -> bool {
        seq <= self.floor || seq < self.base || self.spent.get(seq - self.base) || self.ended.get(seq - self.base)
    }

    pub(super) fn has_ended(&self, seq: u64) -> bool {
        seq >= self.base && self.ended.get(seq - self.base)
    }

    pub(super) fn mark_spent(&mut self, seq: u64) {
        if seq >= self.base {
            self.spent.set(seq - self.base);
        }
    }

    pub(super) fn mark_ended(&mut self, seq: u64) {
        if seq >= self.base {
            self.spent.set(seq - self.base);
            self.ended.set(seq - self.base);
        }
    }

    /// Puts a visitor in line; whoever calls has made sure that the number is free.
    pub(super) fn put_in_line(&mut self, vid: Vid, seq: u64) {
        self.line.insert(seq, vid);
        self.places.insert(vid, Place::Waiting(seq));
        self.waiting.set(seq - self.base);
    }

    pub(super) fn grant(&mut self, vid: Vid, seq: u64, until_ms: u64) {
        self.take_out(vid);
        self.grants.insert((until_ms, vid));
        self.places.insert(vid, Place::Granted { seq, until_ms });
    }

    pub(super) fn seat(&mut self, vid: Vid, seq: u64, until_ms: u64, began_ms: u64) {
        self.take_out(vid);
        self.sessions.insert((until_ms, vid));
        self.places.insert(vid, Place::Active { seq, until_ms, began_ms });
    }

    /// Out of the line, the turns or the sessions, wherever the visitor is.
    pub(super) fn take_out(&mut self, vid: Vid) -> Option<Place> {
        let place = self.places.remove(&vid)?;
        match place {
            Place::Waiting(seq) => {
                self.line.remove(&seq);
                self.waiting.unset(seq - self.base);
            }
            Place::Granted { until_ms, .. } => {
                self.grants.remove(&(until_ms, vid));
            }
            Place::Active { until_ms, .. } => {
                self.sessions.remove(&(until_ms, vid));
            }
        }
        Some(place)
    }

    /// Turns and sessions that are not overdue.
    pub(super) fn occupied(&self, now: Now) -> u64 {
        // Few are overdue: each tick sweeps them.
        let live = |set: &BTreeSet<(u64, Vid)>| (set.len() - set.range(..(now.ms, Vid([0; 12]))).count()) as u64;
        live(&self.grants) + live(&self.sessions)
    }

    /// Fills the bucket by the time that passed, and notices when the store went backwards.
    pub(super) fn refill(&mut self, seen: Seen, limits: Limits, now: Now) -> bool {
        if self.seq < seen.seq {
            self.seq = seen.seq + SEQ_MARGIN;
        }
        let rolled_back = self.admitted < seen.admitted;
        if rolled_back {
            self.admitted = seen.admitted;
            self.empty_bucket(now);
        }
        if now.us >= self.refilled_us {
            let earned = (now.us - self.refilled_us) as f64 * limits.rate_per_s / 1e6;
            self.tokens = (self.tokens + earned).min(limits.burst);
            self.refilled_us = now.us;
        } else if self.refilled_us - now.us > CLOCK_SLACK_US {
            self.empty_bucket(now);
        }
        rolled_back
    }

    pub(super) fn empty_bucket(&mut self, now: Now) {
        self.tokens = 0.0;
        self.refilled_us = now.us;
    }

    /// A number seen on a verified ticket was given out, whatever this store remembers.
    pub(super) fn outrun(&mut self, ticket: u64) {
        if ticket > self.seq {
            self.seq = ticket + SEQ_MARGIN;
        }
    }

    /// Forgets everything below a new base (a multiple of 8).
    pub(super) fn rebase(&mut self, base: u64) {
        if base <= self.base {
            return;
        }
        self.drop_line_below(base);
        let cut = (base - self.base) / 8;
        self.waiting.drop_front(cut);
        self.spent.drop_front(cut);
        self.ended.drop_front(cut);
        self.base = base;
    }

    /// Out of the line with everybody below this number.
    pub(super) fn drop_line_below(&mut self, seq: u64) {
        let kept = self.line.split_off(&seq);
        for (seq, vid) in std::mem::replace(&mut self.line, kept) {
            self.places.remove(&vid);
            self.waiting.unset(seq - self.base);
        }
    }
}

/// Refuses batches that are empty or too large.
pub(super) fn check_batch(len: usize) -> Result<(), StoreError> {
    if (1..=MAX_BATCH).contains(&len) {
        return Ok(());
    }
    Err(StoreError::Refused(format!("BATCH: a call takes 1 to {MAX_BATCH} visitors, not {len}")))
}

/// Refuses numbers that a store could not keep exactly.
pub(super) fn check_numbers(numbers: impl IntoIterator<Item = u64>) -> Result<(), StoreError> {
    match numbers.into_iter().find(|number| *number > LARGEST) {
        Some(number) => Err(bad_argument(&format!("{number} is larger than any ticket number or count"))),
        None => Ok(()),
    }
}

pub(super) fn check_seen(seen: Seen) -> Result<(), StoreError> {
    check_numbers([seen.seq, seen.admitted, seen.watermark, seen.base, seen.floor, seen.pause])
}

pub(super) fn check_limits(limits: Limits) -> Result<(), StoreError> {
    let sane = |number: f64| number.is_finite() && number >= 0.0;
    if !sane(limits.rate_per_s) || !sane(limits.burst) {
        return Err(bad_argument("rate and burst are finite and not negative"));
    }
    check_numbers([limits.max_active])
}

/// A time to live in whole milliseconds, at least one.
pub(super) fn check_ttl(ttl: std::time::Duration) -> Result<u64, StoreError> {
    match u64::try_from(ttl.as_millis()) {
        Ok(ms) if (1..=LARGEST).contains(&ms) => Ok(ms),
        _ => Err(bad_argument("a time to live is at least a millisecond")),
    }
}

pub(super) fn bad_argument(what: &str) -> StoreError {
    StoreError::Refused(format!("ARG: {what}"))
}

pub(super) fn out_of_window(seq: u64) -> StoreError {
    StoreError::Refused(format!("SPAN: number {seq} is too far from those in line"))
}
