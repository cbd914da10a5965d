//! What operators and the housekeeping do: snapshot, flush, reset, pause, trim.

use super::super::{BitSpan, Detail, Epoch, RoomPicture, SEQ_MARGIN, Seen, StoreError};
use super::bits::Bits;
use super::state::{Now, Place, Room, bad_argument, check_numbers, check_seen};

impl Room {
    /// See `snapshot` of the store. Changes nothing.
    pub(super) fn picture(&self, detail: Detail, now: Now) -> RoomPicture {
        let span = |bits: &Bits, offset: u64, wanted: bool| BitSpan {
            first: self.base + offset * 8,
            bytes: if wanted { bits.tail(offset) } else { Vec::new() },
        };
        let from_head = (self.head().unwrap_or(self.seq).saturating_sub(self.base)) / 8;
        RoomPicture {
            epoch: self.epoch,
            seq: self.seq,
            base: self.base,
            floor: self.floor,
            admitted: self.admitted,
            watermark: self.watermark,
            hold: self.hold_left(now),
            pause: self.pause,
            cold: self.cold_until_us > now.us,
            waiting: self.line.len() as u64,
            granted: self.grants.len() as u64,
            active: self.sessions.len() as u64,
            now_ms: now.ms,
            waiting_bits: span(&self.waiting, from_head, detail != Detail::Counters),
            ended_bits: span(&self.ended, 0, matches!(detail, Detail::Polls | Detail::Everything)),
            spent_bits: span(&self.spent, 0, detail == Detail::Everything),
        }
    }

    /// See `flush` of the store: the line and the unclaimed turns are gone, their tickets void.
    pub(super) fn flush(&mut self, seen: Seen, nonce: &str) -> Result<(u64, u64), StoreError> {
        check_seen(seen)?;
        if nonce.is_empty() {
            return Err(bad_argument("a flush has a nonce"));
        }
        if self.flushed == nonce {
            return Ok((self.floor, 0));
        }
        if self.seq < seen.seq {
            self.seq = seen.seq + SEQ_MARGIN;
        }
        let dropped = (self.line.len() + self.grants.len()) as u64;
        self.line.clear();
        self.grants.clear();
        self.waiting.clear();
        self.places.retain(|_, place| matches!(place, Place::Active { .. }));
        self.floor = self.seq;
        nonce.clone_into(&mut self.flushed);
        Ok((self.floor, dropped))
    }

    /// See `reset` of the store. Tokens, pause and hold go on: a reset is no second burst.
    pub(super) fn reset(&mut self, now: Now) -> Epoch {
        let epoch = Epoch { generation: self.epoch.generation + 1, life: self.epoch.life };
        *self = Self {
            // From 1, not 0, so that a node that saw the new generation counts as knowing it.
            seq: 1,
            floor: 1,
            tokens: self.tokens,
            refilled_us: self.refilled_us,
            hold_until_us: self.hold_until_us,
            pause: self.pause,
            ..Self::empty(epoch, now)
        };
        epoch
    }

    /// See `set_paused` of the store. The counter only rises, so that after a loss the later order wins.
    pub(super) fn set_paused(&mut self, seen: Seen, paused: bool) -> Result<u64, StoreError> {
        check_seen(seen)?;
        self.pause = self.pause.max(seen.pause);
        if self.paused() != paused {
            self.pause += 1;
        }
        Ok(self.pause)
    }

    /// See `trim` of the store.
    pub(super) fn trim(&mut self, keep: u64, at_least: u64) -> Result<u64, StoreError> {
        check_numbers([keep, at_least])?;
        let head = self.head().unwrap_or(self.seq);
        if head.saturating_sub(self.base) >= at_least {
            self.rebase(head.min(self.watermark).saturating_sub(keep) / 8 * 8);
        }
        Ok(self.base)
    }
}
