//! The summary for people.

use std::fmt;

use super::{Percentiles, Report};

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let early = if self.stopped_early { ", stopped early" } else { "" };
        row(f, "Run", &format!("{}, {:.1} s{early}, seed {}", self.url, self.took_s, self.seed))?;
        let visitors = format!(
            "{} came, {} entered ({} through the line, {} straight)",
            self.arrived, self.entered, self.admissions.from_line, self.straight_through
        );
        row(f, "Visitors", &visitors)?;
        row(f, "Waiting, all", &times(&self.waiting_ms))?;
        row(f, "Waiting, in line", &times(&self.in_line_ms))?;
        row(f, "Admissions", &self.admissions_line())?;
        let booked = format!("{} reservations, {} seats", self.booked, self.seats_booked);
        row(f, "Booked", &booked)?;
        row(f, "Visits", &list(self.outcomes.iter()))?;
        row(f, "Refused", &list(self.refused.iter()))?;
        row(f, "Errors", &list(self.errors.iter()))?;
        row(f, "Status codes", &list(self.counts.status.iter()))?;
        row(f, "Retries", &list(self.counts.retries.iter()))?;
        row(f, "No answer", &list(self.counts.failures.iter()))?;
        if self.sessions_lost > 0 {
            row(f, "Sessions lost", &self.sessions_lost.to_string())?;
        }
        if self.generator_late_ms > 100 {
            row(f, "Load generator", &format!("up to {} ms late: this program was a limit", self.generator_late_ms))?;
        }
        self.verdict(f)
    }
}

impl Report {
    fn admissions_line(&self) -> String {
        let Some(per_s) = self.admissions.per_s else { return "nobody had to wait".to_owned() };
        let steady = self.admissions.steady_per_s.map(|steady| format!(", steady {steady:.2}/s")).unwrap_or_default();
        format!("{per_s:.2}/s over {:.1} s in which somebody waited{steady}", self.admissions.busy_s)
    }

    fn verdict(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let audit = &self.audit;
        let checked = format!(
            "{} seats sold once, {} reservations found again, {} wallets add up ({} with a lost answer), {} tickets",
            audit.seats_sold, audit.reservations_confirmed, audit.wallets_checked, audit.wallets_unsure, audit.tickets
        );
        if self.is_clean() {
            row(f, "Audit", &format!("every invariant held: {checked}"))?;
        } else {
            row(f, "Audit", &format!("{} INVARIANTS BROKEN; of {checked}", audit.broken_total))?;
        }
        row(f, "Not looked at", &list(audit.not_audited.iter()))?;
        if self.fifo_inversions > 0 {
            row(f, "Out of turn", &format!("{} entries, beyond what polling explains", self.fifo_inversions))?;
        }
        for broken in &audit.broken {
            writeln!(f, "  {} visitor {}: {}", broken.invariant, broken.visitor, broken.what)?;
        }
        Ok(())
    }
}

/// A row, unless there is nothing to say.
fn row(f: &mut fmt::Formatter<'_>, name: &str, text: &str) -> fmt::Result {
    if text.is_empty() { Ok(()) } else { writeln!(f, "{name:<17} {text}") }
}

fn times(times: &Percentiles) -> String {
    if times.count == 0 {
        return String::new();
    }
    let seconds = |ms: u64| format!("{:.1} s", ms as f64 / 1000.0);
    let [p50, p90, p99, max] = [times.p50, times.p90, times.p99, times.max].map(seconds);
    format!("p50 {p50}   p90 {p90}   p99 {p99}   max {max}   ({} visitors)", times.count)
}

fn list<K: fmt::Display, V: fmt::Display>(counts: impl Iterator<Item = (K, V)>) -> String {
    counts.map(|(name, count)| format!("{name}: {count}")).collect::<Vec<_>>().join(", ")
}
