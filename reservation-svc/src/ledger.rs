//! All SQL of the service. One method is one transaction. Must not know Redis or HTTP.

pub mod catalogue;
pub mod consumers;
pub mod deliveries;
pub mod error;
pub mod expiry;
pub mod gateway;
pub mod holds;
pub mod idempotency;
pub mod outbox;
pub mod partitions;
pub mod payments;
mod pool;
pub mod position;
mod refusals;
pub mod replica;
pub mod retention;
pub mod schema;
pub mod seed;
pub mod tickets;
pub mod wallet;

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgRow};
use sqlx::query::QueryAs;
use sqlx::{ConnectOptions, FromRow, Postgres};
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use crate::metrics::Metrics;
pub use error::LedgerError;
use pool::{Lent, Pool};
use position::Position;
use refusals::Refusals;
pub use replica::ReadFrom;
use replica::Replica;

/// How long one call may take in all. Above the server's own statement_timeout, so that this only
/// fires when the server is gone without closing the connection.
const CALL_LIMIT: Duration = Duration::from_millis(3_500);

/// Deadlocks and serialization failures are run again this often.
const RETRIES: u32 = 3;

/// Where the database is and how much of it to use.
#[derive(Clone)]
pub struct LedgerSettings {
    /// postgres://…; a secret, since it holds the password.
    pub url: SecretString,
    /// Its streaming replica, where reads go that may; the same kind of secret.
    pub replica_url: Option<SecretString>,
    /// Connections at most, to each of the two.
    pub max_connections: u32,
}

/// The database of the service. Cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    pool: Pool,
    replica: Option<Replica>,
    /// Shared by all clones: they gather what is written down together.
    refusals: Arc<Refusals>,
    metrics: Metrics,
}

impl Ledger {
    /// Sets the pool up; connections are made when first needed. Fails on a URL that is none.
    pub fn new(settings: &LedgerSettings, metrics: Metrics) -> Result<Self, LedgerError> {
        let pool = Pool::new(options(&settings.url)?, settings.max_connections);
        let replica = settings.replica_url.as_ref().map(options).transpose()?;
        let replica = replica.map(|options| Replica::new(options, settings.max_connections));
        Ok(Self { pool, replica, refusals: Arc::default(), metrics })
    }

    /// The same database by one connection of its own, made when first needed: for questions that must not wait
    /// behind a crowd.
    pub fn apart(&self) -> Self {
        Self { pool: Pool::new(self.pool.options(), 1), replica: None, ..self.clone() }
    }

    /// Whether the database answers at all.
    pub async fn ping(&self) -> Result<(), LedgerError> {
        self.one::<(i32,)>(sqlx::query_as("SELECT 1")).await.map(drop)
    }

    /// In use, idle, and at most.
    pub fn pool_usage(&self) -> (u32, u32, u32) {
        self.pool.usage()
    }

    /// Whether reads go to a replica now; `None` without one.
    pub fn replica_usable(&self) -> Option<bool> {
        self.replica.as_ref().map(Replica::is_usable)
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.pool.close().await;
        if let Some(replica) = &self.replica {
            replica.close().await;
        }
    }

    /// The only row.
    async fn one<O: Row>(&self, query: RowsOf<'_, O>) -> Result<O, LedgerError> {
        let mut lent = self.pool.lend().await?;
        let done = timeout(CALL_LIMIT, query.fetch_one(&mut lent.connection)).await;
        settle(lent, done)
    }

    /// The only row, if there is one.
    async fn optional<O: Row>(&self, query: RowsOf<'_, O>) -> Result<Option<O>, LedgerError> {
        let mut lent = self.pool.lend().await?;
        let done = timeout(CALL_LIMIT, query.fetch_optional(&mut lent.connection)).await;
        settle(lent, done)
    }

    /// All rows.
    async fn all<O: Row>(&self, query: RowsOf<'_, O>) -> Result<Vec<O>, LedgerError> {
        let mut lent = self.pool.lend().await?;
        let done = timeout(CALL_LIMIT, query.fetch_all(&mut lent.connection)).await;
        settle(lent, done)
    }

    /// The only row of a statement that may write. With a replica the caller's position is taken after the commit,
    /// on the same connection; without one this is one round trip.
    async fn written<O: Row>(&self, query: RowsOf<'_, O>) -> Result<O, LedgerError> {
        let mut lent = self.pool.lend().await?;
        let with_replica = self.replica.is_some();
        let work = async {
            let row = query.fetch_one(&mut lent.connection).await?;
            let position: (i64,) = match with_replica {
                true => sqlx::query_as(replica::LOG_POSITION).fetch_one(&mut lent.connection).await?,
                false => (0,),
            };
            Position::current().advance(u64::try_from(position.0).unwrap_or(0));
            Ok(row)
        };
        let done = timeout(CALL_LIMIT, work).await;
        settle(lent, done)
    }

    /// The answer of one of our SQL functions; asked again when it lost a deadlock: nothing was done then.
    async fn answer<'q, T: DeserializeOwned>(
        &self,
        query: impl Fn() -> RowsOf<'q, (serde_json::Value,)> + Send + Sync,
    ) -> Result<T, LedgerError> {
        let mut left = RETRIES;
        loop {
            match self.written(query()).await {
                Ok((answer,)) => return read(answer),
                Err(LedgerError::Conflict) if left > 0 => {
                    left -= 1;
                    self.metrics.database_retry("conflict");
                    // Jitter, or the same two meet again.
                    tokio::time::sleep(Duration::from_millis(rand::random_range(5..50))).await;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// How connections are made, to the primary and to its replica.
fn options(url: &SecretString) -> Result<PgConnectOptions, LedgerError> {
    let options = PgConnectOptions::from_str(url.expose_secret()).map_err(|_| LedgerError::BadUrl)?;
    Ok(options
        .application_name("reservation-svc")
        .options([
            ("lock_timeout", "200ms"),
            ("statement_timeout", "2s"),
            ("idle_in_transaction_session_timeout", "5s"),
            ("timezone", "UTC"),
        ])
        .disable_statement_logging())
}

/// A statement whose rows are read as `O`.
type RowsOf<'q, O> = QueryAs<'q, Postgres, O, PgArguments>;

/// What rows can be read as.
trait Row: Send + Unpin + for<'r> FromRow<'r, PgRow> {}
impl<O: Send + Unpin + for<'r> FromRow<'r, PgRow>> Row for O {}

/// Gives the connection back when the database answered, if only with an error; otherwise it is closed.
fn settle<T>(lent: Lent, done: Result<Result<T, sqlx::Error>, Elapsed>) -> Result<T, LedgerError> {
    let Ok(answer) = done else {
        return Err(LedgerError::Unavailable("no answer from the database in time".to_owned()));
    };
    let answer = answer.map_err(LedgerError::from);
    if !matches!(answer, Err(LedgerError::Unavailable(_))) {
        lent.give_back();
    }
    answer
}

/// Reads an answer of one of our SQL functions. One that does not fit is a bug of ours, not of the caller.
fn read<T: DeserializeOwned>(answer: serde_json::Value) -> Result<T, LedgerError> {
    match answer.get("outcome").and_then(serde_json::Value::as_str) {
        Some("key-reused") => Err(LedgerError::KeyReused),
        Some("key-in-progress") => Err(LedgerError::KeyInProgress),
        Some("user-unknown") => Err(LedgerError::UserUnknown),
        _ => serde_json::from_value(answer).map_err(|error| LedgerError::Broken(error.to_string())),
    }
}
