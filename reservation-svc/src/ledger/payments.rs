//! Paying for a hold, cancelling and reading reservations (see migrations/0005_money.sql and 0007_cancellation.sql).

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::holds::Line;
use super::idempotency::IdempotencyKey;
use super::{Ledger, LedgerError, ReadFrom, read};
use crate::seat::UserId;

/// The queue session that a purchase is made in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QueueSession {
    /// The room.
    pub audience: String,
    /// The room's generation.
    pub generation: u64,
    /// The visitor.
    pub subject: String,
    /// When the session began, seconds since 1970.
    pub session_at_s: u64,
    /// The token at hand.
    pub jti: String,
}

/// What to pay for, and how.
#[derive(Debug, Clone)]
pub struct PayRequest {
    /// Who.
    pub user: UserId,
    /// The hold to turn into a reservation.
    pub hold: Uuid,
    /// The id of the new reservation.
    pub reservation: Uuid,
    /// The id of the new payment.
    pub payment: Uuid,
    /// The queue session, where one is required.
    pub session: Option<QueueSession>,
    /// Purchases per queue session; 0 for no limit.
    pub max_purchases: u32,
    /// The caller's idempotency key.
    pub key: Option<IdempotencyKey>,
}

/// Seats that were paid for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Reservation {
    /// Its id.
    pub reservation_id: Uuid,
    /// The hold that it was.
    pub hold_id: Uuid,
    /// The evening.
    pub schedule_id: i64,
    /// The seats.
    pub lines: Vec<Line>,
    /// What was paid.
    pub amount: i64,
    /// In which currency.
    pub currency: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// The payment's id.
    pub payment_id: Uuid,
    /// How it was paid.
    pub method: String,
    /// When it was cancelled and the money given back. Answers stored before there was such a thing lack it.
    #[serde(default)]
    pub cancelled_at: Option<DateTime<Utc>>,
}

/// What came of paying.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum PayAnswer {
    /// Paid, now or before.
    Paid {
        /// The reservation.
        reservation: Reservation,
    },
    /// There is no such hold of this user.
    HoldUnknown,
    /// It ran out or was given back.
    HoldExpired,
    /// Not enough money.
    InsufficientBalance {
        /// What is to be paid.
        amount: i64,
        /// What is there.
        balance: i64,
    },
    /// The queue session has bought all that it may.
    PurchaseLimit {
        /// At most this many.
        limit: u32,
    },
    /// The gateway declined; the hold stands.
    PaymentDeclined {
        /// Its word for why.
        reason: Option<String>,
    },
    /// The hold is being paid from another source at this moment.
    PaymentInProgress,
    /// The attempt took so long that it was given up; nothing was taken.
    PaymentUndone,
    /// The gateway does not answer; never said by the ledger.
    GatewayUnavailable,
    /// There is no gateway; never said by the ledger.
    MethodUnavailable,
}

/// What came of cancelling.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum CancelAnswer {
    /// Cancelled, now or before.
    Cancelled {
        /// The reservation as it is now.
        reservation: Reservation,
    },
    /// There is no such reservation of this user.
    ReservationUnknown,
    /// The evening has begun.
    CancellationClosed,
}

/// The queue session as SQL takes it.
pub(super) fn session_of(request: &PayRequest) -> Result<Option<Value>, LedgerError> {
    let session = request.session.as_ref().map(serde_json::to_value).transpose();
    session.map_err(|error| LedgerError::Broken(error.to_string()))
}

impl Ledger {
    /// Pays for a hold from the user's wallet: all of it or nothing. One round trip.
    pub async fn pay(&self, request: &PayRequest) -> Result<PayAnswer, LedgerError> {
        let (key, hash) = IdempotencyKey::arguments(request.key.as_ref());
        let session = session_of(request)?;
        let max_purchases = i32::try_from(request.max_purchases).unwrap_or(i32::MAX);
        self.answer(|| {
            sqlx::query_as("SELECT pay_hold($1, $2, $3, $4, $5, $6, $7, $8)")
                .bind(request.user.get())
                .bind(request.hold)
                .bind(request.reservation)
                .bind(request.payment)
                .bind(&session)
                .bind(max_purchases)
                .bind(key)
                .bind(hash)
        })
        .await
    }

    /// Gives the seats and the money of a reservation back, at once. One round trip.
    pub async fn cancel(
        &self,
        user: UserId,
        reservation: Uuid,
        key: Option<&IdempotencyKey>,
    ) -> Result<CancelAnswer, LedgerError> {
        let (key, hash) = IdempotencyKey::arguments(key);
        self.answer(|| {
            sqlx::query_as("SELECT cancel_reservation($1, $2, $3, $4)")
                .bind(user.get())
                .bind(reservation)
                .bind(key)
                .bind(hash)
        })
        .await
    }

    /// A reservation of this user.
    pub async fn reservation_of(&self, user: UserId, reservation: Uuid) -> Result<Option<Reservation>, LedgerError> {
        let found: Vec<(Option<Value>,)> = self
            .read(ReadFrom::Replica, || {
                sqlx::query_as("SELECT reservation_of($1, $2)").bind(user.get()).bind(reservation)
            })
            .await?;
        found.into_iter().find_map(|(reservation,)| reservation).map(read).transpose()
    }

    /// The reservations of this user, newest first, those older than `before` if given.
    pub async fn reservations_of(
        &self,
        user: UserId,
        before: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<Reservation>, LedgerError> {
        let found: Vec<(Value,)> = self
            .read(ReadFrom::Replica, || {
                sqlx::query_as(
                    "SELECT reservation_of($1, r.id) FROM reservations r
                     WHERE r.user_id = $1 AND ($2::uuid IS NULL OR r.id < $2) ORDER BY r.id DESC LIMIT $3",
                )
                .bind(user.get())
                .bind(before)
                .bind(limit)
            })
            .await?;
        found.into_iter().map(|(reservation,)| read(reservation)).collect()
    }
}
