//! What was reached beside what was aimed at: on the terminal, as JSON and as a picture.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::super::chart;
use super::super::rounds::{self, Sample, Spread, Variant, spread};
use crate::cargo;

/// A ratio: ours and its reference, by the names of variants.
struct Ratio {
    name: &'static str,
    ours: &'static str,
    reference: &'static str,
    aim: f64,
    /// Reported, and wished for; a miss is none of the issue's.
    wish: bool,
}

const FORWARD: &str = "forward: waitroom";
const STATUS: &str = "status: waitroom";

const RATIOS: [Ratio; 7] = [
    ratio("forwarding ÷ bare Pingora", FORWARD, "forward: bare Pingora", 0.95),
    ratio("forwarding ÷ nginx + Lua HS256", FORWARD, "forward: nginx + Lua HS256", 1.1),
    Ratio { wish: true, ..ratio("forwarding ÷ nginx plain", FORWARD, "forward: nginx plain", 0.75) },
    Ratio { wish: true, ..ratio("forwarding ÷ HAProxy plain", FORWARD, "forward: HAProxy plain", 0.75) },
    ratio("waiting page ÷ nginx static", "page: waitroom", "page: nginx static", 1.0),
    ratio("status ÷ nginx + Lua constant", STATUS, "status: nginx + Lua constant", 0.9),
    ratio("status ÷ nginx + Lua ZRANK", STATUS, "status: nginx + Lua ZRANK", 2.0),
];

const fn ratio(name: &'static str, ours: &'static str, reference: &'static str, aim: f64) -> Ratio {
    Ratio { name, ours, reference, aim, wish: false }
}

/// What the references do, for the reader of the figures.
const NOTES: &str = "  All servers have one thread on one core; load, upstream and Redis are on the other.\n  \
    nginx + Lua HS256: HMAC-SHA256 by OpenSSL through LuaJIT's FFI, claims by cjson, every request anew; then a plain proxy.\n  \
    nginx + Lua ZRANK: one ZRANK a request over kept connections, a million in line; Redis works on the other core.\n  \
    waitroom: session and ticket are sealed cookies; the signed token goes upstream with each request.";

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
    println!("{NOTES}\n");
    let (bars, ratios) = compare(variants, samples, &counted);
    let all = json!({ "bench": "edge", "seconds": time.as_secs(), "rounds": rounds, "undisturbed": calm.len(),
                      "counted": counted.len(), "variants": rows, "ratios": ratios });
    save(&all, &chart::svg("waitroom-proxy against its references (same machine, same run)", &bars))
}

/// The ratios round by round, and whether their intervals reach what was aimed at.
fn compare(variants: &[Variant], samples: &[Vec<Sample>], counted: &[usize]) -> (Vec<chart::Bar>, Vec<Value>) {
    let (mut bars, mut ratios) = (Vec::new(), Vec::new());
    for Ratio { name, ours, reference, aim, wish } in &RATIOS {
        let place = |wanted: &str| variants.iter().position(|variant| variant.name == wanted);
        let (Some(ours), Some(reference)) = (place(ours), place(reference)) else { continue };
        let of = |value: fn(&Sample) -> f64| {
            spread(counted.iter().map(|round| value(&samples[ours][*round]) / value(&samples[reference][*round])))
        };
        let (Some(rate), Some(cpu)) = (of(|s| s.per_s), of(|s| s.cpu_us)) else { continue };
        let met = rate.reaches(*aim);
        let verdict = match (met, wish) {
            (true, _) => "MET",
            (false, true) => "not reached, reported only",
            (false, false) => "MISSED",
        };
        println!("  {name:<32} {rate}   aim ≥ {aim:.2}   {verdict}   CPU × {:.2}", cpu.median);
        ratios.push(json!({ "name": name, "ratio": value(rate), "cpu_ratio": value(cpu), "aim": aim, "met": met,
                            "reported_only": wish }));
        bars.push(chart::Bar { name, value: rate, aim: *aim });
    }
    println!("\n  met when the interval reaches the aim; {}", rounds::HOW_SURE);
    (bars, ratios)
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
    json!({ "median": spread.median, "low": spread.low, "high": spread.high, "least": spread.least, "most": spread.most,
            "sure": spread.sure })
}
