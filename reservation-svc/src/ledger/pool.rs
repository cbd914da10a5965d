//! A bounded pool of connections. Why not sqlx's own: it asks every connection a question when it comes back, a
//! second round trip for each call, and waits for the answer without limit, so that a database which falls silent
//! leaves the pool full of connections that wait for ever.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// How long a call waits for a connection in all: for a free place, for a sign of life, for a new one.
const ACQUIRE_LIMIT: Duration = Duration::from_secs(1);

/// After this long unused, a connection is asked whether it still lives; a busy one just works or fails.
const TRUSTED_IDLE: Duration = Duration::from_millis(500);

/// Connections to one database.
#[derive(Clone)]
pub(super) struct Pool(Arc<Inner>);

struct Inner {
    options: PgConnectOptions,
    places: Arc<Semaphore>,
    max: u32,
    /// Unused connections, the last used on top. A plain mutex: held for a push or a pop.
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    connection: PgConnection,
    since: Instant,
}

/// A connection with its place in the pool. Dropped, it is closed: only [`Lent::give_back`] keeps it,
/// so a call that was cut off in the middle can leave nothing half read behind.
pub(super) struct Lent {
    pub(super) connection: PgConnection,
    pool: Pool,
    _place: OwnedSemaphorePermit,
}

impl Pool {
    /// An empty pool; connections are made when needed, `max` at most.
    pub(super) fn new(options: PgConnectOptions, max: u32) -> Self {
        let places = Arc::new(Semaphore::new(usize::try_from(max).unwrap_or(Semaphore::MAX_PERMITS)));
        Self(Arc::new(Inner { options, places, max, idle: Mutex::default() }))
    }

    /// A connection that answers as far as one can know, within [`ACQUIRE_LIMIT`].
    pub(super) async fn lend(&self) -> Result<Lent, sqlx::Error> {
        let deadline = Instant::now() + ACQUIRE_LIMIT;
        let place = timeout_at(deadline, Arc::clone(&self.0.places).acquire_owned()).await;
        let place = place.map_err(|_| sqlx::Error::PoolTimedOut)?.map_err(|_| sqlx::Error::PoolClosed)?;
        let connection = timeout_at(deadline, self.connection()).await.map_err(|_| sqlx::Error::PoolTimedOut)??;
        Ok(Lent { connection, pool: self.clone(), _place: place })
    }

    async fn connection(&self) -> Result<PgConnection, sqlx::Error> {
        while let Some(Idle { mut connection, since }) = self.pop() {
            if since.elapsed() < TRUSTED_IDLE || connection.ping().await.is_ok() {
                return Ok(connection);
            }
        }
        self.0.options.connect().await
    }

    /// How connections are made, for whoever needs one outside of the pool.
    pub(super) fn options(&self) -> PgConnectOptions {
        self.0.options.clone()
    }

    /// In use, idle, and at most.
    pub(super) fn usage(&self) -> (u32, u32, u32) {
        let free = u32::try_from(self.0.places.available_permits()).unwrap_or(u32::MAX);
        let idle = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner).len();
        (self.0.max.saturating_sub(free), u32::try_from(idle).unwrap_or(u32::MAX), self.0.max)
    }

    /// Lends no more, and says good-bye on connections that are not in use.
    pub(super) async fn close(&self) {
        self.0.places.close();
        let deadline = Instant::now() + ACQUIRE_LIMIT;
        while let Some(idle) = self.pop() {
            // Whoever does not hear it finds the connection closed.
            let _ = timeout_at(deadline, idle.connection.close()).await;
        }
    }

    fn pop(&self) -> Option<Idle> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

impl Lent {
    /// Keeps the connection for the next call. To be called only when the last one came to its end.
    pub(super) fn give_back(self) {
        if !self.pool.0.places.is_closed() {
            let idle = Idle { connection: self.connection, since: Instant::now() };
            self.pool.0.idle.lock().unwrap_or_else(PoisonError::into_inner).push(idle);
        }
    }
}
