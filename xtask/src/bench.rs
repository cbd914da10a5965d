//! `cargo xtask bench`: each number stands beside its reference, measured in the same run.

mod chart;
mod edge;
mod load;
mod proc;
mod queue;
mod reference;
mod resp;
mod rounds;
mod seats;
mod visit;

use std::time::Duration;

use anyhow::{Result, ensure};
use clap::ValueEnum;

use crate::prepare::{self, Purpose};
use crate::{cargo, say};

/// Options of `bench`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Which benchmark; without a name, all of them
    #[arg(value_enum)]
    name: Option<Name>,
    /// `edge` and `seats`: rounds of each variant; six or more for an interval of 95 %
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// `edge` and `seats`: seconds of load in a round
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// `queue` and `seats`: only these parts, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "PART")]
    only: Vec<String>,
    /// How the services are built: `dist` takes minutes and is what counts, `release` is for a quick look, `dev` only
    /// shows that the benchmark runs
    #[arg(long, value_enum, default_value_t = Profile::Dist)]
    profile: Profile,
}

/// The benchmarks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Name {
    /// Forwarding, waiting page and status against Pingora, nginx, HAProxy and nginx with Lua
    Edge,
    /// The line with a million in it: memory, joins, lookups, admissions, connections
    Queue,
    /// Holds against pgbench, the seat lock, seat maps, a sale at 1,000 requests/s, the relay of events
    Seats,
}

/// A profile of cargo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Profile {
    /// As published
    Dist,
    /// Without the slow linking
    Release,
    /// As the tests have it: its figures say nothing
    Dev,
}

/// Runs the benchmarks; targets that are missed are printed and fail nothing.
pub(crate) async fn run(options: &Options) -> Result<bool> {
    ensure!(
        options.only.is_empty() || matches!(options.name, Some(Name::Queue | Name::Seats)),
        "--only chooses parts of `bench queue` or `bench seats`: write `cargo xtask bench queue --only …`"
    );
    let time = Duration::from_secs(options.seconds);
    // Before anything is installed or built: a part that there is not.
    match options.name {
        Some(Name::Queue) => drop(parts::<queue::Part>(&options.only)?),
        Some(Name::Seats) => drop(parts::<seats::Part>(&options.only)?),
        _ => {}
    }
    prepare::system(Purpose::Bench)?;
    if matches!(options.name, None | Some(Name::Edge)) {
        edge::run(options.profile, options.rounds, time).await?;
    }
    if matches!(options.name, None | Some(Name::Queue)) {
        queue::run(options.profile, &parts(&options.only)?).await?;
    }
    if matches!(options.name, None | Some(Name::Seats)) {
        seats::run(options.profile, &parts(&options.only)?, options.rounds, time).await?;
    }
    Ok(true)
}

/// The parts that `--only` names, of one benchmark.
fn parts<P: ValueEnum>(names: &[String]) -> Result<Vec<P>> {
    let part = |name: &String| {
        P::from_str(name, false).map_err(|_| {
            let all = P::value_variants().iter().filter_map(ValueEnum::to_possible_value);
            let all: Vec<String> = all.map(|part| part.get_name().to_owned()).collect();
            anyhow::anyhow!("--only {name}: there is no such part; there are {}", all.join(", "))
        })
    };
    names.iter().map(part).collect()
}

impl Profile {
    fn name(self) -> &'static str {
        match self {
            Self::Dist => "dist",
            Self::Release => "release",
            Self::Dev => "dev",
        }
    }

    /// Builds what `targets` names.
    fn build(self, targets: &[&str]) -> Result<()> {
        let note = if self == Self::Dist { " (the first time takes many minutes)" } else { "" };
        say::step(&format!("building with the profile `{}`{note}", self.name()));
        cargo::run(&[&["build", "--profile", self.name()], targets].concat())
    }

    /// The path of something built.
    fn executable(self, name: &str) -> String {
        // The folder of this one profile has another name.
        let folder = if self == Self::Dev { "debug" } else { self.name() };
        cargo::executable(folder, name).to_string_lossy().into_owned()
    }
}
