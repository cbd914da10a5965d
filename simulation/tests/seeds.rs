//! Ten seeds of the whole queue: nodes, visitors, faults, and no broken promise.

use simulation::check::{Broken, check};

/// The first of the seeds; `loadtest simulate --check --seed N --seeds M` plays any others.
const FIRST: u64 = 1;
const SEEDS: u64 = 10;

#[test]
fn every_invariant_holds_over_ten_seeds() {
    let mut broken: Vec<Broken> = Vec::new();
    for seed in FIRST..FIRST + SEEDS {
        println!("seed {seed}");
        match check(seed) {
            Ok(witness) => println!("{witness}"),
            Err(promise) => broken.push(promise),
        }
    }
    let sentences: Vec<String> = broken.iter().map(ToString::to_string).collect();
    assert!(broken.is_empty(), "{}", sentences.join("\n"));
}
