//! `bench seats`: the reservation path beside the same SQL by pgbench, with and without its lock and its maps.

mod holds;
mod maps;
mod mix;
mod site;

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde_json::{Value, json};

use self::holds::{Outcome, Seats};
use self::site::Site;
use super::Profile;
use super::rounds::{Spread, spread};
use crate::{cargo, say};

/// A part of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Part {
    /// Holds on hot seats over HTTP ÷ pgbench, an idempotency row each
    Hot,
    /// The same with all seats alike
    Uniform,
    /// The seat lock: Postgres calls per hold with ÷ without, and attempts of the two
    Lock,
    /// Seat maps: kept ÷ read each time, 304 ÷ 200, and what a sold-out schedule costs Postgres
    Maps,
    /// 1,000 requests/s of a sale through the proxy: p99 of maps, holds, payments
    Sale,
}

/// How long the sale goes on, beyond one round of the others.
const SALE_ROUNDS: u32 = 3;

/// Measures the parts (none named: all), prints them, and writes `target/bench/seats.json`.
pub(super) async fn run(profile: Profile, only: &[Part], rounds: u32, time: Duration) -> Result<()> {
    profile.build(&["-p", "waitroom-proxy", "-p", "reservation-svc", "--bins"])?;
    let parts = if only.is_empty() { Part::value_variants() } else { only };
    let site = Site::start(profile).await?;
    println!(
        "  Postgres (fsync off) on one core; services, proxy, Redis and load on the other; {rounds} rounds of {time:?}"
    );
    let mut results = Vec::new();
    for part in parts {
        let name = part.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        say::step(&format!("measuring: {name}"));
        let result = match part {
            Part::Hot => against_pgbench(&site, Seats::Hot, rounds, time).await,
            Part::Uniform => against_pgbench(&site, Seats::Uniform, rounds, time).await,
            Part::Lock => lock(&site, rounds, time).await,
            Part::Maps => seat_maps(&site, rounds, time).await,
            Part::Sale => sale(&site, time * SALE_ROUNDS).await,
        };
        let result = result.with_context(|| format!("again, by itself: cargo xtask bench seats --only {name}"))?;
        results.push(json!({ "part": name, "result": result }));
    }
    let folder = cargo::target().join("bench");
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let file = folder.join("seats.json");
    let text = serde_json::to_string_pretty(&json!({ "rounds": rounds, "seconds": time.as_secs(), "parts": results }))?;
    fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
    println!("  written: {}", file.display());
    Ok(())
}

/// Ours and the reference, round by round.
async fn against_pgbench(site: &Site, seats: Seats, rounds: u32, time: Duration) -> Result<Value> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        ours.push(shown("HTTP", holds::through_http(site, site.whole, seats, true, time).await?));
        theirs.push(shown("pgbench", holds::by_pgbench(site, seats, time).await?));
    }
    let ratio = ratio("attempted holds/s, HTTP ÷ pgbench", &ours, &theirs, |outcome| outcome.attempts_per_s, "≥ 0.5")?;
    Ok(json!({ "http": summary(&ours), "pgbench": summary(&theirs), "attempts_ratio": ratio }))
}

async fn lock(site: &Site, rounds: u32, time: Duration) -> Result<Value> {
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        with.push(shown("with the seat lock", holds::through_http(site, site.whole, Seats::Hot, false, time).await?));
        without.push(shown("row locks only", holds::through_http(site, site.no_lock, Seats::Hot, false, time).await?));
    }
    let calls = |outcomes: &[Outcome]| spread(outcomes.iter().map(|outcome| outcome.calls_per_hold));
    let (few, many) = (calls(&with).context("no rounds")?, calls(&without).context("no rounds")?);
    println!(
        "  Postgres calls per hold: {:.2} with the lock, {:.2} without; aim ≤ 1.5 with it",
        few.median, many.median
    );
    let attempts = ratio(
        "attempts/s, seat lock first ÷ row locks only",
        &with,
        &without,
        |outcome| outcome.attempts_per_s,
        "the source told 12,000 ÷ 8,500 = 1.41",
    )?;
    Ok(json!({
        "with": summary(&with), "without": summary(&without), "attempts_ratio": attempts,
        "calls_per_hold": { "with": few.median, "without": many.median },
    }))
}

async fn seat_maps(site: &Site, rounds: u32, time: Duration) -> Result<Value> {
    let mut rates: [Vec<f64>; 3] = Default::default();
    for _ in 0..rounds {
        let measured = [
            maps::whole(site, site.whole, time).await?,
            maps::whole(site, site.no_redis, time).await?,
            maps::not_modified(site, site.whole, time).await?,
        ];
        for ((name, outcome), rates) in
            ["kept: 200", "read each time: 200", "kept: 304"].iter().zip(measured).zip(&mut rates)
        {
            println!("  {name:<22} {:>9.0}/s  p99 {:>7.2} ms", outcome.per_s, outcome.p99_ms);
            rates.push(outcome.per_s);
        }
    }
    let pair = |above: usize, below: usize| spread(rates[above].iter().zip(&rates[below]).map(|(a, b)| a / b));
    let (kept, unchanged) = (pair(0, 1).context("no rounds")?, pair(2, 0).context("no rounds")?);
    println!("  seat map, kept ÷ read each time: {:.1}; 304 ÷ 200: {:.2}", kept.median, unchanged.median);
    let (sold_out, transactions) = maps::sold_out(site, time).await?;
    println!("  sold out: {} maps, {transactions} transactions of Postgres", sold_out.requests);
    Ok(json!({
        "kept_by_read": told(kept), "unchanged_by_whole": told(unchanged),
        "sold_out": { "maps": sold_out.requests, "transactions": transactions },
    }))
}

async fn sale(site: &Site, time: Duration) -> Result<Value> {
    let sale = mix::run(site, time).await?;
    println!("  {:.0} requests/s through the proxy", sale.per_s);
    let kinds =
        [("seat map", &sale.maps, "< 500 ms"), ("hold", &sale.holds, ""), ("reservation", &sale.payments, "< 2 s")];
    for (name, kind, floor) in kinds {
        println!(
            "  {name:<12} p50 {:>7.2} ms  p99 {:>7.2} ms  {} answers, {} in full  {floor}",
            kind.p50_ms, kind.p99_ms, kind.answers, kind.full
        );
    }
    let told = |kind: &mix::Kind| json!({ "p50_ms": kind.p50_ms, "p99_ms": kind.p99_ms, "answers": kind.answers, "in_full": kind.full });
    Ok(json!({
        "per_s": sale.per_s, "maps": told(&sale.maps), "holds": told(&sale.holds), "reservations": told(&sale.payments),
    }))
}

fn shown(name: &str, outcome: Outcome) -> Outcome {
    println!(
        "  {name:<20} {:>8.0} attempts/s  {:>7.0} held/s  p50 {:>6.2} ms  p99 {:>7.2} ms  {:>5.2} calls a hold",
        outcome.attempts_per_s, outcome.held_per_s, outcome.p50_ms, outcome.p99_ms, outcome.calls_per_hold
    );
    outcome
}

/// Round by round, since rounds differ more than the two in one.
fn ratio(what: &str, ours: &[Outcome], theirs: &[Outcome], of: fn(&Outcome) -> f64, aim: &str) -> Result<Value> {
    let ratio = spread(ours.iter().zip(theirs).map(|(ours, theirs)| of(ours) / of(theirs))).context("no rounds")?;
    println!("  {what}: {:.2} ({:.2} to {:.2}); {aim}", ratio.median, ratio.least, ratio.most);
    Ok(told(ratio))
}

fn told(spread: Spread) -> Value {
    json!({ "median": spread.median, "least": spread.least, "most": spread.most })
}

fn summary(outcomes: &[Outcome]) -> Value {
    let median = |of: fn(&Outcome) -> f64| spread(outcomes.iter().map(of)).map(|spread| spread.median);
    json!({
        "attempts_per_s": median(|outcome| outcome.attempts_per_s), "held_per_s": median(|outcome| outcome.held_per_s),
        "p50_ms": median(|outcome| outcome.p50_ms), "p99_ms": median(|outcome| outcome.p99_ms),
        "calls_per_hold": median(|outcome| outcome.calls_per_hold),
    })
}
