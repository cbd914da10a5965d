//! Holding and releasing seats: one call of a SQL function each (see migrations/0004_holds.sql).

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::idempotency::IdempotencyKey;
use super::{Ledger, LedgerError, read};
use crate::seat::{BestSeats, ScheduleId, Seats, UserId};

/// Named seats, or so many that the ledger is to choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// These.
    Named(Seats),
    /// The best that lie together.
    Best(BestSeats),
}

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
    pub wanted: Wanted,
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
    /// `active`, `expired`, `released`, `paid` or `cancelled`.
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
    /// There is no such section.
    SectionUnknown,
    /// Nothing free lies together in the section.
    NoAdjacentSeats,
    /// Seats that would do were locked or went at this moment; never leaves the ledger.
    SeatsBusy,
    /// The schedule's seats are not on sale, or no longer.
    SalesNotOpen {
        /// From when on they are.
        sales_start: Option<DateTime<Utc>>,
        /// Until when they are.
        sales_end: Option<DateTime<Utc>>,
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
        /// Their versions since.
        versions: Vec<i64>,
    },
    /// There is no such hold of this user.
    HoldUnknown,
    /// It became a reservation.
    HoldPaid,
}

/// Seconds that a hold lasts, and live seats at most, as SQL has them.
fn limits(request: &HoldRequest) -> (i32, i32) {
    let ttl_s = i32::try_from(request.ttl.as_secs()).unwrap_or(i32::MAX);
    (ttl_s, i32::try_from(request.max_per_user).unwrap_or(i32::MAX))
}

/// How often the best seats are looked for when those found were gone by the time they were to be taken.
const BEST_ATTEMPTS: u32 = 5;

impl Ledger {
    /// Holds all the seats or none. One round trip, for the best seats a few when many want the same.
    pub async fn hold(&self, request: &HoldRequest) -> Result<HoldAnswer, LedgerError> {
        match &request.wanted {
            Wanted::Named(seats) => self.hold_named(request, seats.to_strings()).await,
            Wanted::Best(best) => self.hold_best(request, best).await,
        }
    }

    async fn hold_named(&self, request: &HoldRequest, seats: Vec<String>) -> Result<HoldAnswer, LedgerError> {
        let (key, hash) = IdempotencyKey::arguments(request.key.as_ref());
        let (ttl_s, max_per_user) = limits(request);
        self.answer(|| {
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
        .await
    }

    async fn hold_best(&self, request: &HoldRequest, best: &BestSeats) -> Result<HoldAnswer, LedgerError> {
        let (key, hash) = IdempotencyKey::arguments(request.key.as_ref());
        let (ttl_s, max_per_user) = limits(request);
        let count = i32::try_from(best.count()).unwrap_or(i32::MAX);
        for attempt in 0..BEST_ATTEMPTS {
            let answer = self
                .answer(|| {
                    sqlx::query_as("SELECT hold_best_seats($1, $2, $3, $4, $5, $6, $7, $8, $9)")
                        .bind(request.user.get())
                        .bind(request.schedule.0)
                        .bind(best.section())
                        .bind(count)
                        .bind(request.hold)
                        .bind(ttl_s)
                        .bind(max_per_user)
                        .bind(key)
                        .bind(hash)
                })
                .await?;
            if !matches!(answer, HoldAnswer::SeatsBusy) {
                return Ok(answer);
            }
            self.metrics.database_retry("seats_busy");
            // Longer each time, and never the same as the others': they are done within milliseconds.
            tokio::time::sleep(Duration::from_millis(rand::random_range(2..20 << attempt))).await;
        }
        // Others had them in their hands each time: they may still be let go, so nothing is known to be sold out.
        Err(LedgerError::Contended)
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
