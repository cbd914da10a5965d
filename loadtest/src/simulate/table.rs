//! The forecast for people. Pure.

use std::fmt::Write as _;

use simulation::plan::{Forecast, Limit, Load};

/// The forecast as rows.
pub(super) fn of(forecast: &Forecast) -> String {
    let mut text = String::new();
    let sale = &forecast.sale;
    let each = match forecast.each_stands_for {
        1 => String::new(),
        each => format!("; each simulated visitor stands for {each}"),
    };
    let cap = if sale.max_active == 0 { "no cap".to_owned() } else { format!("at most {} inside", sale.max_active) };
    row(
        &mut text,
        "Sale",
        &format!(
            "{} visitors within {} s, {}/s, {cap}, {} % give up, {} proxies, seed {}{each}",
            sale.visitors,
            sale.arrive_s,
            sale.rate_per_s,
            sale.leave * 100.0,
            sale.nodes,
            sale.seed
        ),
    );
    row(
        &mut text,
        "Visitors",
        &format!(
            "{} let in, {} gave up, {} turns wasted on people who had gone; longest line {}",
            forecast.admitted, forecast.gave_up, forecast.wasted_turns, forecast.longest_line
        ),
    );
    let wait = forecast.wait_s;
    let times = [wait.p50, wait.p90, wait.p99, wait.max].map(span);
    row(&mut text, "Waits", &format!("p50 {}   p90 {}   p99 {}   max {}", times[0], times[1], times[2], times[3]));
    let empty = forecast.empty_after_s.map_or_else(|| "not within a day".to_owned(), |s| format!("after {}", span(s)));
    row(&mut text, "Line empty", &empty);
    row(&mut text, "Polls", &load(forecast.polls, |n| format!("{n:.0}/s")));
    row(&mut text, "All requests", &load(forecast.requests, |n| format!("{n:.0}/s")));
    let memory = forecast.memory;
    row(
        &mut text,
        "Memory",
        &format!(
            "Redis {}, each proxy {} and {} for the connections of pollers",
            bytes(memory.redis_bytes),
            bytes(memory.proxy_bytes),
            bytes(memory.connections_bytes)
        ),
    );
    let core = |n: f64| format!("{:.1} % of a core", n * 100.0);
    row(&mut text, "Redis", &load(forecast.redis, core));
    row(&mut text, "Each proxy", &load(forecast.proxy, core));
    row(&mut text, "Bitmaps", &load(forecast.bitmap_bytes, |n| format!("{}/s to each proxy", bytes(n))));
    if let Some(first) = forecast.limits.first() {
        let verdict = if first.share > 1.0 { "more than there is" } else { "enough of everything" };
        row(&mut text, "First gives way", &format!("{}: {verdict}. Helps: {}", limit(first), first.then));
    }
    for next in forecast.limits.iter().skip(1) {
        row(&mut text, "  then", &limit(next));
    }
    text.pop();
    text
}

fn row(text: &mut String, name: &str, what: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{name:<17} {what}");
}

fn load(load: Load, show: impl Fn(f64) -> String) -> String {
    format!("peak {}, mean {}", show(load.peak), show(load.mean))
}

fn limit(limit: &Limit) -> String {
    let show = |n: f64| match limit.unit {
        "bytes" => bytes(n),
        "bytes/s" => format!("{}/s", bytes(n)),
        "cores" => format!("{n:.2} cores"),
        _ => format!("{n:.0}"),
    };
    format!("{}, {} of {} ({:.0} %)", limit.what, show(limit.needs), show(limit.has), limit.share * 100.0)
}

fn bytes(n: f64) -> String {
    match n {
        n if n >= 1e9 => format!("{:.2} GB", n / 1e9),
        n if n >= 1e6 => format!("{:.1} MB", n / 1e6),
        n => format!("{:.1} kB", n / 1e3),
    }
}

fn span(seconds: f64) -> String {
    match seconds {
        s if s >= 3_600.0 => format!("{} h {:02} min", (s / 3_600.0) as u64, (s % 3_600.0 / 60.0) as u64),
        s if s >= 60.0 => format!("{} min {:02} s", (s / 60.0) as u64, (s % 60.0) as u64),
        s => format!("{s:.1} s"),
    }
}
