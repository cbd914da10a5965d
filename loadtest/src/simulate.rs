//! `loadtest simulate`: plays the queue on a clock of its own, without a site. Its own flags; the queue is another crate's.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use simulation::check::{Witness, check};
use simulation::estimates::{Coverage, coverage};
use simulation::plan::{Forecast, Sale, Unplayable, forecast};

mod table;

/// Of a hundred statements so many must be right.
const RIGHT: f64 = 0.8;

/// Flags of `simulate`.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// How many visitors come.
    #[arg(long, default_value_t = 1_000_000)]
    pub visitors: u64,
    /// How many are let in a second.
    #[arg(long, default_value_t = 500.0, allow_negative_numbers = true)]
    pub rate: f64,
    /// Size of the bucket. Default: a quarter of the rate, at least 2.
    #[arg(long, allow_negative_numbers = true)]
    pub burst: Option<f64>,
    /// The share that gives up before the turn comes, 0 to 1; four of five of them without a word.
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true)]
    pub leave: f64,
    /// Most inside at once; 0: no cap.
    #[arg(long, default_value_t = 0)]
    pub max_active: u64,
    /// How long a visit lasts on average.
    #[arg(long, value_name = "SECS", default_value_t = 120.0, allow_negative_numbers = true)]
    pub visit: f64,
    /// Over how many seconds they arrive.
    #[arg(long, value_name = "SECS", default_value_t = 60.0, allow_negative_numbers = true)]
    pub arrive: f64,
    /// How many proxies share the work.
    #[arg(long, default_value_t = 1)]
    pub nodes: u64,
    /// Instead: play nodes, visitors and faults from seeds, and look for a broken invariant.
    #[arg(long, conflicts_with = "estimates")]
    pub check: bool,
    /// Instead: count how often the estimates that visitors see are right.
    #[arg(long)]
    pub estimates: bool,
    /// How many seeds, one after the other; for --check and --estimates.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub seeds: u64,
    /// The first seed; the same seed makes the same run.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Where to write the result as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// What came out.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Outcome {
    /// A sale.
    Forecast(Box<Forecast>),
    /// Runs that kept every promise; the first that did not, as a sentence.
    Checked {
        /// Those that held.
        held: Vec<Witness>,
        /// The one that did not.
        broken: Option<String>,
    },
    /// How often estimates were right.
    Estimates(Vec<Coverage>),
}

impl Outcome {
    /// Whether everything that was to hold held.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        match self {
            Self::Forecast(_) => true,
            Self::Checked { broken, .. } => broken.is_none(),
            Self::Estimates(all) => all.iter().all(|one| one.share() >= RIGHT && one.too_wide == 0),
        }
    }
}

impl SimulateArgs {
    /// Plays what the flags ask for; `say` gets lines as they come.
    ///
    /// # Errors
    /// A sentence on the flag that cannot be.
    pub fn play(&self, say: &mut dyn FnMut(&str)) -> Result<Outcome, Unplayable> {
        if self.check {
            return Ok(self.check_seeds(say));
        }
        if self.estimates {
            let mut all = Vec::new();
            for seed in self.seeds() {
                say(&format!("seed {seed}"));
                for one in coverage(seed) {
                    say(&one.to_string());
                    all.push(one);
                }
            }
            return Ok(Outcome::Estimates(all));
        }
        let forecast = forecast(&self.sale())?;
        say(&table::of(&forecast));
        Ok(Outcome::Forecast(Box::new(forecast)))
    }

    fn seeds(&self) -> impl Iterator<Item = u64> {
        (0..self.seeds).map(|more| self.seed.wrapping_add(more))
    }

    fn check_seeds(&self, say: &mut dyn FnMut(&str)) -> Outcome {
        let mut held = Vec::new();
        for seed in self.seeds() {
            // Before the run: should it never end, one knows which it was.
            say(&format!("seed {seed}"));
            match check(seed) {
                Ok(witness) => {
                    say(&witness.to_string());
                    held.push(witness);
                }
                Err(broken) => {
                    say(&broken.to_string());
                    return Outcome::Checked { held, broken: Some(broken.to_string()) };
                }
            }
        }
        Outcome::Checked { held, broken: None }
    }

    fn sale(&self) -> Sale {
        Sale {
            visitors: self.visitors,
            rate_per_s: self.rate,
            // The default of the proxy's config.
            burst: self.burst.unwrap_or((self.rate / 4.0).max(2.0)),
            leave: self.leave,
            max_active: self.max_active,
            visit_s: self.visit,
            arrive_s: self.arrive,
            nodes: self.nodes,
            seed: self.seed,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::cli::{Cli, Command};

    fn play(flags: &[&str]) -> Result<String, String> {
        let all = ["loadtest", "simulate"].iter().chain(flags);
        let cli = Cli::try_parse_from(all).map_err(|error| error.to_string())?;
        let Command::Simulate(args) = cli.command else { return Err("another command".to_owned()) };
        let mut said = String::new();
        let outcome = args.play(&mut |line| said += line).map_err(|error| error.to_string())?;
        assert!(outcome.is_clean());
        Ok(said)
    }

    #[test]
    fn refused_sales_that_cannot_be() {
        for (flags, wanted) in [
            (&["--rate", "-5"][..], "the rate must be more than 0"),
            (&["--rate", "0"], "the rate must be more than 0"),
            (&["--rate", "NaN"], "the rate must be more than 0"),
            (&["--leave", "1.5"], "the share that leaves"),
            (&["--leave", "-0.1"], "the share that leaves"),
            (&["--visitors", "0"], "from 1 to 100,000,000"),
            (&["--burst", "0"], "the burst must be at least 1"),
            (&["--visit", "0"], "a visit must last"),
            (&["--arrive", "-1"], "people must arrive within"),
            (&["--nodes", "0"], "from 1 to 1,000 proxies"),
            (&["--check", "--seeds", "0"], "1..=1000000"),
            (&["--check", "--estimates"], "cannot be used with"),
        ] {
            let error = play(flags).err().unwrap_or_default();
            assert!(error.contains(wanted), "{flags:?}: {error}");
        }
    }

    #[test]
    fn a_small_sale_says_what_it_needs() {
        let said = play(&["--visitors", "3000", "--rate", "50", "--leave", "0.3"]).unwrap();
        for part in ["Waits", "Line empty", "Polls", "Memory", "Redis", "First gives way"] {
            assert!(said.contains(part), "no {part:?} in {said}");
        }
        assert_eq!(said, play(&["--visitors", "3000", "--rate", "50", "--leave", "0.3"]).unwrap(), "repeats itself");
    }

    #[test]
    fn a_seed_can_be_played_again() {
        assert!(play(&["--check", "--seed", "3"]).unwrap().starts_with("seed 3"));
    }
}
