//! The account at the end: what was promised, what was measured, and whether they agree.

use serde_json::Value;

use super::Options;
use super::audit::Audit;
use super::crowd::Report;
use super::watch::{Look, Watch, accuracy_of};
use crate::say;

/// How far admissions may be off the rate while somebody waits, in percent.
const OFF_PERCENT: f64 = 2.0;

/// One line of the account.
#[derive(Debug)]
struct Line {
    what: String,
    found: String,
    /// `None`: nothing was promised, or nothing could be measured.
    good: Option<bool>,
}

impl Line {
    fn new(what: impl Into<String>, found: impl Into<String>, good: impl Into<Option<bool>>) -> Self {
        Self { what: what.into(), found: found.into(), good: good.into() }
    }
}

/// Prints the account; `false` when something is broken.
pub(crate) fn print(options: &Options, watch: &Watch, report: Option<&Report>, audit: &Audit) -> bool {
    if let Some(report) = report {
        println!("{}\n", report.table);
    }
    let mut lines = Vec::new();
    if let Some(report) = report {
        lines.extend(crowd(options, watch.looks(), report));
    }
    lines.push(accuracy(watch.looks()));
    lines.extend(books(audit));
    println!("  the account");
    let width = lines.iter().map(|line| line.what.chars().count()).max().unwrap_or_default();
    for line in &lines {
        let mark = match line.good {
            Some(true) => say::coloured("ok    ", "32"),
            Some(false) => say::coloured("BROKEN", "1;31"),
            None => "      ".to_owned(),
        };
        println!("  {mark}  {:<width$}  {}", line.what, line.found);
    }
    lines.iter().all(|line| line.good != Some(false))
}

fn crowd(options: &Options, looks: &[Look], report: &Report) -> Vec<Line> {
    let came = report.json.as_ref().and_then(|json| number(json, &["arrived"]));
    let entered = report.json.as_ref().and_then(|json| number(json, &["entered"]));
    let mut lines = Vec::new();
    if let (Some(came), Some(entered)) = (came, entered) {
        let all = came == u64::from(options.crowd) && entered <= came;
        let waits = came.saturating_sub(entered);
        let found = format!("{came} of {} came, {entered} entered, {waits} were still waiting", options.crowd);
        // Interrupted by the end of the demo, some may not have come yet.
        lines.push(Line::new("visitors waited or entered", found, all || report.interrupted));
    }
    if let Some(last) = looks.last() {
        let store = format!("{} admitted, {} waiting", last.admitted_total, last.waiting);
        lines.push(Line::new("the same by the store's counters", store, None));
    }
    lines.push(Line::new(
        "the crowd's own audit over HTTP",
        if report.good { "adds up" } else { "see above" },
        report.good,
    ));
    lines
}

fn accuracy(looks: &[Look]) -> Line {
    let what = format!("admissions keep the rate within {OFF_PERCENT} %");
    match accuracy_of(looks) {
        None => Line::new(what, "nobody waited for long enough to measure", None),
        Some(kept) => {
            let off = kept.off_percent();
            let found = format!(
                "{:.2}/s of {}/s ({off:+.2} %) over {:.1} s by the store's clock",
                kept.measured_per_s, kept.rate_per_s, kept.over_s
            );
            Line::new(what, found, off.abs() <= OFF_PERCENT)
        }
    }
}

fn books(audit: &Audit) -> Vec<Line> {
    let mut lines = Vec::new();
    match &audit.accounts {
        Ok(accounts) => {
            for account in accounts {
                let found = format!("{} (of {})", account.wrong, account.counted);

                lines.push(Line::new(account.name, found, account.wrong == 0));
            }
        }
        Err(error) => lines.push(Line::new("the books in Postgres", format!("not to be read: {error:#}"), false)),
    }
    let what = "protected requests upstream without a valid token";
    lines.push(match &audit.unproven {
        Ok(unproven) => Line::new(what, unproven.to_string(), *unproven == 0),
        Err(error) => Line::new(what, format!("not to be read: {error:#}"), false),
    });
    lines
}

fn number(json: &Value, path: &[&str]) -> Option<u64> {
    path.iter().try_fold(json, |json, key| json.get(key))?.as_u64()
}
