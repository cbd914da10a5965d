//! Removes holds and queue sessions that were over long ago: tables that grow with every visitor.

use std::time::Duration;

use async_trait::async_trait;

use super::task::{Ran, Task, TaskError};
use crate::ledger::Ledger;
use crate::ledger::retention::PRUNE_ROWS;

/// Days are kept: minutes do not matter.
const PERIOD: Duration = Duration::from_secs(300);

/// Queue sessions are remembered at least this long, days: no session of the waiting room lasts as long.
const SESSIONS_AT_LEAST: i32 = 30;

/// Removes them.
pub struct Retention {
    ledger: Ledger,
    keep_days: i32,
}

impl Retention {
    /// Keeps holds that came to nothing for so many days.
    pub fn new(ledger: Ledger, keep_days: u32) -> Self {
        Self { ledger, keep_days: i32::try_from(keep_days).unwrap_or(i32::MAX) }
    }
}

#[async_trait]
impl Task for Retention {
    fn name(&self) -> &'static str {
        "retention"
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    async fn run_once(&self) -> Result<Ran, TaskError> {
        let holds = self.ledger.prune_holds(self.keep_days).await?;
        let sessions = self.ledger.prune_queue_tokens(self.keep_days.max(SESSIONS_AT_LEAST)).await?;
        Ok(if holds >= PRUNE_ROWS || sessions >= PRUNE_ROWS { Ran::More } else { Ran::Idle })
    }
}
