//! The crowd: one run of `loadtest` against the visitors' address, and its report.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use testbed::process::{Child, Signal};

use super::Options;
use super::site::{Site, program};

/// Whom the crowd acts for: not the last hundred, whom people in browsers become (users.demo_login).
const USERS: &str = "1-900";

/// Share of visitors who buy; the others only look.
const BUY_RATIO: &str = "0.8";

/// The crowd comes this many times faster than it is let in, so that most of it has to wait.
const PRESSURE: f64 = 4.0;

/// Longest and shortest time over which the crowd comes.
const ARRIVE_S: (f64, f64) = (1.0, 60.0);

/// How long an interrupted crowd may take over its report.
const REPORT_WITHIN: Duration = Duration::from_secs(60);

/// A crowd on its way.
#[derive(Debug)]
pub(crate) struct Crowd {
    child: Child,
    report: PathBuf,
    gone: bool,
}

/// What the crowd tells of itself.
#[derive(Debug)]
pub(crate) struct Report {
    /// The table that it printed.
    pub(crate) table: String,
    /// Its JSON file, when it wrote one.
    pub(crate) json: Option<Value>,
    /// Whether it found nothing broken.
    pub(crate) good: bool,
    /// Whether it had to be interrupted.
    pub(crate) interrupted: bool,
}

impl Crowd {
    /// Sends it.
    pub(crate) fn send(site: &Site, options: &Options) -> Result<Self> {
        let report = site.files().crowd_report();
        let arrive = arrive_s(options.crowd, options.rate, options.seconds);
        let child = program("loadtest")
            .args(["run", "--url", &format!("http://{}", site.addresses().visitors)])
            .args(["--visitors", &options.crowd.to_string(), "--arrive", &arrive.to_string()])
            .args(["--buy-ratio", BUY_RATIO, "--audit-url", &format!("http://{}", site.addresses().service)])
            .args(["--users", USERS])
            .arg("--users-secret")
            .arg(site.files().users_key())
            // Its progress would stand between the lines of the graph.
            .args(["--quiet", "--json"])
            .arg(&report)
            .start()?;
        Ok(Self { child, report, gone: false })
    }

    /// Says once that everybody has gone: a demo without an end stays up after that.
    pub(crate) fn tell_when_gone(&mut self) {
        if !self.gone && self.child.exit_status().is_some() {
            self.gone = true;
            println!("        the crowd has gone; the queue stays open");
        }
    }

    /// Waits for its report, interrupting it when it is still under way.
    pub(crate) async fn finish(self) -> Result<Option<Report>> {
        let interrupted = self.child.exit_status().is_none();
        self.child.signal(Signal::Interrupt)?;
        let status = self.child.wait(REPORT_WITHIN).await.context("the crowd does not come home")?;
        let json = fs::read_to_string(&self.report).ok();
        let json = json.map(|text| serde_json::from_str(&text)).transpose().context("reading the crowd's report")?;
        Ok(Some(Report { table: self.child.log(), json, good: status.success(), interrupted }))
    }
}

/// Over how many seconds the crowd comes: so fast that most of it has to wait, and early in a short demo.
fn arrive_s(crowd: u32, rate: f64, seconds: Option<u64>) -> u64 {
    let unhurried = f64::from(crowd) / rate / PRESSURE;
    let early = seconds.map_or(f64::INFINITY, |seconds| seconds as f64 / 6.0);
    unhurried.min(early).clamp(ARRIVE_S.0, ARRIVE_S.1).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_of_the_crowd_has_to_wait_and_comes_early() {
        assert_eq!(arrive_s(2000, 50.0, Some(60)), 10);
        assert_eq!(arrive_s(2000, 50.0, Some(12)), 2);
        assert_eq!(arrive_s(100_000, 1.0, None), 60);
        assert_eq!(arrive_s(1, 100.0, None), 1);
    }
}
