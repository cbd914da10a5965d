//! Numbers that this node alone may know to be over: turns taken up here and sessions ended here that no snapshot has
//! shown yet. A store that lost its last writes is given them, or it would let the same visitors in again.

use std::sync::{Mutex, PoisonError};

use crate::rank::RankIndex;
use crate::store::{BitSpan, Epoch};

/// More than are taken up between two looks at everything, at any rate that a store can keep up with.
const MOST: usize = 1_000_000;

/// One span has at most this many bits: numbers that lie far apart get spans of their own.
const SPAN_BITS: u64 = 65_536;

/// Turns taken up here, until a snapshot shows them as spent.
#[derive(Debug, Default)]
pub(super) struct Spent(Mutex<Vec<(Epoch, u64)>>);

impl Spent {
    /// Remembers one.
    pub(super) fn note(&self, epoch: Epoch, seq: u64) {
        let mut numbers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if numbers.len() < MOST {
            numbers.push((epoch, seq));
        }
    }

    /// Forgets what is of another epoch, and what the store has and the keeper remembers from now on.
    pub(super) fn settle(&self, epoch: Epoch, base: u64, shown: &BitSpan) {
        let mut numbers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if numbers.is_empty() {
            return;
        }
        let shown = RankIndex::build(shown);
        numbers.retain(|(of, seq)| *of == epoch && *seq >= base && !shown.contains(*seq));
    }

    /// Those of this epoch.
    pub(super) fn of(&self, epoch: Epoch) -> Vec<u64> {
        let numbers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        numbers.iter().filter(|(of, _)| *of == epoch).map(|(_, seq)| *seq).collect()
    }
}

/// These numbers as runs of bits.
pub(super) fn spans(mut numbers: Vec<u64>) -> Vec<BitSpan> {
    numbers.sort_unstable();
    let mut spans: Vec<BitSpan> = Vec::new();
    for seq in numbers {
        let first = seq - seq % 8;
        match spans.last_mut() {
            Some(span) if seq - span.first < SPAN_BITS => set(span, seq),
            _ => {
                let mut span = BitSpan { first, bytes: Vec::new() };
                set(&mut span, seq);
                spans.push(span);
            }
        }
    }
    spans
}

/// Sets a bit that is not before the span.
fn set(span: &mut BitSpan, seq: u64) {
    let bit = seq - span.first;
    // Bounded by the length of a span.
    let byte = (bit / 8) as usize;
    if span.bytes.len() <= byte {
        span.bytes.resize(byte + 1, 0);
    }
    span.bytes[byte] |= 0x80 >> (bit % 8);
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Epoch = Epoch { generation: 1, life: 7 };

    #[test]
    fn numbers_become_spans_and_far_ones_their_own() {
        let far = 1 << 40;
        let expected = [
            BitSpan { first: 8, bytes: vec![0b0100_0001, 0b1000_0000] },
            BitSpan { first: far, bytes: vec![0b0001_0000] },
        ];
        assert_eq!(spans(vec![far + 3, 16, 9, 15, 9]), expected);
        assert_eq!(spans(Vec::new()), []);
    }

    #[test]
    fn what_a_snapshot_shows_or_cannot_show_is_forgotten() {
        let spent = Spent::default();
        let before = Epoch { generation: 0, ..NOW };
        for (epoch, seq) in [(NOW, 7), (NOW, 9), (NOW, 10), (before, 10)] {
            spent.note(epoch, seq);
        }
        assert_eq!(spent.of(NOW), [7, 9, 10]);
        spent.settle(NOW, 8, &BitSpan { first: 8, bytes: vec![0b0100_0000] });
        assert_eq!((spent.of(NOW), spent.of(before)), (vec![10], vec![]));
    }
}
