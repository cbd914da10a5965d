//! Heartbeats of this node: one bit a visitor, set by polls without a lock and without a call of the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

use crate::store::Report;

/// Numbers in a chunk: 4 KiB of bits. Chunks exist where somebody was heard.
const CHUNK: u64 = 64 * WORDS as u64;
const WORDS: usize = 512;

/// As many chunks as the widest line has. More would mean a number that no store gives out; it is not noted.
const MOST_CHUNKS: usize = 4_096;

type Chunk = [AtomicU64; WORDS];

/// Whom this node heard since it last looked.
#[derive(Debug, Default)]
pub(super) struct Beats {
    /// By number of the chunk, in order. Copied when one is added, which is rare; the bits themselves are shared.
    chunks: ArcSwap<Vec<(u64, Arc<Chunk>)>>,
}

/// Numbers, as words of 64: the most significant bit is the lowest number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    /// The number of the first word; the first bit is 64 times this.
    first: u64,
    words: Vec<u64>,
}

impl Beats {
    /// Notes that this number was heard.
    pub(super) fn beat(&self, seq: u64) {
        let chunk = seq / CHUNK;
        let (word, bit) = place(seq);
        let chunks = self.chunks.load();
        if let Ok(at) = chunks.binary_search_by_key(&chunk, |(number, _)| *number) {
            set(&chunks[at].1[word], bit);
            return;
        }
        if chunks.len() >= MOST_CHUNKS {
            return;
        }
        let fresh: Arc<Chunk> = Arc::new(std::array::from_fn(|_| AtomicU64::new(0)));
        set(&fresh[word], bit);
        self.chunks.rcu(|chunks| {
            let mut chunks = Vec::clone(chunks);
            match chunks.binary_search_by_key(&chunk, |(number, _)| *number) {
                // Somebody else was faster: their chunk counts.
                Ok(at) => set(&chunks[at].1[word], bit),
                Err(at) => chunks.insert(at, (chunk, fresh.clone())),
            }
            chunks
        });
    }

    /// Whether this number was heard since the last drain.
    pub(super) fn contains(&self, seq: u64) -> bool {
        let chunks = self.chunks.load();
        let (word, bit) = place(seq);
        chunks
            .binary_search_by_key(&(seq / CHUNK), |(number, _)| *number)
            .is_ok_and(|at| chunks[at].1[word].load(Ordering::Relaxed) & bit != 0)
    }

    /// Moves what was heard into `marks`, bit by bit, so that none is lost. Chunks wholly below `gone` are dropped.
    pub(super) fn drain(&self, gone: u64, mut mark: impl FnMut(u64, u64)) {
        let chunks = self.chunks.load_full();
        for (number, chunk) in chunks.iter() {
            for (at, word) in chunk.iter().enumerate() {
                if word.load(Ordering::Relaxed) != 0 {
                    mark(number * WORDS as u64 + at as u64, word.swap(0, Ordering::Relaxed));
                }
            }
        }
        let is_gone = |number: u64| (number + 1) * CHUNK <= gone;
        if chunks.iter().any(|(number, _)| is_gone(*number)) {
            self.chunks
                .rcu(|chunks| chunks.iter().filter(|(number, _)| !is_gone(*number)).cloned().collect::<Vec<_>>());
        }
    }
}

impl Marks {
    /// Adds the numbers of a word.
    pub(super) fn add(&mut self, word: u64, bits: u64) {
        if self.words.is_empty() {
            self.first = word;
        }
        if word < self.first {
            let missing = usize::try_from(self.first - word).unwrap_or(usize::MAX);
            self.words.splice(0..0, std::iter::repeat_n(0, missing));
            self.first = word;
        }
        let at = usize::try_from(word - self.first).unwrap_or(usize::MAX);
        if at >= self.words.len() {
            self.words.resize(at + 1, 0);
        }
        self.words[at] |= bits;
    }

    /// Whether this number is here.
    pub(super) fn contains(&self, seq: u64) -> bool {
        let word = (seq / 64).checked_sub(self.first).and_then(|at| self.words.get(usize::try_from(at).ok()?));
        word.is_some_and(|word| word & place(seq).1 != 0)
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.words.clear();
    }

    /// A report on the numbers from `from` (or a little before) to before `to`.
    pub(super) fn report(&self, from: u64, to: u64) -> Report {
        let first = from / 64;
        let word = |at: u64| at.checked_sub(self.first).and_then(|at| self.words.get(usize::try_from(at).ok()?));
        let end = (self.first + self.words.len() as u64).min(to.div_ceil(64));
        let bytes = (first..end).flat_map(|at| word(at).copied().unwrap_or(0).to_be_bytes()).collect();
        Report { first: first * 64, to, bytes }
    }
}

fn place(seq: u64) -> (usize, u64) {
    // Within a chunk, so it fits.
    ((seq % CHUNK / 64) as usize, 1 << (63 - seq % 64))
}

fn set(word: &AtomicU64, bit: u64) {
    // Most polls find their bit set, and then leave the cache line alone.
    if word.load(Ordering::Relaxed) & bit == 0 {
        word.fetch_or(bit, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drained(beats: &Beats, gone: u64) -> Marks {
        let mut marks = Marks::default();
        beats.drain(gone, |word, bits| marks.add(word, bits));
        marks
    }

    #[test]
    fn a_heartbeat_is_reported_once() {
        let beats = Beats::default();
        for seq in [1, 70, 71, 100_000, 70, 3_000_000] {
            beats.beat(seq);
        }
        assert!(beats.contains(71) && !beats.contains(72));
        let marks = drained(&beats, 0);
        assert!([1, 70, 71, 100_000, 3_000_000].iter().all(|seq| marks.contains(*seq)) && !marks.contains(72));
        assert!(!beats.contains(71));
        assert_eq!(drained(&beats, 0), Marks::default());
    }

    #[test]
    fn a_report_has_the_numbers_asked_for_and_says_so() {
        let mut marks = Marks::default();
        for seq in [300, 65, 64, 130] {
            marks.add(seq / 64, place(seq).1);
        }
        assert_eq!(marks.report(70, 200), Report { first: 64, to: 200, bytes: report_bytes(&[64, 65, 130], 64, 256) });
        assert_eq!(marks.report(640, 700), Report { first: 640, to: 700, bytes: Vec::new() });
        assert_eq!(Marks::default().report(0, 9), Report { first: 0, to: 9, bytes: Vec::new() });
    }

    fn report_bytes(seqs: &[u64], first: u64, to: u64) -> Vec<u8> {
        let mut bytes = vec![0; ((to - first) / 8) as usize];
        seqs.iter().for_each(|seq| bytes[((seq - first) / 8) as usize] |= 0x80_u8 >> (seq % 8));
        bytes
    }

    #[test]
    fn no_heartbeat_is_lost_between_threads_and_drains() {
        const EACH: u64 = 50_000;
        let beats = Beats::default();
        let mut marks = Marks::default();
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..4)
                .map(|writer| {
                    let beats = &beats;
                    scope.spawn(move || (0..EACH).for_each(|at| beats.beat(at * 4 + writer)))
                })
                .collect();
            while writers.iter().any(|writer| !writer.is_finished()) {
                beats.drain(0, |word, bits| marks.add(word, bits));
            }
        });
        beats.drain(0, |word, bits| marks.add(word, bits));
        assert_eq!((0..4 * EACH).find(|seq| !marks.contains(*seq)), None);
    }

    #[test]
    fn chunks_that_everybody_has_left_are_dropped() {
        let beats = Beats::default();
        beats.beat(5);
        beats.beat(CHUNK + 5);
        drained(&beats, CHUNK);
        assert_eq!(beats.chunks.load().len(), 1);
        beats.beat(6);
        assert!(beats.contains(6), "somebody who came back");
    }
}
