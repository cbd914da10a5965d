//! `bench seats`: the reservation path beside the same SQL by pgbench, with and without its lock and its maps, and the
//! way out of the outbox.

mod holds;
mod maps;
mod mix;
mod relay;
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
    /// Holds on hot seats over HTTP ÷ pgbench, the same SQL and an idempotency row each; with the seat lock beside it
    Hot,
    /// The same with all seats alike
    Uniform,
    /// The seat lock: Postgres calls per hold with ÷ without, and attempts of the two; with idempotency rows too
    Lock,
    /// Seat maps: kept ÷ read each time, 304 ÷ 200, and what a sold-out schedule costs Postgres
    Maps,
    /// 1,000 requests/s of a sale through the proxy: p99 of maps, holds, payments
    Sale,
    /// Events of a sale from the outbox to the consumers, by one worker
    Relay,
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
            Part::Relay => relayed(&site, rounds, time).await,
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

/// Ours and the reference, round by round. Without the seat lock both run the same statements: the lock would turn
/// attempts away before Postgres, which pgbench can not; what it changes is shown beside.
async fn against_pgbench(site: &Site, seats: Seats, rounds: u32, time: Duration) -> Result<Value> {
    let (mut ours, mut theirs, mut locked) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        ours.push(shown("HTTP", holds::through_http(site, site.no_lock, seats, true, time).await?));
        theirs.push(shown("pgbench", holds::by_pgbench(site, seats, time).await?));
        locked.push(shown("HTTP, seat lock", holds::through_http(site, site.whole, seats, true, time).await?));
    }
    medians("HTTP", &ours)?;
    medians("pgbench", &theirs)?;
    medians("HTTP, seat lock", &locked)?;
    let attempts = |outcome: &Outcome| outcome.attempts_per_s;
    let same = ratio("attempted holds/s, HTTP ÷ pgbench, the same SQL", &ours, &theirs, attempts, "≥ 0.5")?;
    let beside = ratio("the same with the seat lock in front of it", &locked, &theirs, attempts, "no aim")?;
    Ok(json!({
        "http": summary(&ours), "pgbench": summary(&theirs), "http_with_lock": summary(&locked),
        "attempts_ratio": same, "attempts_ratio_with_lock": beside,
    }))
}

async fn lock(site: &Site, rounds: u32, time: Duration) -> Result<Value> {
    let bare = lock_of(site, rounds, time, false).await?;
    let keyed = lock_of(site, rounds, time, true).await?;
    Ok(json!({ "without_keys": bare, "with_keys": keyed }))
}

/// With the seat lock and without it. An attempt with an idempotency key writes a row even when the lock refuses it.
async fn lock_of(site: &Site, rounds: u32, time: Duration, keyed: bool) -> Result<Value> {
    println!("  {} idempotency keys", if keyed { "with" } else { "without" });
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        with.push(shown("with the seat lock", holds::through_http(site, site.whole, Seats::Hot, keyed, time).await?));
        without.push(shown("row locks only", holds::through_http(site, site.no_lock, Seats::Hot, keyed, time).await?));
    }
    medians("with the seat lock", &with)?;
    medians("row locks only", &without)?;
    let calls = |outcomes: &[Outcome]| spread(outcomes.iter().map(|outcome| outcome.calls_per_hold));
    let (few, many) = (calls(&with).context("no rounds")?, calls(&without).context("no rounds")?);
    let aim = if keyed { "no aim: each attempt writes its row" } else { "aim ≤ 1.5 with it" };
    println!("  Postgres calls per hold: {:.2} with the lock, {:.2} without; {aim}", few.median, many.median);
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
    let sold_out = maps::sold_out(site, time).await?;
    println!(
        "  sold out: {} maps, {} transactions of Postgres more than in the same time without a request (then {})",
        sold_out.maps, sold_out.transactions, sold_out.idle
    );
    Ok(json!({
        "kept_by_read": told(kept), "unchanged_by_whole": told(unchanged),
        "sold_out": {
            "maps": sold_out.maps, "transactions_above_idle": sold_out.transactions, "transactions_idle": sold_out.idle,
        },
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

async fn relayed(site: &Site, rounds: u32, time: Duration) -> Result<Value> {
    let mut rates = Vec::new();
    for _ in 0..rounds {
        let outcome = relay::run(site, time).await?;
        let relay::Outcome { events, took, per_s } = outcome;
        println!("  {events} events in {:.2} s: {per_s:.0} events/s", took.as_secs_f64());
        rates.push(per_s);
    }
    let rate = spread(rates).context("no rounds")?;
    println!(
        "  events/s from the outbox to all consumers, one worker: {:.0} ({:.0} to {:.0}); aim ≥ 10,000",
        rate.median, rate.least, rate.most
    );
    Ok(json!({ "events_per_s": told(rate) }))
}

/// The middle of all rounds, each column by itself.
fn medians(name: &str, outcomes: &[Outcome]) -> Result<()> {
    let median =
        |of: fn(&Outcome) -> f64| spread(outcomes.iter().map(of)).map(|spread| spread.median).context("no rounds");
    let outcome = Outcome {
        attempts_per_s: median(|outcome| outcome.attempts_per_s)?,
        held_per_s: median(|outcome| outcome.held_per_s)?,
        p50_ms: median(|outcome| outcome.p50_ms)?,
        p99_ms: median(|outcome| outcome.p99_ms)?,
        calls_per_hold: median(|outcome| outcome.calls_per_hold)?,
    };
    shown(&format!("{name}, median"), outcome);
    Ok(())
}

fn shown(name: &str, outcome: Outcome) -> Outcome {
    println!(
        "  {name:<26} {:>8.0} attempts/s  {:>7.0} held/s  p50 {:>6.2} ms  p99 {:>7.2} ms  {:>5.2} calls a hold",
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
