//! What visitors are told of their wait, against the wait: right four times out of five, in every kind of sale.

/// Of a hundred statements so many must be right, by the issue that asked for it.
const RIGHT: f64 = 0.8;

/// Plays every sale with this seed.
fn holds(seed: u64) {
    for coverage in simulation::estimates::coverage(seed) {
        println!("seed {}: {coverage}", coverage.seed);
        assert!(coverage.judged > 1_000, "seed {}: {coverage}", coverage.seed);
        assert!(coverage.share() >= RIGHT, "seed {}: {coverage}", coverage.seed);
        assert_eq!(coverage.too_wide, 0, "seed {}: {coverage}", coverage.seed);
    }
}

#[test]
fn the_true_wait_lies_in_the_range_four_times_out_of_five_with_seed_1() {
    holds(1);
}

#[test]
fn the_true_wait_lies_in_the_range_four_times_out_of_five_with_seed_2() {
    holds(2);
}

#[test]
fn the_true_wait_lies_in_the_range_four_times_out_of_five_with_seed_3() {
    holds(3);
}
