//! What a queue token promises, checked from outside the crate.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod craft;
mod keys;
mod properties;
mod refused;
mod second_opinion;
mod vectors;
