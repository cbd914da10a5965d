//! The seat lock in Redis: turns most of the crowd away before Postgres. A filter, never the safety:
//! whatever goes wrong here, the caller goes on to the ledger. Must not know SQL or HTTP.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, RedisResult, Script};
use tokio::time::Instant;
use uuid::Uuid;

use crate::breaker::{Breaker, Failed};
use crate::metrics::Metrics;
use crate::seat::{ScheduleId, SeatNumber, Seats};

/// How long a fresh lock lasts: longer than any transaction, short enough that a crash blocks a free seat for seconds.
const FRESH: Duration = Duration::from_secs(10);

/// How long a buyer waits for Redis before going on to Postgres.
const PATIENCE: Duration = Duration::from_millis(100);

/// Failures in a row after which nobody waits for Redis any more. A single slow answer is not an outage.
const FAILURES: u32 = 3;

/// How long Redis is left alone then.
const PAUSE: Duration = Duration::from_secs(1);

/// What asking for the locks of some seats came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Locked {
    /// All are this hold's.
    Ours,
    /// These are another hold's; none was taken.
    Taken(Vec<SeatNumber>),
    /// Redis is off, down or slow: ask the ledger.
    Unknown,
}

/// Why the lock could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("redis.url is not a Redis URL (expected redis://HOST:PORT/)")]
pub struct LockSetupError(#[from] redis::RedisError);

/// The seat locks of one Redis, or of none.
pub struct SeatLock {
    redis: Option<Connected>,
    metrics: Metrics,
}

struct Connected {
    client: Client,
    /// Swapped for a new one when the old one is given up.
    manager: ArcSwap<ConnectionManager>,
    acquire: Script,
    extend: Script,
    release: Script,
    /// A plain mutex: held for a few instructions, never across an await.
    breaker: Mutex<Breaker>,
    started: Instant,
}

impl SeatLock {
    /// No lock at all: every hold goes to the ledger.
    pub fn off(metrics: Metrics) -> Self {
        Self { redis: None, metrics }
    }

    /// Locks in the Redis at `url`. Connects at the first use, so that a Redis that is down delays nothing.
    pub fn at(url: &str, metrics: Metrics) -> Result<Self, LockSetupError> {
        let client = Client::open(url)?;
        let connected = Connected {
            manager: ArcSwap::from_pointee(connect(&client)?),
            client,
            acquire: Script::new(include_str!("lock/acquire.lua")),
            extend: Script::new(include_str!("lock/extend.lua")),
            release: Script::new(include_str!("lock/release.lua")),
            breaker: Mutex::new(Breaker::new(FAILURES, PAUSE)),
            started: Instant::now(),
        };
        Ok(Self { redis: Some(connected), metrics })
    }

    /// Takes the locks of all seats for this hold, or of none.
    pub async fn acquire(&self, schedule: ScheduleId, seats: &Seats, hold: Uuid) -> Locked {
        let Some(redis) = &self.redis else { return Locked::Unknown };
        let taken: Option<Vec<usize>> =
            redis.run(&self.metrics, "acquire", &redis.acquire, (schedule, seats.as_slice(), hold), Some(FRESH)).await;
        match taken {
            None => Locked::Unknown,
            Some(positions) if positions.is_empty() => Locked::Ours,
            Some(positions) => Locked::Taken(
                positions.iter().filter_map(|at| seats.as_slice().get(at.checked_sub(1)?).cloned()).collect(),
            ),
        }
    }

    /// Makes the locks last as long as the hold: to be called only after its commit.
    pub async fn extend(&self, schedule: ScheduleId, seats: &Seats, hold: Uuid, left: Duration) {
        if let Some(redis) = &self.redis {
            let _: Option<i64> =
                redis.run(&self.metrics, "extend", &redis.extend, (schedule, seats.as_slice(), hold), Some(left)).await;
        }
    }

    /// Gives the locks of this hold back; those of others stay.
    pub async fn release(&self, schedule: ScheduleId, seats: &[SeatNumber], hold: Uuid) {
        if let (Some(redis), false) = (&self.redis, seats.is_empty()) {
            let _: Option<i64> =
                redis.run(&self.metrics, "release", &redis.release, (schedule, seats, hold), None).await;
        }
    }
}

/// A manager that connects at its first use.
fn connect(client: &Client) -> RedisResult<ConnectionManager> {
    let config = ConnectionManagerConfig::new()
        .set_number_of_retries(1)
        .set_max_delay(PATIENCE)
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE));
    ConnectionManager::new_lazy_with_config(client.clone(), config)
}

impl Connected {
    /// One script call, bounded in time; `None` when Redis gave no answer.
    async fn run<T: redis::FromRedisValue>(
        &self,
        metrics: &Metrics,
        name: &str,
        script: &Script,
        (schedule, seats, hold): (ScheduleId, &[SeatNumber], Uuid),
        ttl: Option<Duration>,
    ) -> Option<T> {
        if !self.with_breaker(|breaker, now| breaker.allows(now)) {
            metrics.redis_command(name, "skipped");
            return None;
        }
        let mut call = script.prepare_invoke();
        for seat in seats {
            call.key(format!("seat:lock:{}:{seat}", schedule.0));
        }
        call.arg(hold.to_string());
        if let Some(ttl) = ttl {
            call.arg(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1));
        }
        let mut manager = ConnectionManager::clone(&self.manager.load());
        let answer: Result<RedisResult<T>, _> = tokio::time::timeout(PATIENCE, call.invoke_async(&mut manager)).await;
        let why = match answer {
            Ok(Ok(value)) => {
                self.with_breaker(|breaker, _| breaker.succeeded());
                metrics.redis_command(name, "ok");
                return Some(value);
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer in {} ms", PATIENCE.as_millis()),
        };
        metrics.redis_command(name, "error");
        let failed = self.with_breaker(Breaker::failed);
        if failed == Failed::Opened {
            tracing::warn!(why, "Redis does not answer; seats are held without its lock until it does");
        }
        if failed != Failed::Once {
            // The manager notices a connection that broke, not one that fell silent.
            match connect(&self.client) {
                Ok(manager) => self.manager.store(Arc::new(manager)),
                Err(error) => tracing::warn!(%error, "no new connection to Redis"),
            }
        }
        None
    }

    fn with_breaker<T>(&self, act: impl FnOnce(&mut Breaker, Duration) -> T) -> T {
        let now = self.started.elapsed();
        let mut breaker = self.breaker.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        act(&mut breaker, now)
    }
}
