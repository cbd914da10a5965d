//! Wallets and their ledger: charging and reading.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use sqlx::FromRow;
use uuid::Uuid;

use super::idempotency::IdempotencyKey;
use super::{Ledger, LedgerError, ReadFrom};
use crate::seat::UserId;

/// What a user has.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Wallet {
    /// Its id.
    pub id: i64,
    /// In the smallest unit.
    pub balance: i64,
    /// Of this currency.
    pub currency: String,
}

/// One line of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Deserialize)]
pub struct Transaction {
    /// Its id; rises with time.
    pub id: i64,
    /// `charge`, `payment` or `refund`.
    pub kind: String,
    /// Signed.
    pub amount: i64,
    /// What the wallet held then.
    pub balance_after: i64,
    /// What was paid for.
    pub reservation_id: Option<Uuid>,
    /// When.
    pub created_at: DateTime<Utc>,
}

/// What came of charging.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum ChargeAnswer {
    /// The money is in the wallet.
    Charged {
        /// The ledger's line.
        transaction: Transaction,
        /// The wallet's currency.
        currency: String,
    },
    /// The user has no wallet.
    WalletUnknown,
}

impl Ledger {
    /// The user's wallet.
    pub async fn wallet_of(&self, user: UserId) -> Result<Option<Wallet>, LedgerError> {
        let found = self
            .read(ReadFrom::Replica, || {
                sqlx::query_as("SELECT id, balance, currency::text AS currency FROM wallets WHERE user_id = $1")
                    .bind(user.get())
            })
            .await?;
        Ok(found.into_iter().next())
    }

    /// Adds money. `amount` has been checked by [`crate::seat::charge_amount`]. One round trip.
    pub async fn charge(
        &self,
        user: UserId,
        amount: i64,
        key: Option<&IdempotencyKey>,
    ) -> Result<ChargeAnswer, LedgerError> {
        let (key, hash) = IdempotencyKey::arguments(key);
        self.answer(|| {
            sqlx::query_as("SELECT charge_wallet($1, $2, $3, $4)").bind(user.get()).bind(amount).bind(key).bind(hash)
        })
        .await
    }

    /// Lines of the user's ledger, newest first, those before line `before` if given.
    pub async fn transactions_of(
        &self,
        user: UserId,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Vec<Transaction>, LedgerError> {
        self.read(ReadFrom::Replica, || {
            sqlx::query_as(
                "SELECT t.id, t.kind, t.amount, t.balance_after, p.reservation_id, t.created_at
                 FROM wallets w JOIN wallet_transactions t ON t.wallet_id = w.id
                 LEFT JOIN payments p ON p.id = t.payment_id
                 WHERE w.user_id = $1 AND ($2::bigint IS NULL OR t.id < $2) ORDER BY t.id DESC LIMIT $3",
            )
            .bind(user.get())
            .bind(before)
            .bind(limit)
        })
        .await
    }
}
