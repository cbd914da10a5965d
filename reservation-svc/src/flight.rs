//! One reads for all who wait: who comes while a reading is under way shares it, or the one after it. Bounded: at most
//! one under way and one waiting. Knows nothing of what is read.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};

use crate::ledger::LedgerError;

/// How a reader wants what is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// As it is shown to everybody.
    AsShown,
    /// With everything in it that was committed before this call: for who has just changed it.
    Fresh,
}

/// What a reading came to; `None`: there is no such thing. Errors are shared too: a thousand who wait must not fail one
/// after the other.
pub type Landed<T> = Result<Option<Arc<T>>, Arc<LedgerError>>;

/// What a passenger waits for.
pub(crate) type Landing<T> = Shared<BoxFuture<'static, Landed<T>>>;

struct Flight<T> {
    landing: Landing<T>,
    /// Set by the reading itself: its passengers may all have gone away.
    over: Arc<AtomicBool>,
}

/// The readings of one thing.
pub(crate) struct Flights<T>(Mutex<Slots<T>>);

struct Slots<T> {
    now: Option<Flight<T>>,
    /// For those who must not have what began before they came.
    next: Option<Flight<T>>,
}

impl<T> Default for Flights<T> {
    fn default() -> Self {
        Self(Mutex::new(Slots { now: None, next: None }))
    }
}

impl<T: Send + Sync + 'static> Flights<T> {
    /// Joins a reading, or begins one with `read`. A fresh one begins after this call, whatever is under way.
    pub(crate) fn join<F>(&self, wish: Wish, read: impl FnOnce(Wish) -> F + Send + 'static) -> Landing<T>
    where
        F: Future<Output = Landed<T>> + Send + 'static,
    {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while slots.now.as_ref().is_some_and(|flight| flight.over.load(Ordering::SeqCst)) {
            slots.now = slots.next.take();
        }
        match (&slots.now, &slots.next, wish) {
            (Some(now), _, Wish::AsShown) => now.landing.clone(),
            (Some(_), Some(next), Wish::Fresh) => next.landing.clone(),
            (Some(now), None, Wish::Fresh) => {
                let before = now.landing.clone();
                let next = begin(async move {
                    // How that one ended is its passengers' business.
                    let _ = before.await;
                    read(Wish::Fresh).await
                });
                slots.next.insert(next).landing.clone()
            }
            // What waits behind a flight that is over would have become the one under way.
            (None, ..) => slots.now.insert(begin(read(wish))).landing.clone(),
        }
    }
}

/// A task of its own: it goes on when those who wait for it go away.
fn begin<T: Send + Sync + 'static>(work: impl Future<Output = Landed<T>> + Send + 'static) -> Flight<T> {
    let over = Arc::new(AtomicBool::new(false));
    let ended = Arc::clone(&over);
    let task = tokio::spawn(async move {
        let landed = AssertUnwindSafe(work).catch_unwind().await;
        ended.store(true, Ordering::SeqCst);
        landed.unwrap_or_else(|_| Err(Arc::new(LedgerError::Broken("a reading panicked".to_owned()))))
    });
    let landing = async move {
        task.await.unwrap_or_else(|error| Err(Arc::new(LedgerError::Broken(format!("a reading: {error}")))))
    };
    Flight { landing: landing.boxed().shared(), over }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn a_thousand_who_wait_are_two_readings_at_most() {
        let (flights, readings, gate) =
            (Flights::<()>::default(), Arc::new(AtomicU32::new(0)), Arc::new(Semaphore::new(0)));
        let join = |wish| {
            let (readings, gate) = (Arc::clone(&readings), Arc::clone(&gate));
            flights.join(wish, move |_| async move {
                readings.fetch_add(1, Ordering::SeqCst);
                drop(gate.acquire().await);
                Ok(None)
            })
        };
        let shown: Vec<Landing<()>> = (0..1_000).map(|_| join(Wish::AsShown)).collect();
        let fresh: Vec<Landing<()>> = (0..1_000).map(|_| join(Wish::Fresh)).collect();
        gate.add_permits(1);
        for flight in shown {
            assert!(matches!(flight.await, Ok(None)));
        }
        assert!(matches!(fresh[0].clone().await, Ok(None)));
        assert_eq!(readings.load(Ordering::SeqCst), 2, "one for those who take what is under way, one for the others");
        assert!(matches!(join(Wish::AsShown).await, Ok(None)));
        assert_eq!(readings.load(Ordering::SeqCst), 3, "what has landed is not shared with who comes later");
    }
}
