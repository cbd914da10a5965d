//! `bench queue`: the line with a million in it, each figure beside its reference and its aim.

mod admission;
mod bed;
mod book;
mod commands;
mod connections;
mod lane;
mod rush;
mod store;

use anyhow::{Context, Result};
use clap::ValueEnum;

use self::book::Book;
use super::Profile;
use crate::say;

/// A part of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Part {
    /// Memory of Redis and of a proxy with nobody, 100,000 and 1,000,000 waiting
    Memory,
    /// Joins at the store: processor time of Redis, beside plain INCR and ZADD
    Joins,
    /// Positions from the bitmap, beside ZRANK
    Lookups,
    /// Commands at Redis for a poll and for an admitted request
    Commands,
    /// Joins over HTTP with up to a million waiting
    Http,
    /// Admissions at 20,000/s by one node and at 1,000/s by four
    Admission,
    /// The opening second: 10,000 requests/s for ten seconds while 10,000 wait
    Opening,
    /// What the fast lane adds to a bare forward
    Lane,
    /// Memory of idle connections and of event streams, beside nginx
    Connections,
}

/// Measures the parts (none named: all), prints them, and writes `target/bench/queue.json`.
pub(super) async fn run(profile: Profile, only: &[Part]) -> Result<()> {
    profile.build(&["-p", "waitroom-proxy", "--bins", "--example", "bare_pingora", "--example", "queue_store"])?;
    profile.build(&["-p", "loadtest", "--example", "rush"])?;
    let parts = if only.is_empty() { Part::value_variants() } else { only };
    let mut book = Book::default();
    for part in parts {
        let name = part.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        say::step(&format!("measuring: {name}"));
        let measured = match part {
            Part::Memory => store::memory(profile, &mut book).await,
            Part::Joins => store::joins(profile, &mut book).await,
            Part::Lookups => store::lookups(profile, &mut book).await,
            Part::Commands => commands::measure(profile, &mut book).await,
            Part::Http => rush::flat_out(profile, &mut book).await,
            Part::Admission => admission::measure(profile, &mut book).await,
            Part::Opening => rush::opening(profile, &mut book).await,
            Part::Lane => lane::measure(profile, &mut book).await,
            Part::Connections => connections::measure(profile, &mut book).await,
        };
        measured
            .with_context(|| format!("the part `{name}`; again, by itself: cargo xtask bench queue --only {name}"))?;
    }
    book.write()
}
