//! How many requests a user may send: a bucket of tokens each, in memory that has a bound. Pure: the time comes in.
//!
//! Why not a crate: those with a bucket a key keep every key that ever came until told to sweep; here the number of
//! keys has a bound, and what is left of it is this arithmetic (the generic cell rate algorithm, ITU-T I.371).

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lru::LruCache;

use crate::seat::UserId;

/// Users remembered at most. Who is forgotten was silent longest, so their bucket is full again anyway, unless more
/// users than this come within a second.
const MAX_USERS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(131_071);

/// The limit of every user.
pub struct Quota {
    per_s: NonZeroU32,
    /// When each user's bucket is full again, since the start of the process.
    full_at: Mutex<LruCache<UserId, Duration>>,
}

/// What is left of a user's limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Requests in any one second from a full bucket.
    pub per_s: u32,
    /// Requests that would pass at this moment.
    pub left: u32,
    /// Whole seconds until all would pass again.
    pub full_in_s: u64,
}

/// Whether a request passes, and what is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It passes.
    Passed(Allowance),
    /// It does not, before this many whole seconds are over.
    Refused(Allowance, u64),
}

impl Quota {
    /// So many requests a second for each user, all of them at once if nothing came before.
    pub fn new(per_s: NonZeroU32) -> Self {
        Self { per_s, full_at: Mutex::new(LruCache::new(MAX_USERS)) }
    }

    /// One request of a user. A refused one costs nothing.
    pub fn take(&self, user: UserId, now: Duration) -> Verdict {
        let cost = Duration::from_secs(1) / self.per_s.get();
        let most = cost * self.per_s.get();
        let mut users = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let before = users.get(&user).copied().unwrap_or_default().max(now);
        let after = before + cost;
        let wait = after.saturating_sub(now + most);
        if wait.is_zero() {
            users.put(user, after);
            return Verdict::Passed(self.allowance(after - now, most, cost));
        }
        Verdict::Refused(self.allowance(before - now, most, cost), whole_seconds(wait))
    }

    fn allowance(&self, used: Duration, most: Duration, cost: Duration) -> Allowance {
        let left = most.saturating_sub(used).as_nanos() / cost.as_nanos().max(1);
        let left = u32::try_from(left).unwrap_or(u32::MAX).min(self.per_s.get());
        Allowance { per_s: self.per_s.get(), left, full_in_s: whole_seconds(used) }
    }
}

/// Rounded up: who comes back then is not too early.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: i64) -> UserId {
        UserId::new(id).unwrap()
    }

    #[test]
    fn ten_at_once_then_ten_a_second_and_each_user_apart() {
        let quota = Quota::new(NonZeroU32::new(10).unwrap());
        let start = Duration::from_secs(100);
        for left in (0..10).rev() {
            assert_eq!(quota.take(user(1), start), Verdict::Passed(Allowance { per_s: 10, left, full_in_s: 1 }));
        }
        for _ in 0..100 {
            let empty = Allowance { per_s: 10, left: 0, full_in_s: 1 };
            assert_eq!(quota.take(user(1), start), Verdict::Refused(empty, 1));
        }
        assert!(matches!(quota.take(user(2), start), Verdict::Passed(_)));
        // Being refused has cost nothing: a tenth of a second later one passes, and one only.
        let soon = start + Duration::from_millis(100);
        assert!(matches!(quota.take(user(1), soon), Verdict::Passed(_)));
        assert!(matches!(quota.take(user(1), soon), Verdict::Refused(..)));
        assert!(matches!(
            quota.take(user(1), start + Duration::from_secs(5)),
            Verdict::Passed(Allowance { left: 9, .. })
        ));
    }

    #[test]
    fn in_ten_seconds_no_more_than_the_rate_and_one_bucket() {
        for per_s in [1, 3, 7, 10, 1_000] {
            let quota = Quota::new(NonZeroU32::new(per_s).unwrap());
            let passed = (0..100_000_u64)
                .filter(|tick| matches!(quota.take(user(1), Duration::from_micros(100 * tick)), Verdict::Passed(_)))
                .count();
            let most = usize::try_from(per_s * 10 + per_s).unwrap();
            assert!(passed <= most && passed + usize::try_from(per_s).unwrap() >= most, "{passed} at {per_s}/s");
        }
    }

    #[test]
    fn i22_the_memory_has_a_bound() {
        let quota = Quota::new(NonZeroU32::new(10).unwrap());
        for id in 1..=200_000 {
            quota.take(user(id), Duration::from_secs(1));
        }
        assert_eq!(quota.full_at.lock().unwrap().len(), MAX_USERS.get());
    }
}
