//! A small seeded generator: the same seed makes the same run.

use std::cell::RefCell;

/// SplitMix64 (Steele, Lea and Flood, 2014).
#[derive(Clone, Debug)]
pub(crate) struct Chance {
    state: u64,
}

thread_local! {
    /// What the nodes draw from: visitors' ids, a room's life, a node's id. They draw by plain functions.
    static DRAWN: RefCell<Chance> = const { RefCell::new(Chance { state: 0 }) };
}

impl Chance {
    /// A generator for one purpose within a run.
    pub(crate) fn new(seed: u64, purpose: u64) -> Self {
        let mut chance = Self { state: seed ^ purpose.wrapping_mul(0xA076_1D64_78BD_642F) };
        chance.next();
        chance
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from 0 to `bound` - 1.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// A number in [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether something of this probability happens.
    pub(crate) fn happens(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// A time that ends at any moment with the same probability.
    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }
}

/// What the nodes of this thread draw from now on.
pub(crate) fn seed_drawing(seed: u64) {
    DRAWN.with_borrow_mut(|chance| *chance = Chance::new(seed, 0x6e6f_6465));
}

/// Draws for a node.
pub(crate) fn draw() -> u64 {
    DRAWN.with_borrow_mut(Chance::next)
}

/// Draws a room's life, or half of a node's id.
pub(crate) fn draw_life() -> u32 {
    (draw() as u32).max(1)
}
