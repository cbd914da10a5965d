//! The way out of the outbox: so many events of a sale's mix, the worker as it is shipped with its consumers, and how
//! long until the last one is marked.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::site::Site;

/// Events for each second that a round is to take: twice the aim.
const EVENTS_A_SECOND: u64 = 20_000;

/// A worker that is this slow has come to a halt.
const RELAYED_WITHIN: Duration = Duration::from_secs(300);

/// Seldom enough not to be seen in the figure.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Requests in flight may finish.
const STOPPED_WITHIN: Duration = Duration::from_secs(15);

/// What came of one run.
pub(super) struct Outcome {
    pub(super) events: u64,
    /// From the order to start the worker to the last mark, by the database's clock.
    pub(super) took: Duration,
    pub(super) per_s: f64,
}

/// Fills the outbox and lets one worker empty it.
pub(super) async fn run(site: &Site, time: Duration) -> Result<Outcome> {
    site.clear().await?;
    site.sql("TRUNCATE concert_minutes, settlement_days, event_receipts, dead_letters").await?;
    let events = EVENTS_A_SECOND * time.as_secs();
    site.sql(&include_str!("relay.sql").replace("{events}", &events.to_string())).await?;
    site.sql("VACUUM ANALYZE outbox").await?;
    let began = site.sql("SELECT clock_timestamp()").await?;
    let worker = site.worker().await?;
    let emptied = async || {
        // Looking is work for the database too, and when it was done does not depend on who looks.
        tokio::time::sleep(LOOK_EVERY).await;
        let pending = "SELECT count(*) FROM (SELECT FROM outbox WHERE relayed_at IS NULL LIMIT 1) pending";
        site.sql(pending).await.is_ok_and(|pending| pending == "0")
    };
    worker.wait_until("the outbox to be empty", RELAYED_WITHIN, emptied).await?;
    let took = format!("SELECT extract(epoch FROM max(relayed_at) - '{began}') FROM outbox");
    let took = site.sql(&took).await?.parse::<f64>().context("the time of the last mark")?;
    let counted = site.sql("SELECT sum(events) FROM concert_minutes").await?;
    worker.terminate(STOPPED_WITHIN).await.context("stopping the worker")?;
    ensure!(counted == events.to_string(), "the statistics have {counted} of {events} events");
    Ok(Outcome { events, took: Duration::from_secs_f64(took), per_s: events as f64 / took })
}
