//! `cargo xtask bench`: each number stands beside its reference, measured in the same run.

mod chart;
mod edge;
mod load;
mod proc;
mod reference;
mod rounds;

use std::time::Duration;

use anyhow::Result;

use crate::prepare::{self, Purpose};

/// Options of `bench`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Which benchmark; without a name, all of them
    #[arg(value_enum)]
    name: Option<Name>,
    /// Rounds of each variant; ten or more for anything near its target
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Seconds of load in a round
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
}

/// The benchmarks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Name {
    /// Forwarding, waiting page and status against bare Pingora and nginx
    Edge,
}

/// Runs the benchmarks; targets that are missed are printed and fail nothing.
pub(crate) async fn run(options: &Options) -> Result<bool> {
    prepare::system(Purpose::Bench)?;
    match options.name {
        None | Some(Name::Edge) => edge::run(options.rounds, Duration::from_secs(options.seconds)).await?,
    }
    Ok(true)
}
