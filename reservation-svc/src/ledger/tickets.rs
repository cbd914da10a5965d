//! Tickets: what one says, and the one that was issued (see migrations/0016_tickets.sql).

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::{Ledger, LedgerError};
use crate::seat::UserId;

/// What a reservation lets somebody in to, and its ticket if one was issued.
#[derive(Debug, Clone, PartialEq)]
pub struct Admits {
    /// The reservation.
    pub reservation_id: Uuid,
    /// The evening.
    pub schedule_id: i64,
    /// When it begins.
    pub starts_at: DateTime<Utc>,
    /// The seats' numbers.
    pub seats: Vec<String>,
    /// When the reservation was made.
    pub reserved_at: DateTime<Utc>,
    /// Cancelled: there is no ticket any more.
    pub cancelled: bool,
    /// The ticket, once issued.
    pub token: Option<String>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    schedule_id: i64,
    starts_at: DateTime<Utc>,
    lines: Value,
    created_at: DateTime<Utc>,
    cancelled: bool,
    token: Option<String>,
}

impl From<Row> for Admits {
    fn from(row: Row) -> Self {
        let lines = row.lines.as_array().into_iter().flatten();
        Self {
            reservation_id: row.id,
            schedule_id: row.schedule_id,
            starts_at: row.starts_at,
            seats: lines.filter_map(|line| line["seat"].as_str().map(str::to_owned)).collect(),
            reserved_at: row.created_at,
            cancelled: row.cancelled,
            token: row.token,
        }
    }
}

impl Ledger {
    /// What these reservations admit to; only those of `user` if given.
    pub async fn admits(&self, user: Option<UserId>, reservations: &[Uuid]) -> Result<Vec<Admits>, LedgerError> {
        let rows: Vec<Row> = self
            .all(
                sqlx::query_as(
                    "SELECT r.id, r.schedule_id, s.starts_at, r.lines, r.created_at, t.token,
                         EXISTS (SELECT 1 FROM refunds f WHERE f.reservation_id = r.id) AS cancelled
                     FROM reservations r JOIN concert_schedules s ON s.id = r.schedule_id
                     LEFT JOIN tickets t ON t.reservation_id = r.id
                     WHERE r.id = ANY ($1) AND ($2::bigint IS NULL OR r.user_id = $2)",
                )
                .bind(reservations)
                .bind(user.map(UserId::get)),
            )
            .await?;
        Ok(rows.into_iter().map(Admits::from).collect())
    }

    /// Keeps tickets of reservations that have none; says how many those were.
    pub async fn issue_tickets(&self, reservations: &[Uuid], tokens: &[String]) -> Result<i64, LedgerError> {
        let query = sqlx::query_as("SELECT issue_tickets($1, $2)").bind(reservations).bind(tokens);
        let (new,): (i64,) = self.one(query).await?;
        Ok(new)
    }

    /// The reservations of a schedule that were cancelled after a ticket was issued: what a gate has to turn away
    /// although the signature is good. `None`: there is no such schedule.
    pub async fn revoked_tickets(&self, schedule: i64) -> Result<Option<Vec<Uuid>>, LedgerError> {
        let there = sqlx::query_as("SELECT EXISTS (SELECT FROM concert_schedules WHERE id = $1)").bind(schedule);
        let (there,): (bool,) = self.one(there).await?;
        if !there {
            return Ok(None);
        }
        let found: Vec<(Uuid,)> = self
            .all(
                sqlx::query_as(
                    "SELECT t.reservation_id FROM tickets t JOIN refunds f ON f.reservation_id = t.reservation_id
                     WHERE t.schedule_id = $1 ORDER BY 1",
                )
                .bind(schedule),
            )
            .await?;
        Ok(Some(found.into_iter().map(|(id,)| id).collect()))
    }
}
