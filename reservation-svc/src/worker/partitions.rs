//! The partitions worker: the months of reservations come before they are needed and go when they are old.

use std::time::Duration;

use async_trait::async_trait;
use chrono::Utc;

use super::task::{Ran, Task, TaskError};
use crate::ledger::Ledger;

/// Months are made two years ahead: an hour more or less is nothing.
const PERIOD: Duration = Duration::from_secs(3_600);

/// Makes and detaches months.
pub struct Partitions {
    ledger: Ledger,
    /// A month is detached when it ended so many months ago; 0: never.
    keep_months: u32,
}

impl Partitions {
    /// Over this ledger.
    pub fn new(ledger: Ledger, keep_months: u32) -> Self {
        Self { ledger, keep_months }
    }
}

#[async_trait]
impl Task for Partitions {
    fn name(&self) -> &'static str {
        "partitions"
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    async fn run_once(&self) -> Result<Ran, TaskError> {
        let today = Utc::now().date_naive();
        let made = self.ledger.make_partitions(today).await?;
        if made > 0 {
            tracing::info!(made, "months of reservations made");
        }
        if self.keep_months == 0 {
            return Ok(Ran::Idle);
        }
        // One a run: each waits for the table's lock, and a run ends within seconds.
        match self.ledger.detach_partition(today, self.keep_months).await? {
            Some(month) => {
                tracing::info!(month, "detached; the table is there for whoever archives it");
                Ok(Ran::More)
            }
            None => Ok(Ran::Idle),
        }
    }
}
