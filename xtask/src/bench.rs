//! `cargo xtask bench`: each number stands beside its reference, measured in the same run.

mod chart;
mod edge;
mod load;
mod proc;
mod queue;
mod reference;
mod resp;
mod rounds;
mod visit;

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::prepare::{self, Purpose};
use crate::{cargo, say};

/// Options of `bench`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Which benchmark; without a name, all of them
    #[arg(value_enum)]
    name: Option<Name>,
    /// `edge`: rounds of each variant; six or more for an interval of 95 %
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// `edge`: seconds of load in a round
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// `queue`: only these parts, separated by commas
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PART")]
    only: Vec<queue::Part>,
    /// How the services are built: `dist` takes minutes and is what counts, `release` is for a quick look
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
}

/// A profile of cargo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Profile {
    /// As published
    Dist,
    /// Without the slow linking
    Release,
}

/// Runs the benchmarks; targets that are missed are printed and fail nothing.
pub(crate) async fn run(options: &Options) -> Result<bool> {
    ensure!(
        options.only.is_empty() || options.name == Some(Name::Queue),
        "--only chooses parts of `bench queue`: write `cargo xtask bench queue --only …`"
    );
    prepare::system(Purpose::Bench)?;
    if matches!(options.name, None | Some(Name::Edge)) {
        edge::run(options.profile, options.rounds, Duration::from_secs(options.seconds)).await?;
    }
    if matches!(options.name, None | Some(Name::Queue)) {
        queue::run(options.profile, &options.only).await?;
    }
    Ok(true)
}

impl Profile {
    fn name(self) -> &'static str {
        match self {
            Self::Dist => "dist",
            Self::Release => "release",
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
        cargo::executable(self.name(), name).to_string_lossy().into_owned()
    }
}
