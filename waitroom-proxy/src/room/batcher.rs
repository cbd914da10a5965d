//! Coalescing: many requests that want the same operation become one call of the store.
//!
//! Requests gather for a short window, and for as long as the call before them is under way;
//! so a lone request waits a moment and a crowd shares a round trip. Must not know what is asked.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{mpsc, oneshot};

use super::patience::Patience;
use crate::store::{MAX_BATCH, StoreError};

/// How long the first of a batch waits for company. Long enough to gather what arrives in the
/// same instant, short beside a visitor's round trip.
const WINDOW: Duration = Duration::from_millis(2);

/// Requests that may wait for their batch; over this the answer is "the store does not answer".
const QUEUE: usize = 16 * MAX_BATCH;

/// Why a request got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// The store did not answer in time, or lost the room.
    #[error("the store does not answer")]
    Unavailable,
    /// The store refused the call; nothing was written.
    #[error("the store refused the call")]
    Refused,
}

type Waiter<A> = oneshot::Sender<Result<A, Unanswered>>;

/// The asking side: cheap to clone, usable from any thread and runtime.
#[derive(Debug)]
pub struct Batcher<Q, A> {
    queue: mpsc::Sender<(Q, Waiter<A>)>,
}

/// The serving side, to be run on the runtime that owns the store's connections.
#[derive(Debug)]
pub struct BatchQueue<Q, A> {
    queue: mpsc::Receiver<(Q, Waiter<A>)>,
}

/// A connected pair.
#[must_use]
pub fn batcher<Q, A>() -> (Batcher<Q, A>, BatchQueue<Q, A>) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    (Batcher { queue: sender }, BatchQueue { queue: receiver })
}

impl<Q, A> Batcher<Q, A> {
    /// Asks, and waits for the answer of the batch. What is not under way when the patience ends is not asked at all.
    ///
    /// # Errors
    /// When the queue is full, or the store does not answer while the patience lasts, or refuses.
    pub async fn ask(&self, question: Q, patience: Patience) -> Result<A, Unanswered> {
        if patience.is_over() {
            return Err(Unanswered::Unavailable);
        }
        let (sender, receiver) = oneshot::channel();
        self.queue.try_send((question, sender)).map_err(|_| Unanswered::Unavailable)?;
        match tokio::time::timeout_at(patience.ends(), receiver).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Err(Unanswered::Unavailable),
        }
    }
}

impl<Q, A> BatchQueue<Q, A> {
    /// Serves batches until the last [`Batcher`] is gone. `call` gets at most [`MAX_BATCH`] questions
    /// and answers each in its place.
    pub async fn serve<F, R>(mut self, mut call: F)
    where
        F: FnMut(Vec<Q>) -> R,
        R: Future<Output = Result<Vec<A>, StoreError>>,
    {
        let mut batch = Vec::new();
        while self.queue.recv_many(&mut batch, MAX_BATCH).await > 0 {
            if batch.len() < MAX_BATCH {
                tokio::time::sleep(WINDOW).await;
                while batch.len() < MAX_BATCH
                    && let Ok(more) = self.queue.try_recv()
                {
                    batch.push(more);
                }
            }
            // Who gave up meanwhile need not be asked for.
            batch.retain(|(_, waiter)| !waiter.is_closed());
            let (questions, waiters): (Vec<_>, Vec<_>) = batch.drain(..).unzip();
            if questions.is_empty() {
                continue;
            }
            // A fault of ours costs this batch, not every batch after it.
            let answers = AssertUnwindSafe(call(questions)).catch_unwind().await;
            settle(
                waiters,
                answers.unwrap_or_else(|_| Err(StoreError::Unavailable("a fault in the proxy".to_owned()))),
            );
        }
    }
}

fn settle<A>(waiters: Vec<Waiter<A>>, answers: Result<Vec<A>, StoreError>) {
    match answers {
        Ok(answers) => {
            // A waiter whose request went away does not mind.
            waiters.into_iter().zip(answers).for_each(|(waiter, answer)| drop(waiter.send(Ok(answer))));
        }
        Err(error) => {
            let why = match error {
                StoreError::Refused(_) => Unanswered::Refused,
                StoreError::Lost | StoreError::Superseded(_) | StoreError::Unavailable(_) => Unanswered::Unavailable,
            };
            waiters.into_iter().for_each(|waiter| drop(waiter.send(Err(why))));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::super::patience::MOST;
    use super::*;

    #[tokio::test]
    async fn a_crowd_shares_a_call_and_each_gets_its_own_answer() {
        let (asker, queue) = batcher::<u64, u64>();
        let calls = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = calls.clone();
        let server = tokio::spawn(queue.serve(move |batch: Vec<u64>| {
            counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            async move { Ok(batch.into_iter().map(|n| n * 2).collect()) }
        }));
        let answers = futures_util::future::join_all((0..2_500).map(|n| asker.ask(n, Patience::begins()))).await;
        for (n, answer) in answers.into_iter().enumerate() {
            assert_eq!(answer, Ok(n as u64 * 2));
        }
        drop(asker);
        server.await.unwrap();
        assert_eq!(calls.load(std::sync::atomic::Ordering::Relaxed), 3, "2,500 questions in batches of at most 1,000");
    }

    #[tokio::test]
    async fn a_fault_costs_its_batch_and_not_the_next() {
        let (asker, queue) = batcher::<u64, u64>();
        let server = tokio::spawn(queue.serve(|batch: Vec<u64>| async move {
            assert_ne!(batch, [1], "planted");
            Ok(batch)
        }));
        assert_eq!(asker.ask(1, Patience::begins()).await, Err(Unanswered::Unavailable));
        assert_eq!(asker.ask(2, Patience::begins()).await, Ok(2));
        server.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn f4_nobody_waits_longer_than_their_patience_and_the_call_goes_on() {
        let (asker, queue) = batcher::<u64, u64>();
        let (heard, mut calls) = mpsc::unbounded_channel();
        let server = tokio::spawn(queue.serve(move |batch: Vec<u64>| {
            heard.send(batch.clone()).unwrap();
            async move {
                // As long as the store lets a call take, and then nothing.
                tokio::time::sleep(MOST).await;
                Err(StoreError::Unavailable(format!("{batch:?}")))
            }
        }));
        let ask = async |after_ms, question| {
            tokio::time::sleep(Duration::from_millis(after_ms)).await;
            let began = Instant::now();
            assert_eq!(asker.ask(question, Patience::begins()).await, Err(Unanswered::Unavailable));
            began.elapsed()
        };
        // The second and the third wait behind the dying call of the first.
        let waited = tokio::join!(ask(0, 1), ask(10, 2), ask(190, 3));
        for waited in [waited.0, waited.1, waited.2] {
            assert!(waited <= MOST, "{waited:?}");
        }
        assert_eq!(calls.recv().await, Some(vec![1]));
        assert_eq!(calls.recv().await, Some(vec![2, 3]), "asked for while somebody waited");
        let late = Patience::begins();
        tokio::time::sleep(MOST).await;
        assert_eq!(asker.ask(4, late).await, Err(Unanswered::Unavailable));
        drop(asker);
        server.await.unwrap();
        assert_eq!(calls.recv().await, None, "4 was not asked");
    }
}
