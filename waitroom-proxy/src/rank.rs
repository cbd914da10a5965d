//! Positions from a bitmap: how many wait before a number. Pure; knows no store and no clock.

use crate::store::BitSpan;

/// Words of 64 bits in a block: one count is kept for each block, the rest is counted at lookup.
///
/// Eight words are one cache line, and make the counts a sixteenth of the bitmap's size.
const BLOCK_WORDS: usize = 8;

/// A bitmap of who waits, with prefix counts: a lookup reads one count and at most one cache line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RankIndex {
    /// The seq of bit 0.
    first: u64,
    /// The bits, the first seq in the most significant bit (the order Redis keeps them in).
    words: Vec<u64>,
    /// How many bits are set before each block.
    before: Vec<u32>,
    /// How many bits are set in all.
    count: u64,
}

impl RankIndex {
    /// Indexes a bitmap. Linear: some tens of µs for a million numbers in an optimised build.
    #[must_use]
    pub fn build(span: &BitSpan) -> Self {
        let mut words = Vec::with_capacity(span.bytes.len().div_ceil(8));
        let mut chunks = span.bytes.chunks_exact(8);
        for chunk in &mut chunks {
            let mut word = [0; 8];
            word.copy_from_slice(chunk);
            words.push(u64::from_be_bytes(word));
        }
        let rest = chunks.remainder();
        if !rest.is_empty() {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            words.push(u64::from_be_bytes(word));
        }
        let mut before = Vec::with_capacity(words.len().div_ceil(BLOCK_WORDS));
        let mut count = 0_u32;
        for block in words.chunks(BLOCK_WORDS) {
            before.push(count);
            count += block.iter().map(|word| word.count_ones()).sum::<u32>();
        }
        Self { first: span.first, words, before, count: u64::from(count) }
    }

    /// Whether this number waits.
    #[must_use]
    pub fn contains(&self, seq: u64) -> bool {
        self.locate(seq).is_some_and(|(word, bit)| (self.words[word] << bit) >> 63 == 1)
    }

    /// How many wait at numbers below this one; the position of a waiting number is one more.
    #[must_use]
    pub fn rank(&self, seq: u64) -> u64 {
        if seq < self.first {
            return 0;
        }
        let Some((word, bit)) = self.locate(seq) else { return self.count };
        let block = word / BLOCK_WORDS;
        let mut rank = self.before[block];
        for earlier in &self.words[block * BLOCK_WORDS..word] {
            rank += earlier.count_ones();
        }
        // The bits above the wanted one; a shift by 64 is not defined, hence the two steps.
        rank += ((self.words[word] >> 1) >> (63 - bit)).count_ones();
        u64::from(rank)
    }

    /// How many wait in all.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The first number that waits.
    #[must_use]
    pub fn first(&self) -> Option<u64> {
        let at = self.words.iter().position(|word| *word != 0)?;
        Some(self.first + at as u64 * 64 + u64::from(self.words[at].leading_zeros()))
    }

    /// The word and the bit in it (0 is the most significant) of a number inside the span.
    fn locate(&self, seq: u64) -> Option<(usize, u32)> {
        let bit = seq.checked_sub(self.first)?;
        let word = usize::try_from(bit / 64).ok()?;
        (word < self.words.len()).then_some((word, (bit % 64) as u32))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_empty_bitmap_has_nobody() {
        let index = RankIndex::build(&BitSpan::default());
        assert_eq!((index.count(), index.first(), index.rank(0), index.rank(7)), (0, None, 0, 0));
        assert!(!index.contains(0));
    }

    #[test]
    fn the_first_number_is_the_most_significant_bit() {
        let index = RankIndex::build(&BitSpan { first: 16, bytes: vec![0b1000_0001, 0b0100_0000] });
        let waiting: Vec<u64> = (0..64).filter(|seq| index.contains(*seq)).collect();
        assert_eq!(waiting, [16, 23, 25]);
        assert_eq!(
            (index.rank(16), index.rank(17), index.rank(25), index.rank(26), index.rank(u64::MAX)),
            (0, 1, 2, 3, 3)
        );
        assert_eq!(index.first(), Some(16));
    }

    proptest! {
        #[test]
        fn ranks_equal_a_plain_count(first in 0_u64..1_000, bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let index = RankIndex::build(&BitSpan { first, bytes: bytes.clone() });
            let set = |seq: u64| {
                seq.checked_sub(first).and_then(|bit| bytes.get((bit / 8) as usize).map(|byte| byte >> (7 - bit % 8) & 1 == 1)).unwrap_or(false)
            };
            let mut before = 0;
            for seq in 0..first + bytes.len() as u64 * 8 + 100 {
                prop_assert_eq!(index.rank(seq), before, "rank of {}", seq);
                prop_assert_eq!(index.contains(seq), set(seq), "bit of {}", seq);
                before += u64::from(set(seq));
            }
            prop_assert_eq!(index.count(), before);
            prop_assert_eq!(index.first(), (0..first + bytes.len() as u64 * 8).find(|seq| set(*seq)));
        }
    }
}
