//! All SQL of the service. One method is one transaction. Must not know Redis or HTTP.

pub mod catalogue;
pub mod error;
pub mod holds;
pub mod idempotency;
pub mod payments;
pub mod schema;
pub mod seed;
pub mod wallet;

use std::future::Future;
use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection};

use crate::metrics::Metrics;
pub use error::LedgerError;

/// How long a request waits for a free connection, or for a new one, before it is answered 503.
const ACQUIRE_LIMIT: Duration = Duration::from_secs(1);

/// How long one call may take in all. Above the server's own statement_timeout, so that this only
/// fires when the server is gone without closing the connection.
const CALL_LIMIT: Duration = Duration::from_millis(3_500);

/// An idle connection is asked whether it still lives after this long: a busy one is not, which saves a round trip.
const TRUSTED_IDLE: Duration = Duration::from_millis(500);

/// Deadlocks and serialization failures are run again this often.
const RETRIES: u32 = 3;

/// Where the database is and how much of it to use.
#[derive(Clone)]
pub struct LedgerSettings {
    /// postgres://…; a secret, since it holds the password.
    pub url: SecretString,
    /// Connections at most.
    pub max_connections: u32,
}

/// The database of the service. Cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    pool: PgPool,
    metrics: Metrics,
}

impl Ledger {
    /// Sets the pool up; connections are made when first needed. Fails on a URL that is none.
    pub fn new(settings: &LedgerSettings, metrics: Metrics) -> Result<Self, LedgerError> {
        let options = PgConnectOptions::from_str(settings.url.expose_secret())
            .map_err(|_| LedgerError::BadUrl)?
            .application_name("reservation-svc")
            .options([
                ("lock_timeout", "200ms"),
                ("statement_timeout", "2s"),
                ("idle_in_transaction_session_timeout", "5s"),
                ("timezone", "UTC"),
            ])
            .disable_statement_logging();
        let pool = PgPoolOptions::new()
            .max_connections(settings.max_connections)
            .acquire_timeout(ACQUIRE_LIMIT)
            .test_before_acquire(false)
            .before_acquire(|connection, about| {
                Box::pin(async move {
                    if about.idle_for > TRUSTED_IDLE {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_lazy_with(options);
        Ok(Self { pool, metrics })
    }

    /// Whether the database answers at all.
    pub async fn ping(&self) -> Result<(), LedgerError> {
        self.bounded(async { sqlx::query("SELECT 1").execute(&self.pool).await.map(drop) }).await
    }

    /// In use, idle, and at most.
    pub fn pool_usage(&self) -> (u32, u32, u32) {
        let idle = u32::try_from(self.pool.num_idle()).unwrap_or(u32::MAX);
        (self.pool.size().saturating_sub(idle), idle, self.pool.options().get_max_connections())
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Runs one call within [`CALL_LIMIT`].
    async fn bounded<T>(&self, call: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, LedgerError> {
        match tokio::time::timeout(CALL_LIMIT, call).await {
            Ok(answer) => answer.map_err(LedgerError::from),
            Err(_) => Err(LedgerError::Unavailable("no answer from the database in time".to_owned())),
        }
    }

    /// Runs one call, again when it lost a deadlock: nothing of it was done then.
    async fn retried<T, F>(&self, call: impl Fn() -> F) -> Result<T, LedgerError>
    where
        F: Future<Output = Result<T, sqlx::Error>>,
    {
        let mut left = RETRIES;
        loop {
            match self.bounded(call()).await {
                Err(LedgerError::Conflict) if left > 0 => {
                    left -= 1;
                    self.metrics.database_retry("conflict");
                    // Jitter, or the same two meet again.
                    tokio::time::sleep(Duration::from_millis(rand::random_range(5..50))).await;
                }
                other => return other,
            }
        }
    }
}

/// Reads an answer of one of our SQL functions. One that does not fit is a bug of ours, not of the caller.
fn read<T: DeserializeOwned>(answer: serde_json::Value) -> Result<T, LedgerError> {
    match answer.get("outcome").and_then(serde_json::Value::as_str) {
        Some("key-reused") => Err(LedgerError::KeyReused),
        Some("key-in-progress") => Err(LedgerError::KeyInProgress),
        _ => serde_json::from_value(answer).map_err(|error| LedgerError::Broken(error.to_string())),
    }
}
