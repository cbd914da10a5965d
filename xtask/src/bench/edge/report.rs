//! What was reached beside what was aimed at: on the terminal, as JSON and as a picture.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::super::chart;
use super::super::rounds::{Sample, Spread, Variant, spread};
use crate::cargo;

/// A ratio that is aimed at: what, the variant of ours, that of the reference, and the least.
const RATIOS: [(&str, usize, usize, f64); 3] = [
    ("forwarding ÷ bare Pingora", 0, 1, 0.95),
    ("waiting page ÷ nginx static", 2, 3, 1.0),
    ("status ÷ nginx constant", 4, 5, 0.9),
];

/// Fewer undisturbed rounds than this make no median: then all rounds are taken, and that is said.
const LEAST_ROUNDS: usize = 3;

/// Prints and writes everything.
pub(super) fn write(variants: &[Variant], samples: &[Vec<Sample>], time: Duration) -> Result<()> {
    let rounds = samples.first().map_or(0, Vec::len);
    let calm = (0..rounds).filter(|round| samples.iter().all(|samples| !samples[*round].disturbed()));
    let calm: Vec<usize> = calm.collect();
    let counted: Vec<usize> = if calm.len() >= LEAST_ROUNDS { calm.clone() } else { (0..rounds).collect() };
    println!("\n  {} of {rounds} rounds were undisturbed; {} are counted", calm.len(), counted.len());

    let mut rows = Vec::new();
    for (variant, samples) in variants.iter().zip(samples) {
        let of = |value: fn(&Sample) -> f64| spread(counted.iter().map(|round| value(&samples[*round])));
        let (Some(rate), Some(cpu), Some(p99), Some(load)) =
            (of(|s| s.per_s), of(|s| s.cpu_us), of(|s| s.p99_ms), of(|s| s.load_core))
        else {
            continue;
        };
        println!(
            "  {:<26} {:>8.0}/s ({:.0} to {:.0})  {:>6.2} µs CPU  p99 {:>5.2} ms  load core {:>3.0} %",
            variant.name,
            rate.median,
            rate.least,
            rate.most,
            cpu.median,
            p99.median,
            load.median * 100.0
        );
        rows.push(json!({ "name": variant.name, "per_s": value(rate), "cpu_us": value(cpu), "p99_ms": value(p99),
                          "load_core": value(load) }));
    }
    println!();
    let mut bars = Vec::new();
    let mut ratios = Vec::new();
    for (name, ours, reference, least) in RATIOS {
        let of = |value: fn(&Sample) -> f64| {
            spread(counted.iter().map(|round| value(&samples[ours][*round]) / value(&samples[reference][*round])))
        };
        let (Some(rate), Some(cpu)) = (of(|s| s.per_s), of(|s| s.cpu_us)) else { continue };
        let verdict = if rate.median >= least { "reached" } else { "MISSED" };
        println!(
            "  {name:<30} {:.3} ({:.3} to {:.3})   aim ≥ {least:.2}   {verdict}   CPU × {:.2}",
            rate.median, rate.least, rate.most, cpu.median
        );
        ratios.push(json!({ "name": name, "ratio": value(rate), "cpu_ratio": value(cpu), "aim": least,
                            "reached": rate.median >= least }));
        bars.push(chart::Bar { name, value: rate, aim: least });
    }
    let all = json!({ "bench": "edge", "seconds": time.as_secs(), "rounds": rounds, "undisturbed": calm.len(),
                      "counted": counted.len(), "variants": rows, "ratios": ratios });
    save(&all, &chart::svg("waitroom-proxy against its references (same machine, same run)", &bars))
}

fn save(json: &Value, svg: &str) -> Result<()> {
    let folder = cargo::target().join("bench");
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    for (name, text) in [("edge.json", format!("{json:#}\n").as_str()), ("edge.svg", svg)] {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        println!("  written: {}", path.display());
    }
    Ok(())
}

fn value(spread: Spread) -> Value {
    json!({ "median": spread.median, "least": spread.least, "most": spread.most })
}
