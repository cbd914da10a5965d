//! When visitors arrive: decided before the run, so that a slow site cannot slow the crowd down (open loop).
//! Must not read a clock.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::SmallRng};

/// How arrivals are spread over their time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Spread {
    /// As independent people arrive: lumps and gaps.
    Poisson,
    /// One exactly like the other.
    Even,
}

/// When each visitor arrives, counted from the start, in order.
///
/// A Poisson process of which one knows that it had `visitors` arrivals in `over` is that many uniform
/// points in order (Ross, *Introduction to Probability Models*, theorem 5.2).
pub fn arrivals(visitors: usize, over: Duration, spread: Spread, seed: u64) -> Vec<Duration> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut times: Vec<Duration> = (0..visitors)
        .map(|number| match spread {
            Spread::Poisson => over.mul_f64(rng.random::<f64>()),
            Spread::Even => over.mul_f64(number as f64 / visitors as f64),
        })
        .collect();
    times.sort_unstable();
    times
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_crowd_and_another_one_another() {
        let of = |seed| arrivals(500, Duration::from_secs(10), Spread::Poisson, seed);
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        assert!(of(1).is_sorted() && of(1).iter().all(|at| *at < Duration::from_secs(10)));
    }

    #[test]
    fn even_arrivals_are_one_step_apart() {
        let even = arrivals(4, Duration::from_secs(2), Spread::Even, 9);
        assert_eq!(even, [0, 500, 1000, 1500].map(Duration::from_millis));
        assert!(arrivals(0, Duration::from_secs(2), Spread::Even, 9).is_empty());
    }
}
