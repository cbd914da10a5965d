//! Holds as fast as they go: through the service with wrk, and the same SQL by pgbench; same seats, users and release.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testbed::process::Program;

use super::site::{SCHEDULE, SEATS, Site, USERS};
use crate::bench::rounds::LOAD_CORE;

/// Share of the attempts that may end undecided (503 `busy`): more, and the figure says something else.
const MOST_UNDECIDED: f64 = 0.01;

/// Clients that each wait for their answer, on both sides.
const CLIENTS: &str = "64";

/// How much longer than asked the load may take.
const GRACE: Duration = Duration::from_secs(30);

/// The power law of hot seats.
const ZIPF: &str = "1.3";

/// Which seats are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seats {
    /// The first ones far more often.
    Hot,
    /// All alike.
    Uniform,
}

/// What came of one run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    pub(super) attempts_per_s: f64,
    pub(super) held_per_s: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    /// Transactions of Postgres for each seat that was held.
    pub(super) calls_per_hold: f64,
}

/// Through the service at `addr`, with an idempotency key each or none.
pub(super) async fn through_http(
    site: &Site,
    addr: std::net::SocketAddr,
    seats: Seats,
    keyed: bool,
    time: Duration,
) -> Result<Outcome> {
    site.clear().await?;
    let script = site.path().join("holds.lua");
    fs::write(&script, include_str!("holds.lua")).with_context(|| format!("writing {}", script.display()))?;
    let before = site.transactions().await?;
    let output = Program::installed("taskset", "util-linux")?
        .named("wrk")
        .args(["-c", &LOAD_CORE.to_string(), "wrk", "-t1", "-c", CLIENTS, "--timeout", "10s"])
        .arg(format!("-d{}s", time.as_secs()))
        .arg("-s")
        .arg(&script)
        .arg(format!("http://{addr}"))
        .arg("--")
        .arg(site.tokens())
        .args([SCHEDULE.to_string(), SEATS.to_string()])
        .args([if seats == Seats::Hot { ZIPF } else { "0" }, if keyed { "1" } else { "0" }])
        .output(time + GRACE)
        .await?;
    ensure!(output.status.success(), "wrk on {addr} failed: {}{}", output.stdout, output.stderr);
    let line = output.stdout.lines().find_map(|line| line.strip_prefix("holds ")).context("wrk counted nothing")?;
    let numbers: Vec<f64> = line.split(' ').map(str::parse).collect::<Result<_, _>>().context("wrk's counts")?;
    let [held, refused, other, took_us, p50_ms, p99_ms] = numbers[..] else { anyhow::bail!("wrk's counts: {line}") };
    // A lock that does not come free in time is answered 503 `busy`: no attempt that was decided.
    let most = (held + refused) * MOST_UNDECIDED;
    ensure!(other <= most, "{other} answers were neither 201 nor 409, {most} may be:\n{}", output.stdout);
    let per_s = 1e6 / took_us;
    let calls = site.transactions().await? - before;
    Ok(Outcome {
        attempts_per_s: (held + refused) * per_s,
        held_per_s: held * per_s,
        p50_ms,
        p99_ms,
        calls_per_hold: calls as f64 / held.max(1.0),
    })
}

/// The same SQL, straight to Postgres.
pub(super) async fn by_pgbench(site: &Site, seats: Seats, time: Duration) -> Result<Outcome> {
    site.clear().await?;
    let folder = site.path().join("pgbench");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let script = folder.join("holds.sql");
    let seat = match seats {
        Seats::Hot => format!("random_zipfian(1, {SEATS}, {ZIPF})"),
        Seats::Uniform => format!("random(1, {SEATS})"),
    };
    let sql = format!(
        "\\set n {seat}\n\\set u random(1, {USERS})\nSELECT hold_seats(:u, {SCHEDULE}, ARRAY['S-' || :n::integer], \
         gen_random_uuid(), 1, 10000, gen_random_uuid()::text, '\\x00'::bytea);\n"
    );
    fs::write(&script, sql).with_context(|| format!("writing {}", script.display()))?;
    let before = site.transactions().await?;
    let url = site.database_url();
    let output = Program::installed("taskset", "util-linux")?
        .named("pgbench")
        .args(["-c", &LOAD_CORE.to_string()])
        .arg(super::site::postgres_program("pgbench")?)
        .args(["-n", "-M", "prepared", "-j", "1", "-c", CLIENTS, "-T", &time.as_secs().to_string(), "-l"])
        .arg("-f")
        .arg(&script)
        .arg(&url)
        .folder(&folder)
        .output(time + GRACE)
        .await?;
    ensure!(output.status.success(), "pgbench failed: {}{}", output.stdout, output.stderr);
    let tps =
        output.stdout.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse::<f64>().ok());
    let attempts_per_s = tps.with_context(|| format!("pgbench told no rate: {}", output.stdout))?;
    let took_s = time.as_secs_f64();
    let held: f64 = site.sql("SELECT count(*) FROM seat_holds").await?.parse().context("counting holds")?;
    let calls = site.transactions().await? - before;
    let latencies = latencies_ms(&folder)?;
    Ok(Outcome {
        attempts_per_s,
        held_per_s: held / took_s,
        p50_ms: percentile(&latencies, 0.50),
        p99_ms: percentile(&latencies, 0.99),
        calls_per_hold: calls as f64 / held.max(1.0),
    })
}

/// Of every transaction in the logs that pgbench has left in a folder, sorted.
fn latencies_ms(folder: &Path) -> Result<Vec<f64>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).context("reading pgbench's logs")? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("pgbench_log")) {
            let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            // client, number, microseconds, …
            all.extend(
                text.lines().filter_map(|line| line.split(' ').nth(2)?.parse::<f64>().ok()).map(|us| us / 1_000.0),
            );
        }
    }
    ensure!(!all.is_empty(), "pgbench has logged nothing");
    all.sort_by(f64::total_cmp);
    Ok(all)
}

/// Of sorted numbers.
pub(super) fn percentile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_few_numbers() {
        let numbers: Vec<f64> = (1..=101).map(f64::from).collect();
        assert_eq!((percentile(&numbers, 0.5), percentile(&numbers, 0.99), percentile(&[], 0.5)), (51.0, 100.0, 0.0));
    }
}
