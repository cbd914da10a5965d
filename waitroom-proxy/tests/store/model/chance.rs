//! A small seeded generator: the same seed makes the same run.

/// Names of the operations, for counting.
pub(super) const NAMES: [&str; 14] = [
    "Join",
    "Enter",
    "Tick",
    "Claim",
    "Touch",
    "End",
    "Reap",
    "Snapshot",
    "Recover",
    "MergeBits",
    "Flush",
    "Reset",
    "SetPaused",
    "Trim",
];

/// SplitMix64 (Steele, Lea and Flood, 2014).
pub(super) struct Chance {
    pub(super) seed: u64,
    state: u64,
}

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, state: seed }
    }

    pub(super) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from 0 to `bound` - 1.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub(super) fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    pub(super) fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        let at = self.below(from.len() as u64);
        from.get(usize::try_from(at).ok()?).cloned()
    }

    /// Up to `count` of them, some perhaps twice.
    pub(super) fn some<T: Clone>(&mut self, from: &[T], count: u64) -> Vec<T> {
        (0..count).filter_map(|_| self.pick(from)).collect()
    }
}
