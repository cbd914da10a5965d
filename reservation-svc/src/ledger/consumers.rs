//! What consumers of events write, and what they gave up on (see migrations/0015_consumers.sql).
//! Every consumer counts an event once, however often it comes.

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::{Ledger, LedgerError};
use crate::event::Event;

/// Receipts removed at a time: a bounded piece of work.
const PRUNE_ROWS: i64 = 5_000;

/// An event that a consumer gave up on.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct DeadLetter {
    /// Who gave up.
    pub consumer: String,
    /// On what.
    pub event_id: Uuid,
    /// The whole of it.
    pub event: Value,
    /// After how many attempts.
    pub attempts: i32,
    /// Why the last one failed.
    pub reason: String,
    /// When.
    pub failed_at: DateTime<Utc>,
}

/// One line of the daily report.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct SettlementLine {
    /// The day, by the clock of `time_zone`.
    pub day: NaiveDate,
    /// Where its midnight is.
    pub time_zone: String,
    /// The concert.
    pub concert_id: i64,
    /// Its title.
    pub title: String,
    /// The currency of the amounts.
    pub currency: String,
    /// How many payments.
    pub payments: i64,
    /// Their sum.
    pub paid: i64,
    /// How many refunds.
    pub refunds: i64,
    /// Their sum.
    pub refunded: i64,
}

impl Ledger {
    /// Counts events per concert and minute; says how many were new.
    pub async fn consume_statistics(&self, events: &[Event]) -> Result<i64, LedgerError> {
        let (new,): (i64,) = self.one(sqlx::query_as("SELECT consume_statistics($1)").bind(json(events)?)).await?;
        Ok(new)
    }

    /// Books payments and refunds per concert and day of `time_zone`; says how many were new.
    pub async fn consume_settlement(&self, events: &[Event], time_zone: &str) -> Result<i64, LedgerError> {
        let query = sqlx::query_as("SELECT consume_settlement($1, $2)").bind(json(events)?).bind(time_zone);
        let (new,): (i64,) = self.one(query).await?;
        Ok(new)
    }

    /// Puts events on their way to the webhook; says how many were new.
    pub async fn consume_notification(&self, events: &[Event]) -> Result<i64, LedgerError> {
        let (new,): (i64,) = self.one(sqlx::query_as("SELECT consume_notification($1)").bind(json(events)?)).await?;
        Ok(new)
    }

    /// Those of the events that this consumer has not had; they count as had from now on.
    pub async fn receive(&self, consumer: &str, events: &[Event]) -> Result<Vec<Uuid>, LedgerError> {
        let query = sqlx::query_as("SELECT id FROM events_receive($1, $2)").bind(consumer).bind(json(events)?);
        let new: Vec<(Uuid,)> = self.all(query).await?;
        Ok(new.into_iter().map(|(id,)| id).collect())
    }

    /// Lays an event aside that a consumer can not take.
    pub async fn bury(&self, consumer: &str, event: &Event, reason: &str) -> Result<(), LedgerError> {
        self.optional::<(bool,)>(
            sqlx::query_as(
                "INSERT INTO dead_letters (consumer, event_id, event, attempts, reason) VALUES ($1, $2, $3, 1, $4)
                 ON CONFLICT DO NOTHING RETURNING true",
            )
            .bind(consumer)
            .bind(event.id)
            .bind(serde_json::to_value(event).map_err(|error| LedgerError::Broken(error.to_string()))?)
            .bind(reason),
        )
        .await
        .map(drop)
    }

    /// The oldest dead letters; those of one event if given.
    pub async fn dead_letters(&self, event: Option<Uuid>, limit: i64) -> Result<Vec<DeadLetter>, LedgerError> {
        self.all(
            sqlx::query_as(
                "SELECT consumer, event_id, event, attempts, reason, failed_at FROM dead_letters
                 WHERE $1::uuid IS NULL OR event_id = $1 ORDER BY failed_at, event_id, consumer LIMIT $2",
            )
            .bind(event)
            .bind(limit),
        )
        .await
    }

    /// How many dead letters there are.
    pub async fn count_dead_letters(&self) -> Result<i64, LedgerError> {
        let (count,): (i64,) = self.one(sqlx::query_as("SELECT count(*) FROM dead_letters")).await?;
        Ok(count)
    }

    /// Forgets a dead letter that was dealt with.
    pub async fn unbury(&self, letter: &DeadLetter) -> Result<(), LedgerError> {
        self.optional::<(bool,)>(
            sqlx::query_as("DELETE FROM dead_letters WHERE consumer = $1 AND event_id = $2 RETURNING true")
                .bind(&letter.consumer)
                .bind(letter.event_id),
        )
        .await
        .map(drop)
    }

    /// The report of a day in a time zone.
    pub async fn settlement(&self, day: NaiveDate, time_zone: &str) -> Result<Vec<SettlementLine>, LedgerError> {
        self.all(
            sqlx::query_as(
                "SELECT day, time_zone, concert_id, title, currency, payments, paid, refunds, refunded
                 FROM settlement_days JOIN concerts ON concerts.id = concert_id
                 WHERE day = $1 AND time_zone = $2 ORDER BY concert_id, currency",
            )
            .bind(day)
            .bind(time_zone),
        )
        .await
    }

    /// Whether the database knows a time zone of this name.
    pub async fn knows_time_zone(&self, name: &str) -> Result<bool, LedgerError> {
        let query = sqlx::query_as("SELECT EXISTS (SELECT 1 FROM pg_timezone_names WHERE name = $1)").bind(name);
        let (known,): (bool,) = self.one(query).await?;
        Ok(known)
    }

    /// Removes some receipts older than this; returns how many.
    pub async fn prune_receipts(&self, keep_days: i32) -> Result<i64, LedgerError> {
        let (removed,): (i64,) = self
            .one(
                sqlx::query_as(
                    "WITH removed AS (DELETE FROM event_receipts WHERE (consumer, event_id) IN (
                         SELECT consumer, event_id FROM event_receipts
                         WHERE received_at < clock_timestamp() - make_interval(days => $2) LIMIT $1
                         FOR UPDATE SKIP LOCKED) RETURNING 1)
                     SELECT count(*) FROM removed",
                )
                .bind(PRUNE_ROWS)
                .bind(keep_days),
            )
            .await?;
        Ok(removed)
    }
}

/// The events as SQL functions take them.
fn json(events: &[Event]) -> Result<Value, LedgerError> {
    serde_json::to_value(events).map_err(|error| LedgerError::Broken(error.to_string()))
}
