//! Notifications on their way to the webhook (see migrations/0015_consumers.sql).

use std::time::Duration;

use serde_json::Value;
use uuid::Uuid;

use super::consumers::DeadLetter;
use super::{Ledger, LedgerError};

/// A notification that is due, claimed by whoever has it.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Delivery {
    /// The event's id.
    pub event_id: Uuid,
    /// The event.
    pub event: Value,
    /// How often it was tried, this time included.
    pub attempts: i32,
}

impl Ledger {
    /// Claims notifications that are due, the longest due first. Whoever does not say within `lease` what came of
    /// one is taken for dead, and somebody else gets it.
    pub async fn claim_deliveries(&self, limit: i64, lease: Duration) -> Result<Vec<Delivery>, LedgerError> {
        self.all(
            sqlx::query_as(
                "UPDATE webhook_deliveries d
                 SET attempts = d.attempts + 1, next_at = clock_timestamp() + make_interval(secs => $2)
                 FROM (SELECT event_id FROM webhook_deliveries WHERE next_at <= now()
                       ORDER BY next_at LIMIT $1 FOR UPDATE SKIP LOCKED) due
                 WHERE d.event_id = due.event_id RETURNING d.event_id, d.event, d.attempts",
            )
            .bind(limit)
            .bind(lease.as_secs_f64()),
        )
        .await
    }

    /// How many are on their way; counts no further than `bound`.
    pub async fn count_deliveries(&self, bound: i64) -> Result<i64, LedgerError> {
        let query = sqlx::query_as("SELECT count(*) FROM (SELECT FROM webhook_deliveries LIMIT $1) waiting");
        let (waiting,): (i64,) = self.one(query.bind(bound)).await?;
        Ok(waiting)
    }

    /// It arrived.
    pub async fn delivered(&self, event: Uuid) -> Result<(), LedgerError> {
        let query = sqlx::query_as("DELETE FROM webhook_deliveries WHERE event_id = $1 RETURNING true").bind(event);
        self.optional::<(bool,)>(query).await.map(drop)
    }

    /// It did not; it comes up again after `pause`.
    pub async fn deliver_later(&self, event: Uuid, pause: Duration) -> Result<(), LedgerError> {
        self.optional::<(bool,)>(
            sqlx::query_as(
                "UPDATE webhook_deliveries SET next_at = clock_timestamp() + make_interval(secs => $2)
                 WHERE event_id = $1 RETURNING true",
            )
            .bind(event)
            .bind(pause.as_secs_f64()),
        )
        .await
        .map(drop)
    }

    /// It did not and is not tried again, until an operator says so.
    pub async fn give_up_delivery(&self, event: Uuid, reason: &str) -> Result<(), LedgerError> {
        self.optional::<(bool,)>(
            sqlx::query_as(
                "WITH given_up AS (DELETE FROM webhook_deliveries WHERE event_id = $1 RETURNING *)
                 INSERT INTO dead_letters (consumer, event_id, event, attempts, reason)
                 SELECT 'notification', event_id, event, attempts, $2 FROM given_up
                 ON CONFLICT ON CONSTRAINT dead_letters_pkey
                     DO UPDATE SET attempts = excluded.attempts, reason = excluded.reason, failed_at = excluded.failed_at
                 RETURNING true",
            )
            .bind(event)
            .bind(reason),
        )
        .await
        .map(drop)
    }

    /// Puts a notification that was given up on its way again, from the first attempt.
    pub async fn redeliver(&self, letter: &DeadLetter) -> Result<(), LedgerError> {
        self.optional::<(bool,)>(
            sqlx::query_as(
                "WITH taken AS (
                     DELETE FROM dead_letters WHERE consumer = 'notification' AND event_id = $1 RETURNING event_id, event)
                 INSERT INTO webhook_deliveries (event_id, event) SELECT event_id, event FROM taken
                 ON CONFLICT DO NOTHING RETURNING true",
            )
            .bind(letter.event_id),
        )
        .await
        .map(drop)
    }
}
