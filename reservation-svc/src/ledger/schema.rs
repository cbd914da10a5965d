//! Bringing the schema up to date, and telling whether it is.

use sqlx::migrate::Migrator;

use super::partitions::MONTHS_AHEAD;
use super::{Ledger, LedgerError};

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

impl Ledger {
    /// Applies what is missing and makes the partitions of the coming months. Repeating it changes nothing.
    pub async fn migrate(&self) -> Result<(), LedgerError> {
        let mut lent = self.pool.lend().await?;
        let connection = &mut lent.connection;
        // Waiting for a table's lock may take longer than a request is allowed to.
        sqlx::query("SELECT set_config('statement_timeout', '5min', false), set_config('lock_timeout', '10s', false)")
            .execute(&mut *connection)
            .await?;
        let done = MIGRATIONS.run(&mut *connection).await;
        match done {
            Ok(()) => {}
            Err(sqlx::migrate::MigrateError::Execute(error)) => return Err(error.into()),
            Err(error) => return Err(LedgerError::Schema(error.to_string())),
        }
        sqlx::query("SELECT create_reservation_partitions(current_date, $1)")
            .bind(MONTHS_AHEAD)
            .execute(&mut *connection)
            .await?;
        // Not given back: its time-outs are not those of a request.
        Ok(())
    }

    /// Fails unless every migration of this binary has been applied. Newer ones in the database are fine:
    /// migrations expand before they contract, so that the version running keeps working.
    pub async fn check_schema(&self) -> Result<(), LedgerError> {
        let (exists,): (bool,) = self.one(sqlx::query_as("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")).await?;
        if !exists {
            return Err(LedgerError::Schema("no migration has been applied".to_owned()));
        }
        let applied: Vec<(i64,)> =
            self.all(sqlx::query_as("SELECT version FROM _sqlx_migrations WHERE success")).await?;
        let missing: Vec<&str> = MIGRATIONS
            .iter()
            .filter(|migration| !applied.contains(&(migration.version,)))
            .map(|migration| migration.description.as_ref())
            .collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(LedgerError::Schema(format!("not applied: {}", missing.join(", "))))
        }
    }
}
