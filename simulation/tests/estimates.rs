//! What visitors are told of their wait, against the wait: right four times out of five, in every kind of sale.

/// Of a hundred statements so many must be right, by the issue that asked for it.
const RIGHT: f64 = 0.8;

#[test]
fn the_true_wait_lies_in_the_range_four_times_out_of_five() {
    for coverage in simulation::estimates::coverage(1) {
        println!("seed {}: {coverage}", coverage.seed);
        assert!(coverage.judged > 1_000, "seed {}: {coverage}", coverage.seed);
        assert!(coverage.share() >= RIGHT, "seed {}: {coverage}", coverage.seed);
        assert_eq!(coverage.too_wide, 0, "seed {}: {coverage}", coverage.seed);
    }
}
