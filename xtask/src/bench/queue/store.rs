//! The line at the store: memory with a million in it, what a join costs Redis, and how fast a position is found.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::super::Profile;
use super::bed::{BOTH, Bed, FULL, resident};
use super::book::{Aim, Book, Row, number};

const MILLION: u64 = 1_000_000;
const MIB: f64 = 1024.0 * 1024.0;

/// Visitors in a batch of a proxy that has more to do than it can: the most that a call takes.
const FULL_BATCH: u64 = 1000;
/// In a batch at the aimed rate over HTTP: what comes in while a call is under way, at 25,000 a second.
const USUAL_BATCH: u64 = 100;

/// Time for a proxy to have looked at the store some times, and to have remembered everything once.
const SETTLED: Duration = Duration::from_secs(12);

pub(super) async fn memory(profile: Profile, book: &mut Book) -> Result<()> {
    let mut bed = Bed::start(profile).await?;
    bed.add_node(&BOTH, 0.0).await?;
    let pid = bed.node()?.child.pid();
    let mut redis = bed.ask().await?;
    tokio::time::sleep(SETTLED).await;
    let (empty, idle) = (redis.info("memory", "used_memory").await?, resident(pid)?);

    bed.fill(FULL, 100_000, FULL_BATCH).await?;
    tokio::time::sleep(SETTLED).await;
    let at_100_000 = resident(pid)?;
    bed.fill(FULL, MILLION - 100_000, FULL_BATCH).await?;
    tokio::time::sleep(SETTLED).await;
    let (full, at_a_million) = (redis.info("memory", "used_memory").await?, resident(pid)?);
    let waiting = redis.ask(&["ZCARD", &format!("queue:{{{FULL}}}:waiting")]).await?.number();
    anyhow::ensure!(waiting == Some(MILLION), "{waiting:?} are in line");

    // The same line as a plain sorted set, at a Redis of its own.
    let plain = Bed::start(profile).await?;
    let mut other = plain.ask().await?;
    let before = other.info("memory", "used_memory").await?;
    plain.store(&["plain", &plain.redis.url(), &MILLION.to_string(), "1000"]).await?;
    let plain_mb = (other.info("memory", "used_memory").await? - before) / 1e6;

    book.note(Row {
        what: "Redis memory, 1,000,000 waiting".to_owned(),
        value: (full - empty) / 1e6,
        unit: "MB",
        aim: Aim::AtMost(140.0),
        beside: format!("a plain ZSET of the same: {} MB", number(plain_mb)),
    });
    book.note(Row {
        what: "proxy memory over idle, 1,000,000 waiting".to_owned(),
        value: (at_a_million - idle) / MIB,
        unit: "MiB",
        aim: Aim::AtMost(20.0),
        beside: format!(
            "RSS {:.1} MiB with nobody, {:.1} with 100,000, {:.1} with 1,000,000",
            idle / MIB,
            at_100_000 / MIB,
            at_a_million / MIB
        ),
    });
    Ok(())
}

pub(super) async fn joins(profile: Profile, book: &mut Book) -> Result<()> {
    let bed = Bed::start(profile).await?;
    let url = bed.redis.url();
    // The tables of Redis grow as the line does: all are measured while it grows to half a million.
    let plain_one = per_cpu_second(&bed, 30_000, async |bed| bed.store(&["plain", &url, "30000", "1"]).await).await?;
    let plain = per_cpu_second(&bed, 500_000, async |bed| bed.store(&["plain", &url, "500000", "1000"]).await).await?;
    let usual = per_cpu_second(&bed, 250_000, async |bed| bed.fill("usual", 250_000, USUAL_BATCH).await).await?;
    let full = per_cpu_second(&bed, 500_000, async |bed| bed.fill("joins", 500_000, FULL_BATCH).await).await?;
    let plain =
        format!("INCR and ZADD NX: {}/s in pipelines of 1,000, {}/s one by one", number(plain), number(plain_one));
    book.note(Row {
        what: "joins a second of Redis' processor, 1,000 a call".to_owned(),
        value: full,
        unit: "/s",
        aim: Aim::AtLeast(200_000.0),
        beside: plain,
    });
    book.note(Row {
        what: "joins a second of Redis' processor, 100 a call".to_owned(),
        value: usual,
        unit: "/s",
        aim: Aim::None,
        beside: "as batches are at 25,000 joins/s over HTTP".to_owned(),
    });
    Ok(())
}

/// How many of `count` Redis does in a second of its own processor time.
async fn per_cpu_second(bed: &Bed, count: u32, work: impl AsyncFnOnce(&Bed) -> Result<Value>) -> Result<f64> {
    let mut redis = bed.ask().await?;
    let before = redis.cpu_s().await?;
    work(bed).await?;
    Ok(f64::from(count) / (redis.cpu_s().await? - before))
}

pub(super) async fn lookups(profile: Profile, book: &mut Book) -> Result<()> {
    let bed = Bed::start(profile).await?;
    bed.fill(FULL, MILLION, FULL_BATCH).await?;
    let index = bed.store(&["index"]).await?;
    let mut redis = bed.ask().await?;
    let before = redis.cpu_s().await?;
    let zrank = bed.store(&["zrank", &bed.redis.url(), FULL, "50000"]).await?;
    let cpu_us = (redis.cpu_s().await? - before) * 1e6 / figure(&zrank, "lookups")?;
    book.note(Row {
        what: "position lookups".to_owned(),
        value: figure(&index, "lookups_per_s")?,
        unit: "/s",
        aim: Aim::AtLeast(10e6),
        beside: format!(
            "ZRANK over a kept connection, one by one: {}/s, {cpu_us:.1} µs of Redis each",
            number(figure(&zrank, "per_s")?)
        ),
    });
    book.note(Row {
        what: "index of a million bits built in".to_owned(),
        value: figure(&index, "build_us")?,
        unit: "µs",
        aim: Aim::AtMost(100.0),
        beside: format!("{} of a million waiting; once a second for each proxy", number(figure(&index, "waiting")?)),
    });
    Ok(())
}

/// A number of a program's report.
pub(super) fn figure(report: &Value, path: &str) -> Result<f64> {
    let value = path.split('.').fold(report, |value, key| &value[key]);
    value.as_f64().with_context(|| format!("no number {path} in {report}"))
}
