//! After a loss: recover a room, give remembered bits back.

use std::time::Duration;

use super::super::{BitKind, BitSpan, Epoch, Recovered, Recovery, SEQ_MARGIN, Seen, StoreError};
use super::bits::{set_bits, without_trailing_zeros};
use super::state::{BIT_WINDOW, LARGEST, Now, Place, Room, bad_argument, check_numbers, check_seen, out_of_window};

/// What a node brings to a recovery.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    pub(super) epoch: Epoch,
    pub(super) seen: Seen,
    pub(super) hold: Duration,
    pub(super) burst: f64,
    pub(super) fresh_life: u32,
}

impl Memory {
    fn hold_until_us(&self, now: Now) -> u64 {
        now.us + self.hold.as_millis() as u64 * 1_000
    }

    fn check(&self) -> Result<(), StoreError> {
        check_seen(self.seen)?;
        check_numbers([self.epoch.generation])?;
        let known = self.seen.seq == 0 || self.epoch.life != 0;
        if !known || self.fresh_life == 0 {
            return Err(bad_argument("whoever knows numbers knows the room's life, and a fresh life is not 0"));
        }
        if !self.seen.base.is_multiple_of(8) {
            return Err(bad_argument("a base is a multiple of 8"));
        }
        if self.hold.as_millis() > u128::from(LARGEST) || !self.burst.is_finite() || self.burst < 0.0 {
            return Err(bad_argument("hold and burst are finite and not negative"));
        }
        Ok(())
    }
}

impl Room {
    /// See `recover` of the store. `room` is `None` when the state is gone.
    pub(super) fn recover(room: &mut Option<Self>, node: Memory, now: Now) -> Result<Recovered, StoreError> {
        node.check()?;
        let how = match room {
            None => Self::begin(room, node, node.burst, now),
            Some(store) => match Self::choose(store, node, now) {
                Choice::Yield => return Err(StoreError::Superseded(store.epoch)),
                Choice::Merge => {
                    store.merge(node, now);
                    Recovery::Merged
                }
                Choice::TakeOver => Self::begin(room, node, 0.0, now),
            },
        };
        let Some(store) = room else { return Err(StoreError::Lost) };
        if store.seq < store.floor.max(store.base) {
            // No new number may be void.
            store.seq = store.floor.max(store.base) + SEQ_MARGIN;
        }
        Ok(Recovered {
            how,
            epoch: store.epoch,
            seen: store.picture(super::super::Detail::Counters, now).seen(),
            hold: store.hold_left(now),
            cold: store.cold_until_us > now.us,
        })
    }

    /// Who holds the truth: the store, the node, or both of one life.
    fn choose(store: &Self, node: Memory, now: Now) -> Choice {
        let other_life = node.epoch.life != 0 && node.epoch.life != store.epoch.life;
        let knows = node.seen.seq > 0;
        match node.epoch.generation.cmp(&store.epoch.generation) {
            std::cmp::Ordering::Less => Choice::Yield,
            std::cmp::Ordering::Greater => Choice::TakeOver,
            // Numbers of two lives must never be taken for one another.
            std::cmp::Ordering::Equal if other_life && knows && store.cold_until_us > now.us => Choice::TakeOver,
            std::cmp::Ordering::Equal if other_life => Choice::Yield,
            std::cmp::Ordering::Equal => Choice::Merge,
        }
    }

    /// Starts from what the node knows: its own life, or a fresh one. Whatever the store had is dropped.
    fn begin(room: &mut Option<Self>, node: Memory, tokens: f64, now: Now) -> Recovery {
        let earlier_pause = room.as_ref().map_or(0, |store| store.pause);
        let knows = node.seen.seq > 0;
        let life = if knows { node.epoch.life } else { node.fresh_life };
        let until = node.hold_until_us(now);
        *room = Some(Self {
            seq: if knows { node.seen.seq + SEQ_MARGIN } else { 0 },
            base: node.seen.base,
            floor: node.seen.floor,
            admitted: node.seen.admitted,
            watermark: node.seen.watermark,
            // The later order wins.
            pause: node.seen.pause.max(earlier_pause),
            tokens: if knows { 0.0 } else { tokens },
            hold_until_us: if knows { until } else { 0 },
            cold_until_us: if knows { 0 } else { until },
            ..Self::empty(Epoch { generation: node.epoch.generation, life }, now)
        });
        if knows { Recovery::Restored } else { Recovery::Fresh }
    }

    /// Both know the same life: the larger of each value holds.
    fn merge(&mut self, node: Memory, now: Now) {
        let seen = node.seen;
        if self.cold_until_us <= now.us {
            self.cold_until_us = 0;
        }
        if self.seq < seen.seq {
            self.seq = seen.seq + SEQ_MARGIN;
        }
        if self.admitted < seen.admitted {
            // Never grant the lost interval again. A later tick could not see it any more.
            self.admitted = seen.admitted;
            self.empty_bucket(now);
        }
        self.watermark = self.watermark.max(seen.watermark);
        self.pause = self.pause.max(seen.pause);
        self.rebase(seen.base);
        if self.floor < seen.floor {
            self.floor = seen.floor;
            self.drop_line_below(seen.floor + 1);
            self.take_out_where(|place| matches!(place, Place::Granted { seq, .. } if seq <= seen.floor));
        }
    }

    /// See `merge_bits` of the store. Who waits with such a bit leaves the line.
    pub(super) fn merge_bits(&mut self, kind: BitKind, span: &BitSpan) -> Result<u64, StoreError> {
        check_numbers([span.first])?;
        if !span.first.is_multiple_of(8) {
            return Err(bad_argument("bits begin at a multiple of 8"));
        }
        let bytes = without_trailing_zeros(&span.bytes);
        let end = span.first + bytes.len() as u64 * 8;
        if bytes.is_empty() || end <= self.base {
            return Ok(0);
        }
        if end - self.base >= BIT_WINDOW {
            return Err(out_of_window(end));
        }
        let (mut new, mut highest) = (0, 0);
        for seq in set_bits(bytes).map(|bit| span.first + bit) {
            if seq < self.base {
                continue;
            }
            highest = seq;
            let bits = if kind == BitKind::Spent { &mut self.spent } else { &mut self.ended };
            new += u64::from(!bits.get(seq - self.base));
            bits.set(seq - self.base);
            if let Some(vid) = self.line.get(&seq).copied() {
                self.take_out(vid);
            }
        }
        if kind == BitKind::Ended && new > 0 {
            let (base, ended) = (self.base, self.ended.clone());
            self.take_out_where(|place| place.seq() >= base && ended.get(place.seq() - base));
        }
        // Somebody had that number.
        self.outrun(highest);
        Ok(new)
    }

    fn take_out_where(&mut self, wanted: impl Fn(Place) -> bool) {
        let gone: Vec<_> = self.places.iter().filter(|(_, place)| wanted(**place)).map(|(vid, _)| *vid).collect();
        for vid in gone {
            self.take_out(vid);
        }
    }
}

enum Choice {
    Yield,
    Merge,
    TakeOver,
}
