//! One sale on a clock of its own: how long people wait, how much they ask, what it costs, and what gives way first.

use serde::Serialize;

mod cost;
mod crowd;
mod engine;
mod tally;
mod wheel;

pub use cost::{Limit, Load, Memory};
pub(crate) use engine::{Engine, Order, Second, Teller};
use tally::Tally;

/// More simulated visitors than this would cost more time than they add: then each stands for several.
const MOST_SIMULATED: u64 = 2_000_000;
/// The same for their polls.
const MOST_POLLS: f64 = 60e6;
/// Fewer would be a rough picture.
const FEWEST_SIMULATED: u64 = 10_000;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sale {
    /// How many come.
    pub visitors: u64,
    /// Turns a second.
    pub rate_per_s: f64,
    /// Size of the bucket.
    pub burst: f64,
    /// The share of those who wait that gives up before the turn comes.
    pub leave: f64,
    /// Cap on turns and sessions; 0: none.
    pub max_active: u64,
    /// How long a visit lasts, on average, seconds.
    pub visit_s: f64,
    /// Over how many seconds they arrive.
    pub arrive_s: f64,
    /// How many proxies share the work.
    pub nodes: u64,
    /// Repeats a run.
    pub seed: u64,
}

/// A time in its quantiles, seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Quantiles {
    /// Half of them took at most this.
    pub p50: f64,
    /// Nine in ten.
    pub p90: f64,
    /// Ninety-nine in a hundred.
    pub p99: f64,
    /// All.
    pub max: f64,
}

/// What it comes to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Forecast {
    /// What was asked.
    pub sale: Sale,
    /// Each simulated visitor stands for this many.
    pub each_stands_for: u64,
    /// Let in.
    pub admitted: u64,
    /// Gave up in line.
    pub gave_up: u64,
    /// Turns that nobody took up: given to people who had gone silent.
    pub wasted_turns: u64,
    /// From the first request to the session, of those let in.
    pub wait_s: Quantiles,
    /// From the beginning until nobody waits; `None`: not within the longest time that is simulated.
    pub empty_after_s: Option<f64>,
    /// Most in line at once.
    pub longest_line: u64,
    /// Polls a second in all.
    pub polls: Load,
    /// All requests of those who arrive and wait, a second: pages, joins and polls.
    pub requests: Load,
    /// Memory of Redis and of one proxy.
    pub memory: Memory,
    /// Redis' processor, as a share of one core.
    pub redis: Load,
    /// The processor of one proxy, as a share of one core: pages, joins and polls.
    pub proxy: Load,
    /// Bytes a second that one proxy fetches from Redis as bitmaps.
    pub bitmap_bytes: Load,
    /// What it needs of each thing that is limited, the tightest first.
    pub limits: Vec<Limit>,
}

/// A sale that cannot be simulated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unplayable(String);

impl Sale {
    /// Refuses what cannot be.
    fn check(&self) -> Result<(), Unplayable> {
        let positive = |number: f64| number.is_finite() && number > 0.0;
        let wrong = |what: &str| Err(Unplayable(what.to_owned()));
        match self {
            sale if !(1..=100_000_000).contains(&sale.visitors) => wrong("from 1 to 100,000,000 visitors can come"),
            sale if !positive(sale.rate_per_s) || sale.rate_per_s > 1e6 => {
                wrong("the rate must be more than 0 and at most a million a second")
            }
            sale if !sale.burst.is_finite() || sale.burst < 1.0 => wrong("the burst must be at least 1"),
            sale if !(0.0..1.0).contains(&sale.leave) => wrong("the share that leaves must be from 0 to less than 1"),
            sale if !positive(sale.visit_s) || sale.visit_s > 86_400.0 => {
                wrong("a visit must last more than 0 s and at most a day")
            }
            sale if !(0.0..=86_400.0).contains(&sale.arrive_s) => wrong("people must arrive within 0 to 86400 s"),
            sale if !(1..=1_000).contains(&sale.nodes) => wrong("from 1 to 1,000 proxies can share the work"),
            _ => Ok(()),
        }
    }

    /// So many that a run takes seconds: it costs people, and polls.
    fn each_stands_for(&self) -> u64 {
        let ends_per_s = self.max_active as f64 / self.visit_s;
        let pace = if self.max_active == 0 { self.rate_per_s } else { self.rate_per_s.min(ends_per_s) };
        let longest_s = (self.visitors as f64 / pace).min(86_400.0);
        let polls = self.visitors as f64 * longest_s / 2.0 / 25.0;
        let by_polls = (polls / MOST_POLLS).ceil() as u64;
        let most = (self.visitors / FEWEST_SIMULATED).max(1);
        self.visitors.div_ceil(MOST_SIMULATED).max(by_polls).min(most)
    }

    /// The same sale seen from farther away: one visitor for so many.
    fn scaled(&self, each: u64) -> Self {
        let scale = each as f64;
        Self {
            visitors: self.visitors.div_ceil(each),
            rate_per_s: self.rate_per_s / scale,
            burst: (self.burst / scale).max(1.0),
            max_active: if self.max_active == 0 { 0 } else { (self.max_active / each).max(1) },
            ..self.clone()
        }
    }
}

/// Plays a sale.
///
/// # Errors
/// A sentence, when it cannot be played.
pub fn forecast(sale: &Sale) -> Result<Forecast, Unplayable> {
    sale.check()?;
    let each = sale.each_stands_for();
    let scaled = sale.scaled(each);
    let mut tally = Tally::new(sale, each);
    let mut engine = Engine::new(&scaled, Vec::new());
    let empty_after_s = engine.run(&mut tally);
    Ok(tally.forecast(sale, &engine.counts(), empty_after_s))
}
