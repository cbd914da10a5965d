//! How well admissions keep their rate, by the store's own counter and clock, and in what lumps they come.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::time::Instant;

use super::super::Profile;
use super::super::resp::Asker;
use super::bed::{BOTH, Bed, FULL};
use super::book::{Aim, Book, Row, number};

/// How often the counter is looked at: oftener than any tick.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// What the first burst gave is over by then.
const AFTER_US: u64 = 1_000_000;

const SECOND_US: u64 = 1_000_000;

/// Turns must come within this of the rate, in percent.
const OFF_PERCENT: f64 = 0.1;

/// The counter as a tick left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tick {
    /// The store's clock at the tick, microseconds.
    at_us: u64,
    admitted: u64,
}

/// What some ticks amount to.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Kept {
    per_s: f64,
    over_s: f64,
    /// Most turns in any second, the first burst included.
    worst_second: u64,
    /// Most turns at once, after the first burst.
    lump: u64,
    ticks: usize,
}

pub(super) async fn measure(profile: Profile, book: &mut Book) -> Result<()> {
    run(profile, book, 1, 20_000.0, 20).await?;
    run(profile, book, 4, 1_000.0, 60).await?;
    // A small site: its burst is a dozen, so a late tick costs turns here first.
    run(profile, book, 2, 50.0, 20).await
}

async fn run(profile: Profile, book: &mut Book, nodes: usize, rate: f64, seconds: u64) -> Result<()> {
    let mut bed = Bed::start(profile).await?;
    // Enough for the time, the first burst, and the start of all nodes.
    bed.fill(FULL, (rate * (seconds + 10) as f64) as u64, 1000).await?;
    let watch = tokio::spawn(watch(bed.ask().await?, Duration::from_secs(seconds + 2)));
    for _ in 0..nodes {
        bed.add_node(&BOTH, rate).await?;
    }
    let ticks = watch.await.context("the watch failed")??;
    bed.without_nodes();
    let kept = Kept::of(&ticks).with_context(|| format!("too few ticks to judge: {}", ticks.len()))?;
    let burst = (rate / 4.0).max(2.0);
    // A turn is given whole: over a thousand turns one more or less is as much as may be off.
    let aim = if rate * seconds as f64 > 10_000.0 { Aim::AtMost(OFF_PERCENT) } else { Aim::None };
    let off = (kept.per_s / rate - 1.0) * 100.0;
    let who = if nodes == 1 { "one node".to_owned() } else { format!("{nodes} nodes") };
    book.note(Row {
        what: format!("admissions at {}/s, {who}: off the rate by", number(rate)),
        value: off.abs(),
        unit: "%",
        aim,
        beside: format!(
            "{:.2}/s over {:.2} s, {} ticks with turns, after the first burst",
            kept.per_s, kept.over_s, kept.ticks
        ),
    });
    book.note(Row {
        what: format!("admissions at {}/s, {who}: worst second", number(rate)),
        value: kept.worst_second as f64,
        unit: "",
        aim: Aim::AtMost(rate + burst),
        beside: format!("rate + burst ({} by default); the largest lump at once: {}", number(burst), kept.lump),
    });
    Ok(())
}

/// Looks at the counter for `time` from the first turn on.
async fn watch(mut redis: Asker, time: Duration) -> Result<Vec<Tick>> {
    let state = format!("queue:{{{FULL}}}:state");
    let mut ticks: Vec<Tick> = Vec::new();
    let mut end = Instant::now() + Duration::from_secs(60);
    let mut next = Instant::now();
    while Instant::now() < end {
        let fields = redis.ask(&["HMGET", &state, "last", "adm"]).await?;
        let [at_us, admitted] = fields.many() else { anyhow::bail!("the state of the room is {fields:?}") };
        let tick =
            Tick { at_us: at_us.number().context("no time")?, admitted: admitted.number().context("no counter")? };
        match ticks.last() {
            Some(last) if last.admitted == tick.admitted => {}
            None if tick.admitted == 0 => {}
            before => {
                if before.is_none() {
                    end = Instant::now() + time;
                }
                ticks.push(tick);
            }
        }
        next = (next + LOOK_EVERY).max(Instant::now());
        tokio::time::sleep_until(next).await;
    }
    ensure!(!ticks.is_empty(), "nobody was let in within a minute");
    Ok(ticks)
}

impl Kept {
    /// `None` without two ticks after the first burst.
    fn of(ticks: &[Tick]) -> Option<Self> {
        let start = ticks.first()?.at_us + AFTER_US;
        let steady: Vec<Tick> = ticks.iter().copied().filter(|tick| tick.at_us >= start).collect();
        let (first, last) = (steady.first()?, steady.last()?);
        let over_s = (last.at_us - first.at_us) as f64 / SECOND_US as f64;
        // From tick to tick: what a tick gives is what the time since the one before has earned.
        let per_s = (over_s > 0.0).then(|| (last.admitted - first.admitted) as f64 / over_s)?;
        let lump = steady.windows(2).map(|two| two[1].admitted - two[0].admitted).max()?;
        Some(Self { per_s, over_s, worst_second: worst_second(ticks), lump, ticks: steady.len() })
    }
}

/// Most turns in any stretch of one second.
fn worst_second(ticks: &[Tick]) -> u64 {
    let given = |index: usize| ticks[index].admitted - index.checked_sub(1).map_or(0, |before| ticks[before].admitted);
    let (mut oldest, mut within, mut worst) = (0, 0, 0);
    for (index, tick) in ticks.iter().enumerate() {
        within += given(index);
        while ticks[oldest].at_us + SECOND_US <= tick.at_us {
            within -= given(oldest);
            oldest += 1;
        }
        worst = worst.max(within);
    }
    worst
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fifty turns at once, then ten every tenth of a second.
    fn steady() -> Vec<Tick> {
        (0..=100).map(|tick| Tick { at_us: 7_000_000 + tick * 100_000, admitted: 50 + tick * 10 }).collect()
    }

    #[test]
    fn the_rate_is_that_after_the_first_burst() {
        let kept = Kept::of(&steady()).unwrap();
        assert_eq!((kept.per_s, kept.over_s, kept.lump, kept.ticks), (100.0, 9.0, 10, 91));
        // The burst and nine ticks lie within one second; the tick a whole second later does not.
        assert_eq!(kept.worst_second, 50 + 9 * 10);
    }

    #[test]
    fn a_stall_shows_in_the_lump_and_in_the_rate() {
        let mut ticks = steady();
        ticks.drain(40..45);
        ticks.iter_mut().skip(40).for_each(|tick| tick.admitted -= 20);
        let kept = Kept::of(&ticks).unwrap();
        assert_eq!(kept.lump, 40);
        assert!(kept.per_s < 98.0, "{kept:?}");
        assert_eq!(Kept::of(&ticks[..3]), None);
    }
}
