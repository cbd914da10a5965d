//! Ending holds that ran out (see migrations/0014_expiry.sql).

use serde::Deserialize;

use super::{Ledger, LedgerError};

/// What one sweep did.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Swept {
    /// How many holds ended by it.
    pub expired: u32,
    /// The schedules in which seats became free.
    pub schedules: Vec<i64>,
}

impl Ledger {
    /// Frees the seats of at most `limit` holds that ran out and tells of each once. One round trip.
    pub async fn sweep_holds(&self, limit: i32) -> Result<Swept, LedgerError> {
        self.answer(|| sqlx::query_as("SELECT sweep_holds($1)").bind(limit)).await
    }
}
