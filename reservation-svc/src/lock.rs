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

/// Who has a lock: a hold, and by whose request it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner(String);

impl Owner {
    /// A hold; `mark` is the same for every request of one user with one idempotency key, and without `:`.
    pub fn new(hold: Uuid, mark: Option<&str>) -> Self {
        Self(mark.map_or_else(|| hold.to_string(), |mark| format!("{hold}:{mark}")))
    }
}

/// What asking for the locks of some seats came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Locked {
    /// All are this hold's.
    Ours,
    /// An earlier request of the same mark has some: what came of it, the ledger knows. None was taken.
    Twin,
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

    /// Takes the locks of all seats for this owner, or of none.
    pub async fn acquire(&self, schedule: ScheduleId, seats: &Seats, owner: &Owner) -> Locked {
        let Some(redis) = &self.redis else { return Locked::Unknown };
        let taken: Option<Vec<usize>> =
            redis.run("acquire", &redis.acquire, (schedule, seats.as_slice(), owner), Some(FRESH)).await;
        match taken {
            None => Locked::Unknown,
            Some(positions) if positions.is_empty() => Locked::Ours,
            Some(positions) if positions == [0] => Locked::Twin,
            Some(positions) => Locked::Taken(
                positions.iter().filter_map(|at| seats.as_slice().get(at.checked_sub(1)?).cloned()).collect(),
            ),
        }
    }

    /// Makes the locks last as long as the hold: to be called only after its commit.
    pub async fn extend(&self, schedule: ScheduleId, seats: &Seats, owner: &Owner, left: Duration) {
        if let Some(redis) = &self.redis {
            let _: Option<i64> =
                redis.run("extend", &redis.extend, (schedule, seats.as_slice(), owner), Some(left)).await;
        }
    }

    /// Gives the locks of this owner back, without a mark those of the hold; those of others stay.
    pub async fn release(&self, schedule: ScheduleId, seats: &[SeatNumber], owner: &Owner) {
        if let (Some(redis), false) = (&self.redis, seats.is_empty()) {
            let _: Option<i64> = redis.run("release", &redis.release, (schedule, seats, owner), None).await;
        }
    }
}

impl Connected {
    /// One script call; `None` when Redis gave no answer.
    async fn run<T: redis::FromRedisValue>(
        &self,
        name: &str,
        script: &Script,
        (schedule, seats, owner): (ScheduleId, &[SeatNumber], &Owner),
        ttl: Option<Duration>,
    ) -> Option<T> {
        let mut call = script.prepare_invoke();
        for seat in seats {
            call.key(format!("seat:lock:{}:{seat}", schedule.0));
        }
        call.arg(&owner.0);
        if let Some(ttl) = ttl {
            call.arg(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1));
        }
        self.link.call(name, &call).await
    }
}
