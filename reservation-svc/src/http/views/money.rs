//! The JSON of wallets and their ledger. Shapes only.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::ledger::wallet::{Transaction, Wallet};

/// What the user has.
#[derive(Debug, Serialize, ToSchema)]
pub struct WalletView {
    /// The wallet's id.
    pub wallet_id: i64,
    /// In the smallest unit.
    pub balance: i64,
    /// Of this currency.
    pub currency: String,
}

impl From<Wallet> for WalletView {
    fn from(Wallet { id, balance, currency }: Wallet) -> Self {
        Self { wallet_id: id, balance, currency }
    }
}

/// Money to add.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChargeBody {
    /// In the smallest unit.
    #[schema(minimum = 1, maximum = 1_000_000_000)]
    pub amount: i64,
}

/// Money that was added.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChargeView {
    /// The ledger's line.
    pub transaction_id: i64,
    /// What was added.
    pub amount: i64,
    /// What the wallet held then.
    pub balance: i64,
    /// In which currency.
    pub currency: String,
    /// When.
    pub created_at: DateTime<Utc>,
}

/// A page of the ledger.
#[derive(Debug, Serialize, ToSchema)]
pub struct TransactionsView {
    /// The newest first.
    pub transactions: Vec<TransactionView>,
    /// `cursor` of the next page; null on the last.
    pub next_cursor: Option<String>,
}

/// A line of the ledger.
#[derive(Debug, Serialize, ToSchema)]
pub struct TransactionView {
    /// Its id; rises with time.
    pub id: i64,
    /// `charge`, `payment` or `refund`.
    pub kind: String,
    /// Signed; all amounts sum to the balance.
    pub amount: i64,
    /// What the wallet held then.
    pub balance_after: i64,
    /// What was paid for, or given back.
    pub reservation_id: Option<Uuid>,
    /// When.
    pub created_at: DateTime<Utc>,
}

impl From<Transaction> for TransactionView {
    fn from(line: Transaction) -> Self {
        Self {
            id: line.id,
            kind: line.kind,
            amount: line.amount,
            balance_after: line.balance_after,
            reservation_id: line.reservation_id,
            created_at: line.created_at,
        }
    }
}
