//! Demo data: users with money, concerts with seats. Set-based and idempotent.

use sqlx::Connection;

use super::{Ledger, LedgerError};

impl Ledger {
    /// Makes what is missing of users 1 to 1000, their wallets, two concerts and their seats. What exists stays.
    pub async fn seed(&self) -> Result<(), LedgerError> {
        let mut lent = self.pool.lend().await?;
        let mut transaction = lent.connection.begin().await?;
        // Thousands of rows may take longer than a request is allowed to.
        sqlx::query("SELECT set_config('statement_timeout', '1min', true), set_config('lock_timeout', '10s', true)")
            .execute(&mut *transaction)
            .await?;
        sqlx::raw_sql(include_str!("seed.sql")).execute(&mut *transaction).await?;
        transaction.commit().await?;
        lent.give_back();
        Ok(())
    }
}
