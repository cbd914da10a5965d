//! How long one request waits for the store, in all its questions together. Knows no question.

use std::time::Duration;

use tokio::time::Instant;

/// No request waits longer for a store that does not answer.
pub(super) const MOST: Duration = Duration::from_millis(200);

/// Until when a request waits. It begins once, with the request's first question: one that claims, hears no, and
/// joins has no more time than one that joins. A call that is under way by then goes on, and the visitor's next
/// request is told what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Patience(Instant);

impl Patience {
    /// 200 ms from now.
    #[must_use]
    pub fn begins() -> Self {
        Self(Instant::now() + MOST)
    }

    /// When it ends.
    #[must_use]
    pub fn ends(self) -> Instant {
        self.0
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_over(self) -> bool {
        self.0 <= Instant::now()
    }
}
