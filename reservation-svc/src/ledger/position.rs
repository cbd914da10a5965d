//! Where in the primary's log a caller has been: what they have written or seen must be in what they read next.
//! Carried beside the call (a task-local), since every call of the ledger would have to pass it through otherwise.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

tokio::task_local! {
    static POSITION: Position;
}

/// One caller's position, for as long as one request. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Position(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// A position in the write-ahead log, as a number; 0: anywhere.
    after: AtomicU64,
    wrote: AtomicBool,
}

impl Position {
    /// A caller who must see everything up to `after`.
    pub fn at(after: u64) -> Self {
        let position = Self::default();
        position.0.after.store(after, Ordering::Relaxed);
        position
    }

    /// Does the work for this caller.
    pub async fn during<T>(self, work: impl Future<Output = T>) -> T {
        POSITION.scope(self, work).await
    }

    /// The caller that this task works for; one who has been nowhere, when it works for nobody.
    pub fn current() -> Self {
        POSITION.try_with(Clone::clone).unwrap_or_default()
    }

    /// Up to where the caller must see everything.
    pub fn after(&self) -> u64 {
        self.0.after.load(Ordering::Relaxed)
    }

    /// Whether the caller has changed something in this request.
    pub fn wrote(&self) -> bool {
        self.0.wrote.load(Ordering::Relaxed)
    }

    /// The caller has changed something, and the log was at `at` after that; 0 where nobody needs to know.
    pub(super) fn advance(&self, at: u64) {
        self.0.wrote.store(true, Ordering::Relaxed);
        self.0.after.fetch_max(at, Ordering::Relaxed);
    }
}
