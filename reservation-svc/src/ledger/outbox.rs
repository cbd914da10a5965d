//! Taking events out of the outbox in order (see migrations/0013_relay.sql).

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::postgres::PgListener;
use tokio::time::timeout;
use uuid::Uuid;

use super::pool::Lent;
use super::{CALL_LIMIT, Ledger, LedgerError};
use crate::event::Event;

/// The oldest rows looked at for pruning: a bounded piece of work.
const PRUNE_ROWS: i64 = 5_000;

/// Events of one lane that no other relay can take while this exists. They are still to be relayed: dropped, they
/// stay where they are; only [`Batch::relayed`] marks them.
pub struct Batch {
    /// In a transaction that holds the lane's lock.
    lent: Lent,
    lane: i32,
    ids: Vec<i64>,
    events: Vec<Event>,
}

/// What there was to take.
pub enum Taken {
    /// These.
    Batch(Batch),
    /// What waits, other relays are at.
    Others,
    /// Nothing waits.
    Nothing,
}

/// What was found under the locks.
enum Found {
    NoLane { pending: bool },
    Rows(i32, Vec<OutboxRow>),
}

/// How many events wait, and how long the oldest has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backlog {
    /// At most a bound: more than that nobody needs to know exactly.
    pub events: i64,
    /// Age of the oldest.
    pub oldest_s: f64,
}

impl Batch {
    /// The lane that they are of.
    pub fn lane(&self) -> i32 {
        self.lane
    }

    /// In the order of their happening, for each schedule.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Marks them as relayed.
    pub async fn relayed(mut self) -> Result<(), LedgerError> {
        let marking = async {
            sqlx::query("UPDATE outbox SET relayed_at = clock_timestamp() WHERE id = ANY ($1)")
                .bind(&self.ids)
                .execute(&mut self.lent.connection)
                .await?;
            sqlx::raw_sql("COMMIT").execute(&mut self.lent.connection).await
        };
        within(marking).await?;
        self.lent.give_back();
        Ok(())
    }
}

impl Ledger {
    /// The oldest events of a lane that no other relay has, at most `limit` of that lane; none of the lanes in
    /// `except`. To be brought to its end within seconds, or the database gives the lane to others.
    pub async fn take_batch(&self, limit: impl Fn(i32) -> i64 + Sync, except: &[i32]) -> Result<Taken, LedgerError> {
        let mut lent = self.pool.lend().await?;
        let taking = async {
            let connection = &mut lent.connection;
            sqlx::raw_sql("BEGIN").execute(&mut *connection).await?;
            // The lane whose next event is the oldest, so that a busy schedule holds nobody up.
            let lane: Option<(i32,)> = sqlx::query_as(
                "SELECT lane FROM outbox_lanes l,
                     LATERAL (SELECT id FROM outbox WHERE relayed_at IS NULL AND schedule_id % 16 = l.lane
                              ORDER BY schedule_id % 16, id LIMIT 1) AS next
                 WHERE l.lane <> ALL ($1) ORDER BY next.id FOR UPDATE OF l SKIP LOCKED LIMIT 1",
            )
            .bind(except)
            .fetch_optional(&mut *connection)
            .await?;
            let Some((lane,)) = lane else {
                let pending = "SELECT EXISTS (SELECT 1 FROM outbox WHERE relayed_at IS NULL)";
                let (pending,): (bool,) = sqlx::query_as(pending).fetch_one(connection).await?;
                return Ok(Found::NoLane { pending });
            };
            // A statement of its own, so that it sees what the last holder of the lane has marked. Everything that is
            // not marked, never "id greater than the last": ids are given out before commits, and commits overtake.
            sqlx::query_as(
                "SELECT id, event_id, topic, schedule_id, created_at, payload FROM outbox
                 WHERE relayed_at IS NULL AND schedule_id % 16 = $1 ORDER BY schedule_id % 16, id LIMIT $2",
            )
            .bind(lane)
            .bind(limit(lane))
            .fetch_all(connection)
            .await
            .map(|rows| Found::Rows(lane, rows))
        };
        let others = match within(taking).await? {
            Found::Rows(lane, rows) if !rows.is_empty() => {
                let ids = rows.iter().map(|row| row.id).collect();
                let events = rows.into_iter().map(Event::from).collect();
                return Ok(Taken::Batch(Batch { lent, lane, ids, events }));
            }
            // The lane had some a moment ago: its holder before has marked them all.
            Found::Rows(..) => true,
            Found::NoLane { pending } => pending,
        };
        within(async { sqlx::raw_sql("ROLLBACK").execute(&mut lent.connection).await }).await?;
        lent.give_back();
        Ok(if others { Taken::Others } else { Taken::Nothing })
    }

    /// Says that this relay waits (writers ring from then on), or that it does not.
    pub async fn outbox_asleep(&self, asleep: bool) -> Result<(), LedgerError> {
        let changed = sqlx::query_as("UPDATE outbox_bell SET asleep = $1 WHERE asleep <> $1 RETURNING true");
        self.optional::<(bool,)>(changed.bind(asleep)).await.map(drop)
    }

    /// How far the relays are behind; counts no further than `bound`.
    pub async fn outbox_backlog(&self, bound: i64) -> Result<Backlog, LedgerError> {
        let (events, oldest_s): (i64, Option<f64>) = self
            .one(
                sqlx::query_as(
                    "SELECT count(*), extract(epoch FROM clock_timestamp() - min(created_at))::float8
                     FROM (SELECT created_at FROM outbox WHERE relayed_at IS NULL LIMIT $1) waiting",
                )
                .bind(bound),
            )
            .await?;
        Ok(Backlog { events, oldest_s: oldest_s.unwrap_or(0.0) })
    }

    /// Removes some rows that were relayed more than `keep_days` ago; returns how many.
    pub async fn prune_outbox(&self, keep_days: i32) -> Result<i64, LedgerError> {
        let (removed,): (i64,) = self
            .one(
                sqlx::query_as(
                    "WITH removed AS (DELETE FROM outbox WHERE id = ANY (ARRAY(
                         SELECT id FROM (SELECT id, relayed_at FROM outbox ORDER BY id LIMIT $1) oldest
                         WHERE relayed_at < clock_timestamp() - make_interval(days => $2))) RETURNING 1)
                     SELECT count(*) FROM removed",
                )
                .bind(PRUNE_ROWS)
                .bind(keep_days),
            )
            .await?;
        Ok(removed)
    }

    /// Returns the first time that a writer rings, and again for each ring after; `rang` must return at once.
    /// Ends only with an error: the connection is gone.
    pub async fn listen_to_outbox(&self, rang: impl Fn() + Send) -> Result<(), LedgerError> {
        let pool = sqlx::postgres::PgPoolOptions::new().max_connections(1).connect_lazy_with(self.pool.options());
        let mut listener = within(PgListener::connect_with(&pool)).await?;
        within(listener.listen("outbox")).await?;
        loop {
            // Whatever came before the connection was there, or while it was not, rang for nobody.
            rang();
            if listener.try_recv().await?.is_none() {
                return Err(LedgerError::Unavailable("the connection that listens is gone".to_owned()));
            }
        }
    }
}

#[derive(sqlx::FromRow)]
struct OutboxRow {
    id: i64,
    event_id: Uuid,
    topic: String,
    schedule_id: i64,
    created_at: DateTime<Utc>,
    payload: Value,
}

impl From<OutboxRow> for Event {
    fn from(row: OutboxRow) -> Self {
        Self {
            id: row.event_id,
            topic: row.topic,
            key: row.schedule_id.to_string(),
            schedule_id: Some(row.schedule_id),
            occurred_at: row.created_at,
            payload: row.payload,
        }
    }
}

/// The answer within the limit of a call.
async fn within<T>(answer: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, LedgerError> {
    match timeout(CALL_LIMIT, answer).await {
        Ok(answer) => answer.map_err(LedgerError::from),
        Err(_) => Err(LedgerError::Unavailable("no answer from the database in time".to_owned())),
    }
}
