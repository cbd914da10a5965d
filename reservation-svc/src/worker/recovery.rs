//! The recovery worker: does what payments owe the gateway after a crash or an outage. Knows no HTTP.

use std::time::Duration;

use async_trait::async_trait;

use super::task::{Ran, Task, TaskError};
use crate::booking::card::{Cards, Recovered};

/// How long a debt may be due before it is looked at.
const PERIOD: Duration = Duration::from_secs(5);

/// Finishes or undoes payments that were cut off.
pub struct Recovery {
    cards: Cards,
}

impl Recovery {
    /// Over these payments.
    pub fn new(cards: Cards) -> Self {
        Self { cards }
    }
}

#[async_trait]
impl Task for Recovery {
    fn name(&self) -> &'static str {
        "payment_recovery"
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    async fn run_once(&self) -> Result<Ran, TaskError> {
        match self.cards.recover().await? {
            Recovered { resting: true, .. } => {
                Err(TaskError::Elsewhere { what: "gateway.url", why: "the payment gateway does not answer".to_owned() })
            }
            // One that is still open has its pause; there is no use in asking for more at once.
            Recovered { paid, .. } => Ok(if paid > 0 { Ran::More } else { Ran::Idle }),
        }
    }
}
