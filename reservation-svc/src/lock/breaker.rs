//! Stops asking a Redis that does not answer, and asks again now and then. Pure: the time comes in.

use std::cmp::Ordering;
use std::time::Duration;

/// Failures in a row after which nobody waits for Redis any more. A single slow answer is not an outage.
const FAILURES: u32 = 3;

/// How long it is left alone then. One buyer in this time pays the time-out; the others go straight on.
const PAUSE: Duration = Duration::from_secs(1);

/// Counts failures in a row; open means: do not ask.
#[derive(Debug, Default)]
pub struct Breaker {
    failures: u32,
    /// When to try again, since the start of the process. Only meaningful while open.
    retry_at: Duration,
}

impl Breaker {
    /// Whether to ask now. While open, one caller per pause is let through to try.
    pub fn allows(&mut self, now: Duration) -> bool {
        if self.failures < FAILURES {
            return true;
        }
        if now < self.retry_at {
            return false;
        }
        self.retry_at = now + PAUSE;
        true
    }

    /// It answered: closed again.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// It failed or was too slow.
    pub fn failed(&mut self, now: Duration) -> Failed {
        self.failures = self.failures.saturating_add(1);
        self.retry_at = now + PAUSE;
        match self.failures.cmp(&FAILURES) {
            Ordering::Less => Failed::Once,
            Ordering::Equal => Failed::Opened,
            Ordering::Greater => Failed::StillOpen,
        }
    }
}

/// What a failure came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failed {
    /// May happen: it is asked again.
    Once,
    /// One too many: it is left alone from now on.
    Opened,
    /// It was tried, and in vain.
    StillOpen,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_after_failures_in_a_row_and_tries_once_a_pause() {
        let mut breaker = Breaker::default();
        let t = Duration::from_secs(100);
        assert!(breaker.allows(t));
        assert_eq!(breaker.failed(t), Failed::Once);
        breaker.succeeded();
        assert_eq!(breaker.failed(t), Failed::Once);
        assert_eq!(breaker.failed(t), Failed::Once);
        assert_eq!(breaker.failed(t), Failed::Opened, "the third in a row opens it");
        assert!(!breaker.allows(t));
        assert!(breaker.allows(t + PAUSE), "one may try");
        assert!(!breaker.allows(t + PAUSE), "and only one");
        assert_eq!(breaker.failed(t + PAUSE), Failed::StillOpen);
        breaker.succeeded();
        assert!(breaker.allows(t + PAUSE));
    }
}
