//! Removes what was kept long enough, and measures what waits.

use std::time::Duration;

use async_trait::async_trait;
use prometheus::{GaugeVec, Opts, Registry};

use super::task::{Ran, Task, TaskError};
use crate::ledger::Ledger;

const PERIOD: Duration = Duration::from_secs(5);

/// Waiting events are counted no further: behind by this much is far behind.
const COUNTED: i64 = 100_000;

/// Prunes and measures.
pub struct Housekeeping {
    ledger: Ledger,
    keep_days: i32,
    waiting: GaugeVec,
}

impl Housekeeping {
    /// Keeps relayed events and receipts for so many days. Fails only when its metrics' names are taken.
    pub fn new(ledger: Ledger, keep_days: u32, registry: &Registry) -> Result<Self, prometheus::Error> {
        let waiting = GaugeVec::new(
            Opts::new(
                "event_backlog",
                "What waits: outbox_events, outbox_oldest_seconds (the lag of the relay), \
                 webhook_deliveries, dead_letters.",
            ),
            &["what"],
        )?;
        registry.register(Box::new(waiting.clone()))?;
        Ok(Self { ledger, keep_days: i32::try_from(keep_days).unwrap_or(i32::MAX), waiting })
    }
}

#[async_trait]
impl Task for Housekeeping {
    fn name(&self) -> &'static str {
        "housekeeping"
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    async fn run_once(&self) -> Result<Ran, TaskError> {
        let backlog = self.ledger.outbox_backlog(COUNTED).await?;
        let deliveries = self.ledger.count_deliveries(COUNTED).await?;
        let dead = self.ledger.count_dead_letters().await?;
        // Counts below 2^53 are exact in a float.
        for (what, value) in [
            ("outbox_events", backlog.events as f64),
            ("outbox_oldest_seconds", backlog.oldest_s),
            ("webhook_deliveries", deliveries as f64),
            ("dead_letters", dead as f64),
        ] {
            self.waiting.with_label_values(&[what]).set(value);
        }
        let removed =
            self.ledger.prune_outbox(self.keep_days).await? + self.ledger.prune_receipts(self.keep_days).await?;
        Ok(if removed > 0 { Ran::More } else { Ran::Idle })
    }
}
