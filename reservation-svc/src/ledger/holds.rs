//! Holding and releasing seats: one call of a SQL function each (see migrations/0004_holds.sql).

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::idempotency::IdempotencyKey;
use super::{Ledger, LedgerError, read};
use crate::seat::{ScheduleId, Seats, UserId};

/// What to hold, for whom, under which limits.
#[derive(Debug, Clone)]
pub struct HoldRequest {
    /// The id of the new hold.
    pub hold: Uuid,
    /// Who.
    pub user: UserId,
    /// Which evening.
    pub schedule: ScheduleId,
    /// Which seats.
    pub seats: Seats,
    /// How long.
    pub ttl: Duration,
    /// Live seats of one user in one schedule, at most.
    pub max_per_user: u32,
    /// The caller's idempotency key.
    pub key: Option<IdempotencyKey>,
}

/// One seat of a hold or a reservation.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Line {
    /// The seat's number.
    pub seat: String,
    /// The priced section it lies in.
    pub section: String,
    /// Its price, in the smallest unit.
    pub price: i64,
    /// The seat's version when it was taken: the fencing token.
    pub version: i64,
}

/// Seats kept for a user.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Hold {
    /// Its id.
    pub hold_id: Uuid,
    /// The evening.
    pub schedule_id: i64,
    /// The seats.
    pub lines: Vec<Line>,
    /// What they cost together.
    pub amount: i64,
    /// In which currency.
    pub currency: String,
    /// `active`, `expired`, `released` or `paid`.
    pub status: String,
    /// When it runs out.
    pub expires_at: DateTime<Utc>,
}

/// What came of asking for seats.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum HoldAnswer {
    /// All seats are held now.
    Held {
        /// The hold.
        hold: Hold,
    },
    /// These seats are somebody else's; none was taken.
    SeatTaken {
        /// The seats.
        seats: Vec<String>,
    },
    /// There are no such seats.
    SeatUnknown {
        /// The seats.
        seats: Vec<String>,
    },
    /// There is no such schedule.
    ScheduleUnknown,
    /// The user would have too many seats.
    SeatLimit {
        /// At most this many.
        limit: u32,
        /// Has this many.
        live: u32,
    },
}

/// What came of giving seats back.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum ReleaseAnswer {
    /// The hold has ended; these seats became free by this.
    Released {
        /// The evening.
        schedule_id: i64,
        /// The seats.
        seats: Vec<String>,
    },
    /// There is no such hold of this user.
    HoldUnknown,
    /// It became a reservation.
    HoldPaid,
}

impl Ledger {
    /// Holds all the seats or none. One round trip.
    pub async fn hold(&self, request: &HoldRequest) -> Result<HoldAnswer, LedgerError> {
        let (key, hash) = IdempotencyKey::arguments(request.key.as_ref());
        let seats = request.seats.to_strings();
        let ttl_s = i32::try_from(request.ttl.as_secs()).unwrap_or(i32::MAX);
        let max_per_user = i32::try_from(request.max_per_user).unwrap_or(i32::MAX);
        let answer = self
            .answer(|| {
                sqlx::query_as("SELECT hold_seats($1, $2, $3, $4, $5, $6, $7, $8)")
                    .bind(request.user.get())
                    .bind(request.schedule.0)
                    .bind(&seats)
                    .bind(request.hold)
                    .bind(ttl_s)
                    .bind(max_per_user)
                    .bind(key)
                    .bind(hash)
            })
            .await;
        match answer {
            // Whoever has the rows is taking the seats at this moment.
            Err(LedgerError::Contended) => Ok(HoldAnswer::SeatTaken { seats }),
            other => other,
        }
    }

    /// A hold of this user.
    pub async fn hold_of(&self, user: UserId, hold: Uuid) -> Result<Option<Hold>, LedgerError> {
        let (found,): (Option<Value>,) =
            self.one(sqlx::query_as("SELECT hold_of($1, $2)").bind(user.get()).bind(hold)).await?;
        found.map(read).transpose()
    }

    /// Gives the seats of a hold back, at once. One round trip.
    pub async fn release(&self, user: UserId, hold: Uuid) -> Result<ReleaseAnswer, LedgerError> {
        self.answer(|| sqlx::query_as("SELECT release_hold($1, $2)").bind(user.get()).bind(hold)).await
    }
}
