//! Payments by the gateway, as the ledger sees them (see migrations/0009_gateway.sql and 0010_card_payments.sql).

use std::time::Duration;

use ring::digest;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::idempotency::IdempotencyKey;
use super::payments::{PayAnswer, PayRequest, session_of};
use super::{Ledger, LedgerError, read};
use crate::gateway::repair::Owed;

/// What to ask the gateway for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Attempt {
    /// The payment's id here and there.
    pub payment_id: Uuid,
    /// The reservation's id if it succeeds.
    pub reservation_id: Uuid,
    /// In the smallest unit.
    pub amount: i64,
    /// In which currency.
    pub currency: String,
}

/// How a payment begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// The gateway is to be asked.
    Authorise(Attempt),
    /// There is an answer already.
    Answered(PayAnswer),
}

/// How a commit ended: the answer to the buyer, and what is owed to the gateway now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The answer.
    pub answer: PayAnswer,
    /// What is owed by this transaction; `None`: nothing, or somebody else sees to it.
    pub owed: Option<Owed>,
}

/// A payment that owes the gateway something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Debt {
    /// The payment.
    pub payment: Uuid,
    /// What is owed.
    pub owed: Owed,
    /// How often the worker has tried, this time included.
    pub tries: i32,
}

impl Ledger {
    /// Writes down that the gateway is about to be asked. `request.payment` counts only for a first attempt.
    pub async fn begin_card(
        &self,
        request: &PayRequest,
        source: Option<&str>,
        recover_after: Duration,
    ) -> Result<Begun, LedgerError> {
        let (key, hash) = IdempotencyKey::arguments(request.key.as_ref());
        let session = session_of(request)?;
        let source = digest::digest(&digest::SHA256, source.unwrap_or_default().as_bytes());
        let answer: Value = self
            .answer(|| {
                sqlx::query_as("SELECT begin_card_payment($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)")
                    .bind(request.user.get())
                    .bind(request.hold)
                    .bind(request.reservation)
                    .bind(request.payment)
                    .bind(source.as_ref())
                    .bind(&session)
                    .bind(i32::try_from(request.max_purchases).unwrap_or(i32::MAX))
                    .bind(whole_seconds(recover_after))
                    .bind(key)
                    .bind(hash)
            })
            .await?;
        if answer["outcome"] == "authorise" {
            return read(answer["payment"].clone()).map(Begun::Authorise);
        }
        read(answer).map(Begun::Answered)
    }

    /// Sells the seats of the hold that the authorised payment is for, or gives the attempt up.
    pub async fn commit_card(
        &self,
        request: &PayRequest,
        payment: Uuid,
        recover_after: Duration,
    ) -> Result<Committed, LedgerError> {
        let (key, hash) = IdempotencyKey::arguments(request.key.as_ref());
        let session = session_of(request)?;
        let answer: Value = self
            .answer(|| {
                sqlx::query_as("SELECT commit_card_payment($1, $2, $3, $4, $5, $6, $7)")
                    .bind(request.user.get())
                    .bind(payment)
                    .bind(&session)
                    .bind(i32::try_from(request.max_purchases).unwrap_or(i32::MAX))
                    .bind(whole_seconds(recover_after))
                    .bind(key)
                    .bind(hash)
            })
            .await?;
        let is = |name: &str| answer[name] == true;
        let owed = if is("capture") { Some(Owed::Capture) } else { is("void").then_some(Owed::Void) };
        Ok(Committed { answer: read(answer)?, owed })
    }

    /// The gateway has declined.
    pub async fn decline_card(
        &self,
        request: &PayRequest,
        payment: Uuid,
        reason: &str,
    ) -> Result<PayAnswer, LedgerError> {
        let (key, hash) = IdempotencyKey::arguments(request.key.as_ref());
        self.answer(|| {
            sqlx::query_as("SELECT decline_card_payment($1, $2, $3, $4, $5)")
                .bind(request.user.get())
                .bind(payment)
                .bind(reason)
                .bind(key)
                .bind(hash)
        })
        .await
    }

    /// What was owed is done. False: the payment had moved on meanwhile.
    pub async fn settle_card(&self, payment: Uuid, owed: Owed) -> Result<bool, LedgerError> {
        let settle = sqlx::query_as("SELECT settle_card_payment($1, $2::gateway_state)");
        let (moved,): (bool,) = self.one(settle.bind(payment).bind(state_of(owed))).await?;
        Ok(moved)
    }

    /// Whether a payment owes this now. It moves on when it is settled, or when its reservation is cancelled.
    pub async fn owes_card(&self, payment: Uuid, owed: Owed) -> Result<bool, LedgerError> {
        let query = sqlx::query_as("SELECT state = $2::gateway_state FROM gateway_payments WHERE id = $1");
        let found: Option<(bool,)> = self.optional(query.bind(payment).bind(state_of(owed))).await?;
        Ok(found.is_some_and(|(owes,)| owes))
    }

    /// Payments whose debt is due, at most `limit`; each is this caller's until its next pause is over.
    pub async fn owed_cards(&self, limit: i32, recover_after: Duration) -> Result<Vec<Debt>, LedgerError> {
        let rows: Vec<(Uuid, String, i32)> = self
            .all(
                sqlx::query_as("SELECT payment_id, owed, tries FROM owed_card_payments($1, $2)")
                    .bind(limit)
                    .bind(whole_seconds(recover_after)),
            )
            .await?;
        rows.into_iter()
            .map(|(payment, state, tries)| {
                let owed = [Owed::Capture, Owed::Void, Owed::Refund].into_iter().find(|owed| state_of(*owed) == state);
                let owed =
                    owed.ok_or_else(|| LedgerError::Broken(format!("a payment in state {state} owes nothing")))?;
                Ok(Debt { payment, owed, tries })
            })
            .collect()
    }

    /// How many payments owe the gateway something, and the age in seconds of the oldest.
    pub async fn card_debts(&self) -> Result<(i64, f64), LedgerError> {
        self.one(sqlx::query_as(
            "SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(changed_at)), 0)::float8
             FROM gateway_payments WHERE state IN ('COMMITTED', 'VOID_DUE', 'REFUND_DUE')",
        ))
        .await
    }
}

/// The state in which this is owed.
fn state_of(owed: Owed) -> &'static str {
    match owed {
        Owed::Capture => "COMMITTED",
        Owed::Void => "VOID_DUE",
        Owed::Refund => "REFUND_DUE",
    }
}

fn whole_seconds(time: Duration) -> i32 {
    i32::try_from(time.as_secs()).unwrap_or(i32::MAX)
}
