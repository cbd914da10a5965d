//! One reads for all who wait: who comes while a reading is under way shares it, or the one after it. Bounded: at most
//! one under way and one waiting. Knows nothing of what is read.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};

use super::{Rendered, Wish};
use crate::ledger::LedgerError;

/// What a reading came to. Errors are shared too: a thousand who wait must not fail one after the other.
pub type Landed = Result<Option<Arc<Rendered>>, Arc<LedgerError>>;

/// What a passenger waits for.
pub(super) type Landing = Shared<BoxFuture<'static, Landed>>;

#[derive(Clone)]
struct Flight {
    landing: Landing,
    /// Set by the reading itself: its passengers may all have gone away.
    over: Arc<AtomicBool>,
}

/// The readings of one map.
#[derive(Default)]
pub(super) struct Flights(Mutex<Slots>);

#[derive(Default)]
struct Slots {
    now: Option<Flight>,
    /// For those who must not have what began before they came.
    next: Option<Flight>,
}

impl Flights {
    /// Joins a reading, or begins one with `read`. A fresh one begins after this call, whatever is under way.
    pub(super) fn join<F>(&self, wish: Wish, read: impl FnOnce(Wish) -> F + Send + 'static) -> Landing
    where
        F: Future<Output = Landed> + Send + 'static,
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
fn begin(work: impl Future<Output = Landed> + Send + 'static) -> Flight {
    let over = Arc::new(AtomicBool::new(false));
    let ended = Arc::clone(&over);
    let task = tokio::spawn(async move {
        let landed = AssertUnwindSafe(work).catch_unwind().await;
        ended.store(true, Ordering::SeqCst);
        landed.unwrap_or_else(|_| Err(Arc::new(LedgerError::Broken("reading a seat map panicked".to_owned()))))
    });
    let landing = async move {
        task.await.unwrap_or_else(|error| Err(Arc::new(LedgerError::Broken(format!("reading a seat map: {error}")))))
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
        let (flights, readings, gate) = (Flights::default(), Arc::new(AtomicU32::new(0)), Arc::new(Semaphore::new(0)));
        let join = |wish| {
            let (readings, gate) = (Arc::clone(&readings), Arc::clone(&gate));
            flights.join(wish, move |_| async move {
                readings.fetch_add(1, Ordering::SeqCst);
                drop(gate.acquire().await);
                Ok(None)
            })
        };
        let shown: Vec<Landing> = (0..1_000).map(|_| join(Wish::AsShown)).collect();
        let fresh: Vec<Landing> = (0..1_000).map(|_| join(Wish::Fresh)).collect();
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
