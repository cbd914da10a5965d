//! The batch servers of a room: each turns a batch of questions into one call of the store.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::keeper::Keeper;
use super::{Arrival, Ending, Of, Room, RoomWork, vouch};
use crate::store::{
    Begun, ClaimItem, Detail, Epoch, JoinItem, MAX_BATCH, QueueStore, SEQ_MARGIN, Standing, StoreError, TouchItem,
    Verdict, Vid,
};
use crate::view::RoomView;

/// With fewer in line than this, a join takes a new look at the line along, so that the first answer is exact. In a
/// longer one the number alone tells the position well enough.
const SHORT_LINE: u64 = 8_192;

/// … and with fewer numbers than this between the first in line and the last: the look is then at most 32 KiB, and
/// as a rule one. People who come back to old numbers, and a jump of the numbers after a loss, make it longer.
const SHORT_SPAN: u64 = 262_144;
const _: () = assert!(SHORT_LINE < SHORT_SPAN && 2 * SEQ_MARGIN < SHORT_SPAN);

/// What is left of the patience of whoever asked first when the look ends: time to hear of the number.
const TO_ANSWER: Duration = Duration::from_millis(20);

/// Sessions told of in one call: it keeps the server busy for about a millisecond.
const NEWS_AT_ONCE: usize = 250;

/// Pause before the store is told again of what ended while it was away.
const RETRY: Duration = Duration::from_millis(500);

impl RoomWork {
    /// Spawns everything the room needs on the current runtime; returns when the returned handle is
    /// aborted. `draw` draws the id of a new life.
    #[must_use]
    pub fn spawn(self, draw: fn() -> u32) -> tokio::task::JoinSet<()> {
        let mut tasks = tokio::task::JoinSet::new();
        let RoomWork { room, store, clock, cold_wait, joins, enters, claims, touches, ends, vouches, news } = self;
        let desk = Desk { room: room.clone(), store: store.clone(), trouble: Arc::default() };
        tasks.spawn(joins.serve(serving(&desk, |desk, batch| async move { desk.join(batch).await })));
        tasks.spawn(enters.serve(serving(&desk, |desk, batch| async move { desk.enter(&batch).await })));
        tasks.spawn(claims.serve(serving(&desk, |desk, batch| async move { desk.claim(&batch).await })));
        tasks.spawn(touches.serve(serving(&desk, |desk, batch| async move { desk.touch(&batch).await })));
        tasks.spawn(desk.clone().end_all(ends));
        tasks.spawn(desk.clone().announce_all(news));
        tasks.spawn(vouch::tell_all(room.clone(), store.clone(), clock.clone(), vouches));
        tasks.spawn(Keeper::new(super::keeper::KeeperWork { room, store, clock, cold_wait }, draw).run());
        tasks
    }
}

/// Whether a look at the line costs next to nothing after so many have joined.
fn is_short(view: &RoomView, joined: u64) -> bool {
    let span = view.head.map_or(0, |head| view.seen.seq.saturating_sub(head));
    view.waiting + joined < SHORT_LINE && span + joined < SHORT_SPAN
}

/// A closure that gives each batch its own handle on the desk.
fn serving<Q, R, S>(desk: &Desk, serve: S) -> impl FnMut(Vec<Q>) -> R + use<Q, R, S>
where
    S: Fn(Desk, Vec<Q>) -> R,
{
    let desk = desk.clone();
    move |batch| serve(desk.clone(), batch)
}

#[derive(Clone)]
struct Desk {
    room: Arc<Room>,
    store: Arc<dyn QueueStore>,
    /// What the last failed call said, so that a new reason is logged and the same one not again. The keeper's own
    /// calls may succeed all the while: a server without memory still gives turns, and takes nobody in.
    trouble: Arc<Mutex<Option<String>>>,
}

impl Desk {
    /// What the keeper believes. Only it mends what is lost; a batch that hits a loss waits for the next try.
    fn view(&self) -> Arc<RoomView> {
        self.room.view.load_full()
    }

    fn mend<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if matches!(result, Err(StoreError::Lost | StoreError::Superseded(_))) {
            self.room.nudge();
        }
        self.note(result.as_ref().err());
        result
    }

    fn note(&self, error: Option<&StoreError>) {
        let why = match error {
            Some(StoreError::Unavailable(why) | StoreError::Refused(why)) => Some(why),
            // The keeper mends it, and says so.
            Some(StoreError::Lost | StoreError::Superseded(_)) => return,
            None => None,
        };
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(why) = why.filter(|why| trouble.as_ref() != Some(*why)) {
            tracing::error!(room = %self.room.name, why, "the store did not do what visitors asked for");
        }
        if trouble.as_ref() != why {
            *trouble = why.cloned();
        }
    }

    async fn join(&self, batch: Vec<Arrival>) -> Result<Vec<Standing>, StoreError> {
        let view = self.view();
        let mut answers: Vec<Standing> = batch.iter().map(|arrival| Standing::Void(arrival.seq)).collect();
        // The answers go back by place, so the order of arrival is a detour over indices.
        let mut order: Vec<usize> =
            (0..batch.len()).filter(|&i| batch[i].seq == 0 || batch[i].epoch == view.epoch).collect();
        order.sort_by_key(|&i| batch[i].arrived_ms);
        let items: Vec<JoinItem> = order.iter().map(|&i| JoinItem { vid: batch[i].vid, seq: batch[i].seq }).collect();
        if items.is_empty() {
            return Ok(answers);
        }
        let sorted = self.mend(self.store.join(&self.room.name, view.epoch, view.seen, &items).await)?;
        for (&i, standing) in order.iter().zip(sorted) {
            answers[i] = standing;
        }
        if is_short(&view, items.len() as u64)
            && let Some(first) = batch.iter().map(|arrival| arrival.patience.ends()).min()
        {
            self.look_until(first - TO_ANSWER).await;
        }
        // While somebody waits the keeper ticks as often as the rate needs: a crowd must not make it tick oftener.
        if view.waiting == 0 {
            self.room.nudge();
        }
        Ok(answers)
    }

    /// A fresh look at the line, so that the next answer is exact. Whoever has joined has joined, also when there is
    /// no answer or no time for one: the position is then told by the number.
    async fn look_until(&self, deadline: Instant) {
        match timeout_at(deadline, self.look()).await {
            Ok(Ok(())) => {}
            // The keeper looks every second, and says so when it cannot.
            Ok(Err(error)) => tracing::debug!(room = %self.room.name, %error, "no look at the line after a join"),
            Err(_) => tracing::debug!(room = %self.room.name, "no time for a look at the line after a join"),
        }
    }

    async fn look(&self) -> Result<(), StoreError> {
        let epoch = self.view().epoch;
        let picture = self.store.snapshot(&self.room.name, Some(epoch), Detail::Line).await?;
        let before = self.room.view.load_full();
        // A tick may have answered meanwhile, with a later picture of the head.
        let overtaken = (1..1_000).contains(&before.as_of_ms.saturating_sub(picture.now_ms));
        if picture.epoch == before.epoch && !overtaken {
            self.room.set_view(before.with_line(&picture));
        }
        Ok(())
    }

    async fn enter(&self, batch: &[Vid]) -> Result<Vec<Verdict>, StoreError> {
        let (view, settings) = (self.view(), self.room.settings.load_full());
        let lasts = settings.provisional();
        self.mend(self.store.enter(&self.room.name, view.epoch, view.seen, settings.limits, lasts, batch).await)
    }

    async fn claim(&self, batch: &[Of<ClaimItem>]) -> Result<Vec<Verdict>, StoreError> {
        let ttl = self.room.settings.load().session_ttl;
        self.current(batch, async |epoch, items: &[ClaimItem]| {
            self.store.claim(&self.room.name, epoch, ttl, false, items).await
        })
        .await
    }

    async fn touch(&self, batch: &[Of<TouchItem>]) -> Result<Vec<Verdict>, StoreError> {
        self.current(batch, async |epoch, items: &[TouchItem]| self.store.touch(&self.room.name, epoch, items).await)
            .await
    }

    /// Asks for those items that are of the room's epoch; for the others the answer is no (I11).
    async fn current<T: Copy>(
        &self,
        batch: &[Of<T>],
        ask: impl AsyncFnOnce(Epoch, &[T]) -> Result<Vec<Verdict>, StoreError>,
    ) -> Result<Vec<Verdict>, StoreError> {
        let epoch = self.view().epoch;
        let mut answers = vec![Verdict::No; batch.len()];
        let (places, items): (Vec<usize>, Vec<T>) =
            batch.iter().enumerate().filter(|(_, of)| of.epoch == epoch).map(|(i, of)| (i, of.item)).unzip();
        if !items.is_empty() {
            let verdicts = self.mend(ask(epoch, &items).await)?;
            for (place, verdict) in places.into_iter().zip(verdicts) {
                answers[place] = verdict;
            }
        }
        Ok(answers)
    }

    /// Tells of every session that began, once: what does not get through is counted there, and forgotten.
    async fn announce_all(self, mut news: tokio::sync::mpsc::Receiver<Of<Begun>>) {
        let mut batch = Vec::new();
        while news.recv_many(&mut batch, NEWS_AT_ONCE).await > 0 {
            let epoch = self.view().epoch;
            // Nobody cares any more about those of a former epoch.
            let begun: Vec<Begun> = batch.drain(..).filter(|of| of.epoch == epoch).map(|of| of.item).collect();
            let missed = self.room.missed.swap(0, Ordering::Relaxed);
            if let Err(error) = self.store.announce(&self.room.name, epoch, &begun, missed).await {
                tracing::debug!(room = %self.room.name, %error, count = begun.len(), "sessions that nobody was told of");
            }
        }
    }

    /// Tells the store of every ending, as often as it takes.
    async fn end_all(self, mut ends: tokio::sync::mpsc::Receiver<Ending>) {
        let mut batch = Vec::new();
        while ends.recv_many(&mut batch, MAX_BATCH).await > 0 {
            self.room.forget_leaving(&batch);
            loop {
                let epoch = self.view().epoch;
                // What ended in a former epoch is over with it.
                let items: Vec<JoinItem> = batch
                    .iter()
                    .filter(|ending| ending.epoch == epoch)
                    .map(|ending| JoinItem { vid: ending.vid, seq: ending.seq })
                    .collect();
                if items.is_empty() {
                    break;
                }
                match self.mend(self.store.end(&self.room.name, epoch, &items).await) {
                    Ok(_) => break,
                    Err(StoreError::Refused(why)) => {
                        tracing::error!(room = %self.room.name, why, "the store refused to end sessions");
                        break;
                    }
                    Err(_) => tokio::time::sleep(RETRY).await,
                }
            }
            batch.clear();
            self.room.nudge();
        }
    }
}
