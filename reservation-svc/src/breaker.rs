//! Stops asking somebody who does not answer, and asks again now and then. Pure: the time comes in.

use std::cmp::Ordering;
use std::time::Duration;

/// Counts failures in a row; open means: do not ask.
#[derive(Debug)]
pub struct Breaker {
    /// Failures in a row that open it.
    limit: u32,
    /// How long the other side is left alone then.
    pause: Duration,
    failures: u32,
    /// When to try again, since the start of the process. Only meaningful while open.
    retry_at: Duration,
}

impl Breaker {
    /// A closed one. It opens after `limit` failures in a row, and lets one caller through per `pause` then: that
    /// one pays the time-out, the others go straight on.
    pub fn new(limit: u32, pause: Duration) -> Self {
        Self { limit, pause, failures: 0, retry_at: Duration::ZERO }
    }

    /// Whether nobody is to ask at this moment. Unlike [`Breaker::allows`] it takes no turn to try.
    pub fn is_open(&self, now: Duration) -> bool {
        self.failures >= self.limit && now < self.retry_at
    }

    /// Whether to ask now. While open, one caller per pause is let through to try.
    pub fn allows(&mut self, now: Duration) -> bool {
        if self.failures < self.limit {
            return true;
        }
        if now < self.retry_at {
            return false;
        }
        self.retry_at = now + self.pause;
        true
    }

    /// It answered: closed again.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// It failed or was too slow.
    pub fn failed(&mut self, now: Duration) -> Failed {
        self.failures = self.failures.saturating_add(1);
        self.retry_at = now + self.pause;
        match self.failures.cmp(&self.limit) {
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

    const PAUSE: Duration = Duration::from_secs(1);

    #[test]
    fn opens_after_failures_in_a_row_and_tries_once_a_pause() {
        let mut breaker = Breaker::new(3, PAUSE);
        let t = Duration::from_secs(100);
        assert!(breaker.allows(t));
        assert_eq!(breaker.failed(t), Failed::Once);
        breaker.succeeded();
        assert_eq!(breaker.failed(t), Failed::Once);
        assert_eq!(breaker.failed(t), Failed::Once);
        assert_eq!(breaker.failed(t), Failed::Opened, "the third in a row opens it");
        assert!(!breaker.allows(t) && breaker.is_open(t));
        assert!(!breaker.is_open(t + PAUSE));
        assert!(breaker.allows(t + PAUSE), "one may try");
        assert!(!breaker.allows(t + PAUSE), "and only one");
        assert_eq!(breaker.failed(t + PAUSE), Failed::StillOpen);
        breaker.succeeded();
        assert!(breaker.allows(t + PAUSE));
    }
}
