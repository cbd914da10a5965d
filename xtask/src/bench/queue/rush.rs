//! Crowds over HTTP: as fast as two cores can, and the opening second.

use anyhow::{Context, Result};

use super::super::{Profile, proc};
use super::bed::{BOTH, Bed, FULL, resident};
use super::book::{Aim, Book, Row, number};
use super::store::figure;

/// So many wait before, and so many come over HTTP: a million at the end.
const BEFORE: u64 = 700_000;
const COMING: u64 = 300_000;

/// Connections of the generator.
const CONNECTIONS: u64 = 256;

/// The opening: visitors in line, newcomers a second (two requests each), and for how long.
const STANDING: u64 = 10_000;
const NEWCOMERS_PER_S: u64 = 5_000;
const OPENING_S: u64 = 10;

pub(super) async fn flat_out(profile: Profile, book: &mut Book) -> Result<()> {
    let mut bed = Bed::start(profile).await?;
    bed.fill(FULL, BEFORE, 1000).await?;
    let node = bed.add_node(&BOTH, 0.0).await?;
    let (addr, pid) = (node.visitors.to_string(), node.child.pid());
    let idle = resident(pid)?;
    let mut redis = bed.ask().await?;
    let (cpu, proxy_us, rush_us) = (redis.cpu_s().await?, proc::process_us(pid)?, proc::children_us()?);
    let (visitors, connections) = (COMING.to_string(), CONNECTIONS.to_string());
    let args = ["join", "--addr", &addr, "--room", FULL, "--visitors", &visitors, "--connections", &connections];
    let report = bed.rush(&BOTH, &args).await?;
    let each = |us: f64| us / COMING as f64;
    let redis_us = each((redis.cpu_s().await? - cpu) * 1e6);
    let proxy_us = each((proc::process_us(pid)? - proxy_us) as f64);
    let rush_us = each((proc::children_us()? - rush_us) as f64);
    let waiting = redis.ask(&["ZCARD", &format!("queue:{{{FULL}}}:waiting")]).await?.number().context("no line")?;
    let lost = BEFORE + COMING - waiting.min(BEFORE + COMING);
    let latency = |path: &str| figure(&report, path).map(number);
    book.note(Row {
        what: "joins over HTTP, 700,000 to 1,000,000 waiting".to_owned(),
        value: figure(&report, "joined_per_s")?,
        unit: "/s",
        aim: Aim::AtLeast(25_000.0),
        beside: format!(
            "two requests each (pre-ticket, place) over {CONNECTIONS} kept connections, generator on the same two cores: \
             {} requests/s; the whole way p50 {} ms, p99 {} ms; the join alone p50 {} ms, p99 {} ms; processor time a join: proxy {proxy_us:.1} µs, \
             Redis {redis_us:.1} µs, generator {rush_us:.1} µs",
            number(figure(&report, "requests_per_s")?),
            latency("whole.p50_ms")?,
            latency("whole.p99_ms")?,
            latency("join.p50_ms")?,
            latency("join.p99_ms")?,
        ),
    });
    book.note(Row {
        what: "of them lost, or at a place given twice".to_owned(),
        value: lost as f64 + figure(&report, "lost")? + figure(&report, "places_given_twice")?,
        unit: "",
        aim: Aim::AtMost(0.0),
        beside: format!(
            "polls without an answer of the store: {}; proxy RSS from {:.1} to {:.1} MiB, connections included{}",
            number(figure(&report, "blind")?),
            idle / 1_048_576.0,
            resident(pid)? / 1_048_576.0,
            first_error(&report),
        ),
    });
    Ok(())
}

pub(super) async fn opening(profile: Profile, book: &mut Book) -> Result<()> {
    let mut bed = Bed::start(profile).await?;
    let node = bed.add_node(&BOTH, 100.0).await?;
    let (addr, pid) = (node.visitors.to_string(), node.child.pid());
    let (proxy_us, rush_us) = (proc::process_us(pid)?, proc::children_us()?);
    let (visitors, rate) = ((NEWCOMERS_PER_S * OPENING_S).to_string(), NEWCOMERS_PER_S.to_string());
    let standing = STANDING.to_string();
    let args =
        ["join", "--addr", &addr, "--room", FULL, "--visitors", &visitors, "--per-s", &rate, "--standing", &standing];
    let report = bed.rush(&BOTH, &args).await?;
    let each = |us: u64| us as f64 / (STANDING + NEWCOMERS_PER_S * OPENING_S) as f64;
    let (proxy_us, rush_us) = (each(proc::process_us(pid)? - proxy_us), each(proc::children_us()? - rush_us));
    let mut redis = bed.ask().await?;
    let waiting = redis.ask(&["ZCARD", &format!("queue:{{{FULL}}}:waiting")]).await?.number().context("no line")?;
    let state = redis.ask(&["HGET", &format!("queue:{{{FULL}}}:state"), "adm"]).await?.number().context("no state")?;
    let came = STANDING + NEWCOMERS_PER_S * OPENING_S;
    let missing = came.abs_diff(waiting + state) as f64;
    let latency = |path: &str| figure(&report, path).map(number);
    book.note(Row {
        what: "opening second: p99 of a join".to_owned(),
        value: figure(&report, "join.p99_ms")?,
        unit: "ms",
        aim: Aim::AtMost(1000.0),
        beside: format!(
            "p50 {} ms; {} requests/s for {OPENING_S} s, each newcomer on a connection of their own (connecting and pre-ticket: \
             p50 {} ms, p99 {} ms), {STANDING} in line polling (p99 {} ms); processor time a newcomer: proxy {proxy_us:.0} µs, \
             generator {rush_us:.0} µs; generator at worst {} ms late",
            latency("join.p50_ms")?,
            number(figure(&report, "requests_per_s")?),
            latency("pre_ticket.p50_ms")?,
            latency("pre_ticket.p99_ms")?,
            latency("poll.p99_ms")?,
            latency("generator_lag_ms")?,
        ),
    });
    let errors = figure(&report, "lost")? + figure(&report, "failed_polls")?;
    book.note(Row {
        what: "opening second: errors, lost or twice given places".to_owned(),
        value: errors + missing + figure(&report, "places_given_twice")?,
        unit: "",
        aim: Aim::AtMost(0.0),
        beside: format!(
            "{came} came, {waiting} wait and {state} were let in by Redis' own count; polls without an answer of the store: {}{}",
            number(figure(&report, "blind")?),
            first_error(&report),
        ),
    });
    Ok(())
}

fn first_error(report: &serde_json::Value) -> String {
    report["first_error"].as_str().map(|error| format!("; the first error: {error}")).unwrap_or_default()
}
