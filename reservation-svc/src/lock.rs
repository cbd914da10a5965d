//! The seat lock in Redis: turns most of the crowd away before Postgres. A filter, never the safety:
//! whatever goes wrong here, the caller goes on to the ledger. Must not know SQL or HTTP.

use std::sync::Arc;
use std::time::Duration;

use redis::Script;
use uuid::Uuid;

use crate::link::Link;
use crate::seat::{ScheduleId, SeatNumber, Seats};

/// How long a fresh lock lasts: longer than any transaction, short enough that a crash blocks a free seat for seconds.
const FRESH: Duration = Duration::from_secs(10);

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

/// The seat locks of one Redis, or of none.
pub struct SeatLock {
    redis: Option<Connected>,
}

struct Connected {
    link: Arc<Link>,
    acquire: Script,
    extend: Script,
    release: Script,
}

impl SeatLock {
    /// No lock at all: every hold goes to the ledger.
    pub fn off() -> Self {
        Self { redis: None }
    }

    /// Locks in the Redis behind `link`.
    pub fn over(link: Arc<Link>) -> Self {
        let connected = Connected {
            link,
            acquire: Script::new(include_str!("lock/acquire.lua")),
            extend: Script::new(include_str!("lock/extend.lua")),
            release: Script::new(include_str!("lock/release.lua")),
        };
        Self { redis: Some(connected) }
    }

    /// Takes the locks of all seats for this hold, or of none.
    pub async fn acquire(&self, schedule: ScheduleId, seats: &Seats, hold: Uuid) -> Locked {
        let Some(redis) = &self.redis else { return Locked::Unknown };
        let taken: Option<Vec<usize>> =
            redis.run("acquire", &redis.acquire, (schedule, seats.as_slice(), hold), Some(FRESH)).await;
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
                redis.run("extend", &redis.extend, (schedule, seats.as_slice(), hold), Some(left)).await;
        }
    }

    /// Gives the locks of this hold back; those of others stay.
    pub async fn release(&self, schedule: ScheduleId, seats: &[SeatNumber], hold: Uuid) {
        if let (Some(redis), false) = (&self.redis, seats.is_empty()) {
            let _: Option<i64> = redis.run("release", &redis.release, (schedule, seats, hold), None).await;
        }
    }
}

impl Connected {
    /// One script call; `None` when Redis gave no answer.
    async fn run<T: redis::FromRedisValue>(
        &self,
        name: &str,
        script: &Script,
        (schedule, seats, hold): (ScheduleId, &[SeatNumber], Uuid),
        ttl: Option<Duration>,
    ) -> Option<T> {
        let mut call = script.prepare_invoke();
        for seat in seats {
            call.key(format!("seat:lock:{}:{seat}", schedule.0));
        }
        call.arg(hold.to_string());
        if let Some(ttl) = ttl {
            call.arg(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1));
        }
        self.link.call(name, &call).await
    }
}
