//! The keeper: ticks, looks, recovers. The one task of a node that moves a room forward.

use std::panic::AssertUnwindSafe;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::Instant;

use super::reaper::Reaper;
use super::spent::spans;
use super::{Clock, Room};
use crate::admission::{HabitMeter, RateMeter};
use crate::store::{
    BitKind, BitSpan, Detail, Epoch, NodeId, QueueStore, Recovery, RoomPicture, SEQ_MARGIN, Seen, StoreError,
};
use crate::view::RoomView;
use std::sync::Arc;

/// A snapshot this often: positions are exact as of the last one.
const SNAPSHOT_EVERY: Duration = Duration::from_secs(1);

/// Everything that is remembered for the day the store loses it, this often.
const REMEMBER_EVERY: Duration = Duration::from_secs(10);

/// Ticks while nobody waits only sweep what is overdue.
const IDLE_TICK: Duration = Duration::from_secs(1);

/// Pause between attempts while the store does not answer.
const RETRY: Duration = Duration::from_millis(250);

/// However often joins nudge: two ticks are at least this far apart.
const LEAST_TICK: Duration = Duration::from_millis(5);

/// The bitmaps are shortened when this many numbers (64 KiB of each) can go.
const TRIM_AT_LEAST: u64 = 524_288;

/// Redis takes remembered bits in pieces of at most 1 MiB.
const MERGE_PIECE: usize = 1 << 20;

/// What a node that knows nothing believes in.
const UNKNOWN: Epoch = Epoch { generation: 1, life: 0 };

pub(super) struct KeeperWork {
    pub(super) room: Arc<Room>,
    pub(super) store: Arc<dyn QueueStore>,
    pub(super) clock: Clock,
    pub(super) cold_wait: Duration,
}

pub(super) struct Keeper {
    work: KeeperWork,
    meter: RateMeter,
    habits: HabitMeter,
    /// The rate that the habits were seen under.
    rate_per_s: f64,
    reaper: Reaper,
    /// Spent and ended bits as last seen, to be given back after a loss.
    spent: BitSpan,
    ended: BitSpan,
    last_tick: Instant,
    last_snapshot: Option<Instant>,
    last_everything: Option<Instant>,
    /// Since when the store is known to have lost the room, while this node knows nothing either.
    lost_since: Option<Instant>,
    /// What the last failed round said, so that a new reason is logged and the same one not again.
    trouble: Option<String>,
    /// Draws the id of a new life.
    draw: fn() -> u32,
}

impl Keeper {
    pub(super) fn new(work: KeeperWork, draw: fn() -> u32) -> Self {
        let node = NodeId((u64::from(draw()) << 32) | u64::from(draw()));
        Self {
            work,
            meter: RateMeter::default(),
            habits: HabitMeter::default(),
            rate_per_s: 0.0,
            reaper: Reaper::new(node),
            spent: BitSpan::default(),
            ended: BitSpan::default(),
            last_tick: Instant::now(),
            last_snapshot: None,
            last_everything: None,
            lost_since: None,
            trouble: None,
            draw,
        }
    }

    /// Runs for as long as the room exists.
    pub(super) async fn run(mut self) {
        loop {
            // A fault of ours must not end admissions for good: the next round begins anew.
            let round = AssertUnwindSafe(self.round()).catch_unwind().await;
            let round = round.unwrap_or_else(|_| Err(StoreError::Unavailable("a fault in the proxy".to_owned())));
            let pause = match round {
                Ok(()) => {
                    self.answered();
                    self.pause()
                }
                Err(error) => {
                    self.silent(&error);
                    RETRY
                }
            };
            let wake = self.last_tick + pause;
            tokio::select! {
                // In order, so that a simulation repeats itself.
                biased;
                () = tokio::time::sleep_until(wake) => {}
                () = self.room().nudge.notified() => tokio::time::sleep_until(self.last_tick + LEAST_TICK).await,
            }
        }
    }

    fn room(&self) -> &Room {
        &self.work.room
    }

    fn pause(&self) -> Duration {
        let view = self.room().view.load();
        if view.waiting > 0 || view.granted > 0 { self.room().settings.load().tick_period() } else { IDLE_TICK }
    }

    async fn round(&mut self) -> Result<(), StoreError> {
        self.last_tick = Instant::now();
        if !self.room().view.load().known {
            return self.get_to_know().await;
        }
        if let Some((epoch, seq)) = self.take_proof() {
            self.recover(epoch, Seen { seq, ..Seen::default() }).await?;
        }
        match self.tick().await {
            Err(StoreError::Lost) => self.recover_with_memory().await?,
            Err(StoreError::Superseded(theirs)) => self.settle_epochs(theirs).await?,
            done => done?,
        }
        let wanted = self.room().look_wanted.swap(false, Ordering::Acquire);
        if wanted || self.last_snapshot.is_none_or(|at| at.elapsed() >= SNAPSHOT_EVERY) {
            self.look().await?;
        }
        if wanted {
            self.room().looks.send_modify(|looks| *looks += 1);
        }
        match self.reaper.round(&self.work.room, self.work.store.as_ref()).await {
            // The next tick finds out what has happened to the room.
            Err(StoreError::Lost | StoreError::Superseded(_)) => Ok(()),
            done => done,
        }
    }

    async fn tick(&mut self) -> Result<(), StoreError> {
        let (view, settings) = (self.room().view.load_full(), self.room().settings.load_full());
        let name = self.room().name.clone();
        let ticked = self.work.store.tick(&name, view.epoch, view.seen, settings.limits, settings.claim_ttl).await?;
        self.compare_clocks(ticked.now_ms);
        self.meter.note(ticked.admitted, ticked.now_ms, ticked.waiting > 0);
        if settings.limits.rate_per_s != self.rate_per_s {
            self.rate_per_s = settings.limits.rate_per_s;
            self.habits.rate_changed();
        }
        self.habits.note(&ticked);
        if ticked.rolled_back {
            tracing::warn!(room = %name, "the store has gone backwards; giving back what is remembered");
            // Looked at as it was before: the tick's answer is already of what is left.
            self.note_loss(&view, &Seen { seq: ticked.seq, ..view.seen });
            return self.recover_with_memory().await;
        }
        let view = view.after_tick(&ticked, self.meter.per_second()).with_habits(self.habits.habits());
        self.room().set_view(view);
        Ok(())
    }

    /// Takes a snapshot and swaps the view.
    async fn look(&mut self) -> Result<(), StoreError> {
        let everything = self.last_everything.is_none_or(|at| at.elapsed() >= REMEMBER_EVERY);
        let detail = if everything { Detail::Everything } else { Detail::Polls };
        let picture = self.work.store.snapshot(&self.room().name, None, detail).await?;
        self.take_in(&picture);
        if everything {
            self.room().spent_here.settle(picture.epoch, picture.base, &picture.spent_bits);
            self.spent = picture.spent_bits;
            self.last_everything = Some(Instant::now());
            let keep = self.room().settings.load().keep_numbers();
            self.work.store.trim(&self.room().name, picture.epoch, keep, TRIM_AT_LEAST).await?;
        }
        self.ended = picture.ended_bits;
        Ok(())
    }

    fn take_in(&mut self, picture: &RoomPicture) {
        self.last_snapshot = Some(Instant::now());
        self.compare_clocks(picture.now_ms);
        self.meter.note(picture.admitted, picture.now_ms, picture.waiting > 0);
        let view = RoomView::from_picture(picture, self.meter.per_second()).with_habits(self.habits.habits());
        self.room().set_view(view);
    }

    fn compare_clocks(&self, store_ms: u64) {
        if let Some(off_ms) = self.room().compare_clocks(store_ms, (self.work.clock)()) {
            let off_s = off_ms / 1_000;
            tracing::warn!(room = %self.room().name, off_s, "this machine's clock and the store's differ; the store's counts");
        }
    }

    /// The first contact: the room is there, or this node waits for one that remembers it, or starts it.
    async fn get_to_know(&mut self) -> Result<(), StoreError> {
        match self.look().await {
            Err(StoreError::Lost) => {}
            done => return done,
        }
        if let Some((epoch, seq)) = self.take_proof() {
            return self.recover(epoch, Seen { seq, ..Seen::default() }).await;
        }
        let since = *self.lost_since.get_or_insert_with(Instant::now);
        if since.elapsed() < self.work.cold_wait {
            return Ok(());
        }
        self.recover(UNKNOWN, Seen::default()).await
    }

    async fn recover_with_memory(&mut self) -> Result<(), StoreError> {
        let view = self.room().view.load_full();
        self.recover(view.epoch, view.seen).await
    }

    async fn recover(&mut self, epoch: Epoch, seen: Seen) -> Result<(), StoreError> {
        let settings = self.room().settings.load_full();
        let name = self.room().name.clone();
        let (hold, burst) = (settings.recovery_hold(), settings.limits.burst);
        let before = self.room().view.load_full();
        let recovered = match self.work.store.recover(&name, epoch, seen, hold, burst, (self.draw)()).await {
            Err(StoreError::Superseded(theirs)) => return self.adopt(theirs).await,
            done => done?,
        };
        // Numbers jump when, and only when, something may have been lost.
        if before.epoch == recovered.epoch && recovered.seen.seq > before.seen.seq + SEQ_MARGIN / 2 {
            self.note_loss(&before, &recovered.seen);
        }
        // Told of when it is done, and also when it could not be finished: the next round goes on with it.
        let settled = self.settle(recovered.how, recovered.epoch).await;
        match recovered.how {
            Recovery::Fresh => tracing::info!(room = %name, "the room starts"),
            Recovery::Restored => {
                tracing::warn!(room = %name, hold_s = recovered.hold.as_secs(), "the store had lost the room; it is restored, and nobody is let in until everybody had time to come back");
            }
            Recovery::Merged => tracing::info!(room = %name, "joined the room"),
        }
        settled
    }

    /// What follows a recovery: what is remembered goes back, and a look at what is there now.
    async fn settle(&mut self, how: Recovery, epoch: Epoch) -> Result<(), StoreError> {
        if how != Recovery::Fresh {
            self.reaper.disturb();
            self.give_all_back(epoch).await?;
        }
        self.lost_since = None;
        self.last_everything = None;
        self.look().await
    }

    /// From now on places are told by the line as it was, too, while people come back to it.
    fn note_loss(&self, before: &RoomView, now: &Seen) {
        let lasting = self.room().settings.load().recovery_hold();
        self.room().set_view(before.after_loss(now, lasting));
    }

    /// Gives back what is remembered as over: from the last look at everything, and what only this node knows since.
    async fn give_all_back(&self, epoch: Epoch) -> Result<(), StoreError> {
        self.give_back(epoch, BitKind::Ended, &self.ended).await?;
        for span in spans(self.room().ended_here_of(epoch)) {
            self.give_back(epoch, BitKind::Ended, &span).await?;
        }
        self.give_back(epoch, BitKind::Spent, &self.spent).await?;
        for span in spans(self.room().spent_here.of(epoch)) {
            self.give_back(epoch, BitKind::Spent, &span).await?;
        }
        Ok(())
    }

    /// Gives bits back, in pieces.
    async fn give_back(&self, epoch: Epoch, kind: BitKind, bits: &BitSpan) -> Result<(), StoreError> {
        let mut first = bits.first;
        for piece in bits.bytes.chunks(MERGE_PIECE) {
            let span = BitSpan { first, bytes: piece.to_vec() };
            self.work.store.merge_bits(&self.room().name, epoch, kind, &span).await?;
            first += 8 * piece.len() as u64;
        }
        Ok(())
    }

    /// The store is of another epoch. A higher generation wins; within one, whoever knows more.
    async fn settle_epochs(&mut self, theirs: Epoch) -> Result<(), StoreError> {
        let ours = self.room().view.load().epoch;
        if theirs.generation > ours.generation {
            return self.adopt(theirs).await;
        }
        self.recover_with_memory().await
    }

    /// Forgets what was known and takes the store's word.
    async fn adopt(&mut self, theirs: Epoch) -> Result<(), StoreError> {
        tracing::info!(room = %self.room().name, generation = theirs.generation, "the room is of another epoch now");
        self.meter = RateMeter::default();
        self.habits = HabitMeter::default();
        self.spent = BitSpan::default();
        self.ended = BitSpan::default();
        self.last_everything = None;
        self.look().await
    }

    fn take_proof(&self) -> Option<(Epoch, u64)> {
        self.room().proof.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn answered(&mut self) {
        self.trouble = None;
        if self.room().silent_since_ms.swap(0, Ordering::Relaxed) != 0 {
            tracing::warn!(room = %self.room().name, "the store answers again");
        }
    }

    fn silent(&mut self, error: &StoreError) {
        self.reaper.disturb();
        // After every silence something may have been lost: look again, remember again.
        self.last_snapshot = None;
        let why = error.to_string();
        if self.trouble.as_ref() != Some(&why) {
            tracing::error!(room = %self.room().name, why, "the store does not answer; nobody new is let in, sessions go on");
            self.trouble = Some(why);
        }
        let room = self.room();
        let now = room.by_the_store((self.work.clock)()).max(1);
        // The first moment of silence counts, so a later one changes nothing.
        let _since = room.silent_since_ms.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        room.set_view(room.view.load().gone_stale());
    }
}
