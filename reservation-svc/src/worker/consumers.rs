//! The consumers of events that live in this service. Each drops what it had before, and none depends on the order.

use async_trait::async_trait;
use prometheus::IntCounterVec;

use super::dispatch::Dispatch;
use super::sink::Sink;
use super::task::TaskError;
use crate::event::Event;
use crate::ledger::consumers::DeadLetter;
use crate::ledger::{Ledger, LedgerError};

/// One who takes events.
pub enum Consumer {
    /// Counts per concert and minute.
    Statistics,
    /// Books money per concert and day.
    Settlement {
        /// Whose midnight ends a day.
        time_zone: String,
    },
    /// Tells somebody outside.
    Notification {
        /// Of what.
        topics: Vec<String>,
    },
    /// Issues tickets.
    Dispatch(Dispatch),
}

impl Consumer {
    /// Its name in receipts, dead letters and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Statistics => "statistics",
            Self::Settlement { .. } => "settlement",
            Self::Notification { .. } => "notification",
            Self::Dispatch(_) => "dispatch",
        }
    }

    fn wants(&self, event: &Event) -> bool {
        match self {
            Self::Statistics => event.schedule_id.is_some(),
            Self::Settlement { .. } => matches!(event.topic.as_str(), "payment.completed" | "payment.refunded"),
            Self::Notification { topics } => topics.contains(&event.topic),
            Self::Dispatch(_) => event.topic == "reservation.created",
        }
    }

    /// Takes all of them or none; says how many were new.
    async fn take(&self, ledger: &Ledger, events: &[Event]) -> Result<i64, LedgerError> {
        match self {
            Self::Statistics => ledger.consume_statistics(events).await,
            Self::Settlement { time_zone } => ledger.consume_settlement(events, time_zone).await,
            Self::Notification { .. } => ledger.consume_notification(events).await,
            Self::Dispatch(dispatch) => dispatch.take(ledger, events).await,
        }
    }
}

/// All consumers, as one sink.
pub struct Consumers {
    ledger: Ledger,
    consumers: Vec<Consumer>,
    consumed: IntCounterVec,
}

impl Consumers {
    /// These, over this ledger; counts in `consumed` by consumer and outcome.
    pub fn new(ledger: Ledger, consumers: Vec<Consumer>, consumed: IntCounterVec) -> Self {
        Self { ledger, consumers, consumed }
    }

    /// Gives events to one consumer. What it can not take even alone is laid aside, so that one bad event never holds
    /// up the others; what goes wrong for want of a database is an error, and comes again.
    async fn give(&self, consumer: &Consumer, events: &[Event]) -> Result<(), LedgerError> {
        let error = match consumer.take(&self.ledger, events).await {
            Ok(new) => {
                let had_before = i64::try_from(events.len()).unwrap_or(i64::MAX) - new;
                self.count(consumer, "new", new);
                self.count(consumer, "repeated", had_before);
                return Ok(());
            }
            Err(error) if worth_another_try(&error) => return Err(error),
            Err(error) => error,
        };
        if let [event] = events {
            tracing::error!(consumer = consumer.name(), event = %event.id, %error, "an event goes to the dead letters");
            self.ledger.bury(consumer.name(), event, &error.to_string()).await?;
            self.count(consumer, "dead", 1);
            return Ok(());
        }
        for event in events {
            Box::pin(self.give(consumer, std::slice::from_ref(event))).await?;
        }
        Ok(())
    }

    fn count(&self, consumer: &Consumer, outcome: &str, events: i64) {
        self.consumed.with_label_values(&[consumer.name(), outcome]).inc_by(u64::try_from(events).unwrap_or(0));
    }

    /// Gives a dead letter to its consumer again. Says why it could not, if it could not: then it stays dead.
    pub async fn replay(&self, letter: &DeadLetter) -> Result<(), TaskError> {
        // Its event arrived here; what failed was telling somebody outside.
        if letter.consumer == "notification" {
            return Ok(self.ledger.redeliver(letter).await?);
        }
        let unknown = |why: String| TaskError::Elsewhere { what: "the dead letter", why };
        let consumer = self.consumers.iter().find(|consumer| consumer.name() == letter.consumer);
        let consumer = consumer.ok_or_else(|| unknown(format!("no consumer {} is set up", letter.consumer)))?;
        let event = serde_json::from_value(letter.event.clone()).map_err(|error| unknown(error.to_string()))?;
        // Taken twice when this ends in between: it counts once all the same.
        consumer.take(&self.ledger, &[event]).await?;
        Ok(self.ledger.unbury(letter).await?)
    }
}

#[async_trait]
impl Sink for Consumers {
    async fn publish(&self, events: &[Event]) -> Result<(), TaskError> {
        for consumer in &self.consumers {
            let wanted: Vec<Event> = events.iter().filter(|event| consumer.wants(event)).cloned().collect();
            if !wanted.is_empty() {
                self.give(consumer, &wanted).await?;
            }
        }
        Ok(())
    }
}

/// Whether the same may work later as it is.
fn worth_another_try(error: &LedgerError) -> bool {
    matches!(
        error,
        LedgerError::Unavailable(_) | LedgerError::Contended | LedgerError::Conflict | LedgerError::Schema(_)
    )
}
