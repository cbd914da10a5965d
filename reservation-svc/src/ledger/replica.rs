//! Reads from a streaming replica: as long as it is there, not too late, and has what the caller has written.
//! Whatever is wrong with it, the primary answers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::time::{Instant, timeout};

use super::pool::Pool;
use super::{Ledger, LedgerError, Row, RowsOf};
use crate::ledger::position::Position;

/// How late a replica may be for readers who have written nothing. Later, and the primary answers until it has caught up.
pub const LAG_LIMIT: Duration = Duration::from_secs(3);

/// How often it is looked at. A replica that went is noticed by the next reader, one that is back by the next look.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How long a reader waits for it before the primary is asked.
const PATIENCE: Duration = Duration::from_millis(500);

/// Who may answer a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadFrom {
    /// The replica, when it has what the caller has written; else the primary.
    Replica,
    /// The primary.
    Primary,
}

/// A replica and what is known of it. Cheap to clone.
#[derive(Clone)]
pub(super) struct Replica(Arc<Inner>);

struct Inner {
    pool: Pool,
    /// It answered the last time, and was not too late.
    usable: AtomicBool,
    /// It has replayed at least this much: a caller who is behind it need not ask again.
    replayed: AtomicU64,
}

/// Where the primary was, and when.
type Seen = (Instant, u64);

impl Replica {
    /// A replica nobody has looked at yet.
    pub(super) fn new(options: PgConnectOptions, max_connections: u32) -> Self {
        let (usable, replayed) = (AtomicBool::new(false), AtomicU64::new(0));
        Self(Arc::new(Inner { pool: Pool::new(options, max_connections), usable, replayed }))
    }

    /// Whether reads go there.
    pub(super) fn is_usable(&self) -> bool {
        self.0.usable.load(Ordering::Relaxed)
    }

    pub(super) async fn close(&self) {
        self.0.pool.close().await;
    }

    /// The rows, unless the primary has to be asked.
    async fn rows<O: Row>(&self, query: RowsOf<'_, O>, after: u64) -> Option<Vec<O>> {
        if !self.is_usable() {
            return None;
        }
        match timeout(PATIENCE, self.try_rows(query, after)).await {
            Ok(Ok(rows)) => rows,
            failed => {
                let error = failed.map_or("no answer in time".to_owned(), |done| match done {
                    Err(error) => error.to_string(),
                    Ok(_) => String::new(),
                });
                tracing::debug!(error, "replica");
                self.0.usable.store(false, Ordering::Relaxed);
                None
            }
        }
    }

    /// `None`: it has not replayed what the caller must see.
    async fn try_rows<O: Row>(&self, query: RowsOf<'_, O>, after: u64) -> Result<Option<Vec<O>>, sqlx::Error> {
        let mut lent = self.0.pool.lend().await?;
        if after > self.0.replayed.load(Ordering::Relaxed) && self.replayed(&mut lent.connection).await? < after {
            lent.give_back();
            return Ok(None);
        }
        let rows = query.fetch_all(&mut lent.connection).await?;
        lent.give_back();
        Ok(Some(rows))
    }

    /// Up to where it has replayed. An error when it is no replica: a promoted one lives a life of its own.
    async fn replayed(&self, connection: &mut PgConnection) -> Result<u64, sqlx::Error> {
        let (replayed,): (Option<i64>,) =
            sqlx::query_as("SELECT (pg_last_wal_replay_lsn() - '0/0')::bigint WHERE pg_is_in_recovery()")
                .fetch_optional(connection)
                .await?
                .ok_or_else(|| sqlx::Error::Protocol("database.replica_url is not a replica".to_owned()))?;
        let replayed = replayed.and_then(|position| u64::try_from(position).ok()).unwrap_or(0);
        self.0.replayed.fetch_max(replayed, Ordering::Relaxed);
        Ok(replayed)
    }

    /// Looks once: is it there, and does it have what the primary had [`LAG_LIMIT`] ago?
    async fn look(&self, primary: &mut VecDeque<Seen>) -> Result<bool, sqlx::Error> {
        let mut lent = self.0.pool.lend().await?;
        let replayed = self.replayed(&mut lent.connection).await?;
        lent.give_back();
        // The newest position that it has, and nothing older.
        while primary.get(1).is_some_and(|(_, position)| *position <= replayed) {
            primary.pop_front();
        }
        let missing_since = primary.iter().find(|(_, position)| *position > replayed).map(|(at, _)| *at);
        Ok(missing_since.is_none_or(|since| since.elapsed() < LAG_LIMIT))
    }
}

impl Ledger {
    /// All rows of a read that may be a little late, but never lacks what its own caller has written.
    pub(super) async fn read<'q, O: Row>(
        &self,
        from: ReadFrom,
        query: impl Fn() -> RowsOf<'q, O> + Send + Sync,
    ) -> Result<Vec<O>, LedgerError> {
        if let (Some(replica), ReadFrom::Replica) = (&self.replica, from)
            && let Some(rows) = replica.rows(query(), Position::current().after()).await
        {
            self.metrics.read_from("replica");
            return Ok(rows);
        }
        self.metrics.read_from("primary");
        self.all(query()).await
    }

    /// Keeps looking whether the replica, if there is one, may be read from.
    pub async fn watch_replica(&self) {
        let Some(replica) = &self.replica else { return };
        let mut primary = VecDeque::new();
        loop {
            // Without the primary nothing is written either: the replica is as late as it was.
            if let Ok(position) = self.log_position().await {
                primary.push_back((Instant::now(), position));
            }
            let looked = timeout(PATIENCE, replica.look(&mut primary)).await;
            // Bounded, whatever the replica does: older than the limit is too late anyhow.
            while primary.len() > 64 {
                primary.remove(1);
            }
            let usable = matches!(looked, Ok(Ok(true)));
            if replica.0.usable.swap(usable, Ordering::Relaxed) != usable {
                match looked {
                    Ok(Ok(true)) => tracing::info!("reads go to the replica"),
                    Ok(Ok(false)) => tracing::warn!("the replica is late; reads go to the primary"),
                    Ok(Err(error)) => tracing::warn!(%error, "the replica does not answer; reads go to the primary"),
                    Err(_) => tracing::warn!("the replica is silent; reads go to the primary"),
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Where the primary's log is now.
    async fn log_position(&self) -> Result<u64, LedgerError> {
        let (position,): (i64,) = self.one(sqlx::query_as(LOG_POSITION)).await?;
        Ok(u64::try_from(position).unwrap_or(0))
    }
}

/// Asked on the connection that has just committed, it is behind that commit.
pub(super) const LOG_POSITION: &str = "SELECT (pg_current_wal_lsn() - '0/0')::bigint";
