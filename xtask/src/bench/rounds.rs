//! Runs variants round by round (A B C A B C …), and makes medians and spreads of them.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::load::{self, Target};
use super::proc;

/// The core of the server under test.
pub(super) const SERVER_CORE: usize = 0;

/// The core of the load and of what stands behind the server.
pub(super) const LOAD_CORE: usize = 1;

/// A round counts as undisturbed when everybody else used less of the machine than this, in cores.
const DISTURBED_CORES: f64 = 0.12;

const WARM_UP: Duration = Duration::from_secs(1);

/// One server with one kind of request.
#[derive(Debug)]
pub(super) struct Variant {
    pub(super) name: &'static str,
    pub(super) target: Target,
    /// The server under test.
    pub(super) server: u32,
    /// What it asks itself, on the other core.
    pub(super) behind: Option<u32>,
}

/// One measurement of one variant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) per_s: f64,
    pub(super) p99_ms: f64,
    /// Processor time of the server for a request.
    pub(super) cpu_us: f64,
    /// How busy the core of the load was; near 1 the load was the limit.
    pub(super) load_core: f64,
    /// What others used of the machine, in cores.
    pub(super) others: f64,
}

impl Sample {
    pub(super) fn disturbed(&self) -> bool {
        self.others >= DISTURBED_CORES
    }
}

/// Measures all variants in each of `rounds` rounds: `samples[variant][round]`.
pub(super) async fn run(variants: &[Variant], rounds: u32, time: Duration) -> Result<Vec<Vec<Sample>>> {
    let cores = proc::cores_us()?.len();
    ensure!(cores > LOAD_CORE, "a benchmark needs two cores, one for the server and one for the load; here is {cores}");
    let mut samples: Vec<Vec<Sample>> = variants.iter().map(|_| Vec::new()).collect();
    for round in 1..=rounds {
        for (variant, samples) in variants.iter().zip(&mut samples) {
            load::put(&variant.target, LOAD_CORE, WARM_UP).await?;
            let sample = measure(variant, time).await?;
            let note = if sample.disturbed() { "  (disturbed)" } else { "" };
            println!(
                "  round {round}  {:<28} {:>9.0}/s  p99 {:>6.2} ms  {:>6.2} µs CPU  load core {:>3.0} %{note}",
                variant.name,
                sample.per_s,
                sample.p99_ms,
                sample.cpu_us,
                sample.load_core * 100.0
            );
            samples.push(sample);
        }
    }
    Ok(samples)
}

async fn measure(variant: &Variant, time: Duration) -> Result<Sample> {
    let ours = || -> Result<(u64, u64)> {
        let server = proc::process_us(variant.server)?;
        let behind = variant.behind.map_or(Ok(0), proc::process_us)?;
        Ok((server, behind + proc::children_us()? + proc::process_us(std::process::id())?))
    };
    let (began, cores, (server, rest)) = (Instant::now(), proc::cores_us()?, ours()?);
    let outcome = load::put(&variant.target, LOAD_CORE, time).await?;
    let (took_us, cores_after, (server_after, rest_after)) =
        (began.elapsed().as_micros() as f64, proc::cores_us()?, ours()?);
    let busy: u64 = cores_after.iter().zip(&cores).map(|(after, before)| after.saturating_sub(*before)).sum();
    let known = (server_after - server) + rest_after.saturating_sub(rest);
    let load_core = cores_after[LOAD_CORE].saturating_sub(cores[LOAD_CORE]);
    Ok(Sample {
        per_s: outcome.per_s,
        p99_ms: outcome.p99_ms,
        cpu_us: (server_after - server) as f64 / outcome.requests.max(1) as f64,
        load_core: load_core as f64 / took_us,
        others: busy.saturating_sub(known) as f64 / took_us,
    })
}

/// What the figures in parentheses are, in a sentence.
pub(super) const HOW_SURE: &str = "in parentheses the 95 % interval of the median, by order statistics (six rounds or more), or else lowest to highest";

/// The middle of some numbers, where the true one lies, and their ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    /// The interval in which the true median lies with a chance of 95 %, or with too few numbers all of them.
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) least: f64,
    pub(super) most: f64,
    /// There were enough numbers for an interval.
    pub(super) sure: bool,
}

impl Spread {
    /// Whether this much was reached: the interval decides, or the median where there are too few numbers for one.
    pub(super) fn reaches(&self, aim: f64) -> bool {
        self.median >= aim || (self.sure && self.high >= aim)
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} ({:.3} to {:.3})", self.median, self.low, self.high)
    }
}

/// `None` without numbers.
pub(super) fn spread(numbers: impl IntoIterator<Item = f64>) -> Option<Spread> {
    let mut sorted: Vec<f64> = numbers.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let (least, most) = (*sorted.first()?, *sorted.last()?);
    let middle = sorted.len() / 2;
    let median = if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) };
    let cut = cut_for_95_percent(sorted.len());
    let (low, high) = cut.map_or((least, most), |cut| (sorted[cut], sorted[sorted.len() - 1 - cut]));
    Some(Spread { median, low, high, least, most, sure: cut.is_some() })
}

/// How many of `n` sorted numbers can go at either end, so that the true median still lies within the others with a
/// chance of 95 %, whatever the distribution: each number is above it with a chance of one half, so those above are
/// binomial. `None`: not even all of them are enough.
fn cut_for_95_percent(n: usize) -> Option<usize> {
    let mut ways = 0.5_f64.powi(i32::try_from(n).ok()?);
    let (mut outside, mut cut) = (2.0 * ways, None);
    for number in 0..n / 2 {
        if outside > 0.05 {
            break;
        }
        cut = Some(number);
        ways *= (n - number) as f64 / (number + 1) as f64;
        outside += 2.0 * ways;
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_in_the_middle() {
        let three = spread([3.0, 1.0, 2.0]).unwrap();
        assert_eq!((three.median, three.low, three.high, three.sure), (2.0, 1.0, 3.0, false));
        assert!(three.reaches(2.0) && !three.reaches(2.5), "three numbers make no interval");
        assert_eq!(spread([4.0, 1.0]).unwrap().median, 2.5);
        assert_eq!(spread([]), None);
    }

    #[test]
    fn the_interval_of_a_median_is_that_of_the_tables() {
        // Cut at each end: of 6 to 8 numbers none, of 10 the outer two, of 20 the five outer on each side.
        let cuts = [5, 6, 8, 9, 10, 15, 20].map(cut_for_95_percent);
        assert_eq!(cuts, [None, Some(0), Some(0), Some(1), Some(1), Some(3), Some(5)]);
        let ten = spread((1..=10).map(f64::from)).unwrap();
        assert_eq!((ten.low, ten.high, ten.least, ten.most, ten.sure), (2.0, 9.0, 1.0, 10.0, true));
        assert!(ten.reaches(9.0) && !ten.reaches(9.5));
    }
}
