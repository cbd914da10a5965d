//! After failures answer at once instead of waiting: one call now and then tries whether the server is back.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How often the server is tried while it is down.
const PROBE_EVERY: Duration = Duration::from_millis(250);

/// One failure may be one slow call; two in a row are an outage.
const FAILURES_TO_OPEN: u32 = 2;

#[derive(Debug, Default)]
pub(super) struct Breaker {
    /// Held for a few instructions, never over an await.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Failures since the last success.
    failures: u32,
    /// Set while calls are answered at once: when the next one may try, and what the last one was told.
    open: Option<(Instant, String)>,
}

impl Breaker {
    /// Whether a call may go out now; otherwise what to tell the caller.
    pub(super) fn permit(&self, now: Instant) -> Result<(), String> {
        match &mut self.state().open {
            Some((retry_at, sentence)) if now < *retry_at => Err(sentence.clone()),
            Some((retry_at, _)) => {
                // This call is the probe; those who come while it is under way are answered at once.
                *retry_at = now + PROBE_EVERY;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// A call that was permitted was not made after all: the next one may be the probe in its place.
    pub(super) fn unused(&self, now: Instant) {
        if let Some((retry_at, _)) = &mut self.state().open {
            *retry_at = now;
        }
    }

    pub(super) fn succeeded(&self) {
        *self.state() = State::default();
    }

    pub(super) fn failed(&self, now: Instant, sentence: String) {
        let mut state = self.state();
        state.failures = state.failures.saturating_add(1);
        if state.failures >= FAILURES_TO_OPEN {
            state.open = Some((now + PROBE_EVERY, sentence));
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_that_was_not_made_is_given_back() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        breaker.failed(start, "gone".to_owned());
        breaker.failed(start, "gone".to_owned());
        let later = start + PROBE_EVERY;
        assert_eq!(breaker.permit(later), Ok(()));
        breaker.unused(later);
        assert_eq!(breaker.permit(later), Ok(()), "or nobody would ever find out that the server is back");
    }

    #[test]
    fn one_failure_is_forgiven_and_two_open_it_for_one_probe_at_a_time() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        breaker.failed(start, "slow".to_owned());
        assert_eq!(breaker.permit(start), Ok(()));
        breaker.failed(start, "gone".to_owned());
        assert_eq!(breaker.permit(start), Err("gone".to_owned()));
        let later = start + PROBE_EVERY;
        assert_eq!(breaker.permit(later), Ok(()), "the probe");
        assert_eq!(breaker.permit(later), Err("gone".to_owned()), "only one");
        breaker.failed(later, "still gone".to_owned());
        assert_eq!(breaker.permit(later), Err("still gone".to_owned()));
        breaker.succeeded();
        assert_eq!(breaker.permit(later), Ok(()));
        breaker.failed(later, "slow".to_owned());
        assert_eq!(breaker.permit(later), Ok(()), "the count began anew");
    }
}
