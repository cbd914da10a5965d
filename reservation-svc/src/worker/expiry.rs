//! The expiry worker: ends holds that ran out, so that `reservation.expired` is told when it happens.

use std::time::Duration;

use async_trait::async_trait;
use prometheus::IntCounter;

use super::task::{Ran, Task, TaskError};
use crate::ledger::Ledger;

/// Holds ended in one transaction: some milliseconds of work, and of seats locked.
const HOLDS_A_RUN: i32 = 200;

/// How late an end may be told of. Nobody waits for it: a buyer gets seats whose hold ran out at once.
const PERIOD: Duration = Duration::from_secs(1);

/// Ends holds that ran out.
pub struct Expiry {
    ledger: Ledger,
    expired: IntCounter,
}

impl Expiry {
    /// Over this ledger; counts the holds that it ends.
    pub fn new(ledger: Ledger, expired: IntCounter) -> Self {
        Self { ledger, expired }
    }
}

#[async_trait]
impl Task for Expiry {
    fn name(&self) -> &'static str {
        "expiry"
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    async fn run_once(&self) -> Result<Ran, TaskError> {
        let swept = self.ledger.sweep_holds(HOLDS_A_RUN).await?;
        self.expired.inc_by(u64::from(swept.expired));
        // Holds that somebody has locked at this moment are left; asking for them at once again would only spin.
        Ok(if swept.expired > 0 { Ran::More } else { Ran::Idle })
    }
}
