//! The load: one run of `wrk` on its own core, and what it has found.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testbed::process::Program;

/// Connections of the load. The server has one core: more would only queue.
const CONNECTIONS: &str = "64";

/// How much longer than asked `wrk` may take.
const GRACE: Duration = Duration::from_secs(20);

/// What is asked for, again and again.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) addr: SocketAddr,
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
}

/// What came of one run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Outcome {
    pub(super) requests: u64,
    pub(super) per_s: f64,
    pub(super) p99_ms: f64,
}

/// Puts load on `target` from `core` for `time`.
pub(super) async fn put(target: &Target, core: usize, time: Duration) -> Result<Outcome> {
    let mut wrk = Program::installed("taskset", "util-linux")?
        .named("wrk")
        .args(["-c", &core.to_string(), "wrk", "-t1", "-c", CONNECTIONS, "--latency", "--timeout", "5s"])
        .arg(format!("-d{}s", time.as_secs()));
    for (name, value) in &target.headers {
        wrk = wrk.arg("-H").arg(format!("{name}: {value}"));
    }
    let url = format!("http://{}{}", target.addr, target.path);
    let output = wrk.arg(&url).output(time + GRACE).await?;
    ensure!(output.status.success(), "wrk on {url} failed: {}{}", output.stdout, output.stderr);
    parse(&output.stdout).with_context(|| format!("wrk on {url}: {}", output.stdout))
}

/// Reads the report of `wrk`. An error answer is a failed benchmark, not a fast one.
fn parse(report: &str) -> Result<Outcome> {
    let bad = report.lines().find(|line| line.contains("Non-2xx") || line.contains("Socket errors"));
    ensure!(bad.is_none(), "not all requests were answered with success: {}", bad.unwrap_or_default().trim());
    let after = |start: &str| report.lines().find_map(|line| line.trim().strip_prefix(start)).map(str::trim);
    let requests = report.lines().find_map(|line| line.trim().split_once(" requests in ")).context("no requests")?;
    Ok(Outcome {
        requests: requests.0.parse().context("no count of requests")?,
        per_s: after("Requests/sec:").context("no rate")?.parse().context("no rate")?,
        p99_ms: milliseconds(after("99%").context("no latency")?).context("no latency")?,
    })
}

/// Reads `1.25ms`, `830.00us` or `1.02s`.
fn milliseconds(text: &str) -> Option<f64> {
    let units = [("us", 0.001), ("ms", 1.0), ("s", 1000.0)];
    let (number, factor) = units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))?;
    Some(number.parse::<f64>().ok()? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "Running 5s test @ http://127.0.0.1:1/\n  1 threads and 64 connections\n  Latency Distribution\n     \
                          50%    0.91ms\n     99%    1.25ms\n  171234 requests in 5.00s, 21.7MB read\n\
                          Requests/sec:  34242.66\nTransfer/sec:      4.34MB\n";

    #[test]
    fn a_report_is_read() {
        assert_eq!(parse(REPORT).unwrap(), Outcome { requests: 171_234, per_s: 34242.66, p99_ms: 1.25 });
        assert_eq!(milliseconds("750.00us"), Some(0.75));
        assert_eq!(milliseconds("2.00s"), Some(2000.0));
    }

    #[test]
    fn errors_are_no_result() {
        let failed = REPORT.replace("Transfer", "  Non-2xx or 3xx responses: 12\nTransfer");
        assert!(parse(&failed).unwrap_err().to_string().contains("responses: 12"));
    }
}
