//! What a room looks like, as the store tells it: counters and bitmaps of one moment.

use std::time::Duration;

use super::{Epoch, Seen};

/// A run of bits, one a seq; the most significant bit of the first byte is `first`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BitSpan {
    /// The seq of the first bit.
    pub first: u64,
    /// The bits, eight seqs a byte.
    pub bytes: Vec<u8>,
}

/// A consistent picture of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomPicture {
    /// Which incarnation.
    pub epoch: Epoch,
    /// Highest number given out.
    pub seq: u64,
    /// Bit 0 of the bitmaps.
    pub base: u64,
    /// Tickets up to here were flushed.
    pub floor: u64,
    /// Admissions since the generation began.
    pub admitted: u64,
    /// Highest seq ever granted.
    pub watermark: u64,
    /// No grants for this long.
    pub hold: Duration,
    /// The pause counter: odd is paused.
    pub pause: u64,
    /// Started from nothing a short while ago: yields to whoever proves more.
    pub cold: bool,
    /// In line.
    pub waiting: u64,
    /// With a turn not yet claimed (may include overdue ones not swept yet).
    pub granted: u64,
    /// With a session (may include overdue ones not swept yet).
    pub active: u64,
    /// The store's clock, milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// Who waits.
    pub waiting_bits: BitSpan,
    /// Whose session ended for good.
    pub ended_bits: BitSpan,
    /// Whose ticket is spent; empty unless asked for.
    pub spent_bits: BitSpan,
}

/// Counters without the bitmaps are enough for an operator's look; polls need the bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Counters only.
    Counters,
    /// Counters, and waiting bits from the first in line on.
    Line,
    /// Counters, waiting bits from the first in line on, ended bits.
    Polls,
    /// Everything: what a node keeps in order to give it back after a loss.
    Everything,
}

impl BitSpan {
    /// Drops the zeros at the end: they say nothing.
    pub fn trim_zeros(&mut self) {
        let end = self.bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
        self.bytes.truncate(end);
    }
}

impl RoomPicture {
    /// Whether an operator has paused the room.
    #[must_use]
    pub fn paused(&self) -> bool {
        self.pause % 2 == 1
    }

    /// The part of the picture that a node remembers.
    #[must_use]
    pub fn seen(&self) -> Seen {
        Seen {
            seq: self.seq,
            admitted: self.admitted,
            watermark: self.watermark,
            base: self.base,
            floor: self.floor,
            pause: self.pause,
        }
    }
}
