//! What can go wrong with the database, as the rest of the service needs to tell it apart.

use sqlx::error::DatabaseError;

/// Why the ledger did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LedgerError {
    /// The configured URL is not one of Postgres.
    #[error("not a Postgres URL (expected postgres://USER:PASSWORD@HOST:PORT/DATABASE)")]
    BadUrl,
    /// Down, unreachable, overloaded, or too slow: worth trying again later.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// A row lock was not free within lock_timeout.
    #[error("somebody else has the rows locked")]
    Contended,
    /// A deadlock or serialization failure; nothing was done, run it again.
    #[error("lost a deadlock")]
    Conflict,
    /// The key came with another request before.
    #[error("the idempotency key belongs to another request")]
    KeyReused,
    /// The same key is at work at this moment.
    #[error("a request with this idempotency key is in progress")]
    KeyInProgress,
    /// The token is good but there is no such user.
    #[error("no such user")]
    UserUnknown,
    /// The wallet can hold no more.
    #[error("the balance would exceed its bound")]
    BalanceLimit,
    /// The schema is not the one this binary needs.
    #[error("the database schema is not the one of this version: {0}; run `reservation-svc migrate`")]
    Schema(String),
    /// A bug: ours or the schema's.
    #[error("unexpected database error: {0}")]
    Broken(String),
}

impl From<sqlx::Error> for LedgerError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) => from_database(database.as_ref()),
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unavailable(error.to_string()),
            _ => Self::Broken(error.to_string()),
        }
    }
}

/// By SQLSTATE, and for violated constraints by their name.
fn from_database(error: &dyn DatabaseError) -> LedgerError {
    let code = error.code().unwrap_or_default();
    match (code.as_ref(), error.constraint()) {
        ("55P03", _) => LedgerError::Contended,
        ("40P01" | "40001", _) => LedgerError::Conflict,
        ("23514", Some("wallets_balance_bounded")) => LedgerError::BalanceLimit,
        // Only reached when the advisory lock on the key failed us; its effect was undone with it.
        ("23505", Some("idempotency_keys_pkey")) => LedgerError::KeyInProgress,
        ("23503", Some(name)) if name.ends_with("_user_id_fkey") => LedgerError::UserUnknown,
        ("42P01" | "42883" | "42703" | "42704", _) => LedgerError::Schema(error.message().to_owned()),
        // Cancelled by statement_timeout; read-only after a failover; no such database yet; bad password.
        ("57014" | "25006" | "3D000" | "28P01" | "28000", _) => LedgerError::Unavailable(error.message().to_owned()),
        (code, _) if ["08", "53", "57"].iter().any(|class| code.starts_with(class)) => {
            LedgerError::Unavailable(error.message().to_owned())
        }
        _ => LedgerError::Broken(format!("{} (SQLSTATE {code})", error.message())),
    }
}
