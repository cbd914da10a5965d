//! Stops asking a Redis that does not answer, and asks again now and then. Pure: the time comes in.

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

    /// It failed or was too slow. True when this opened the breaker.
    pub fn failed(&mut self, now: Duration) -> bool {
        self.failures = self.failures.saturating_add(1);
        self.retry_at = now + PAUSE;
        self.failures == FAILURES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_after_failures_in_a_row_and_tries_once_a_pause() {
        let mut breaker = Breaker::default();
        let t = Duration::from_secs(100);
        assert!(breaker.allows(t));
        assert!(!breaker.failed(t));
        breaker.succeeded();
        assert!(!breaker.failed(t));
        assert!(!breaker.failed(t));
        assert!(breaker.failed(t), "the third in a row opens it");
        assert!(!breaker.allows(t));
        assert!(breaker.allows(t + PAUSE), "one may try");
        assert!(!breaker.allows(t + PAUSE), "and only one");
        breaker.succeeded();
        assert!(breaker.allows(t + PAUSE));
    }
}
