//! The keeper: ticks, looks, recovers. The one task of a node that moves a room forward.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::Instant;

use self::lookout::Lookout;
use super::horizon::Horizon;
use super::reaper::Reaper;
use super::{Clock, Room};
use crate::admission::{HabitMeter, RateMeter};
use crate::store::{BitSpan, Detail, Epoch, NodeId, QueueStore, RoomPicture, Seen, StoreError};
use crate::view::RoomView;

mod chores;
mod lookout;
mod recovery;
#[cfg(test)]
mod tests;

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

pub(super) struct KeeperWork {
    pub(super) room: Arc<Room>,
    pub(super) store: Arc<dyn QueueStore>,
    pub(super) clock: Clock,
    pub(super) cold_wait: Duration,
}

/// What is over, as last seen, to be given back after a loss. Of one epoch: in another the numbers are other people's.
#[derive(Debug, Default)]
struct Remembered {
    epoch: Option<Epoch>,
    spent: BitSpan,
    ended: BitSpan,
}

pub(super) struct Keeper {
    work: KeeperWork,
    meter: RateMeter,
    habits: HabitMeter,
    /// The rate that the habits were seen under.
    rate_per_s: f64,
    reaper: Reaper,
    /// A chore failed: the reaper does nothing before this.
    chores_rest_until: Instant,
    /// What a chore that failed said last.
    chore_trouble: Option<String>,
    remembered: Remembered,
    lookout: Lookout,
    horizon: Horizon,
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
            chores_rest_until: Instant::now(),
            chore_trouble: None,
            remembered: Remembered::default(),
            lookout: Lookout::default(),
            horizon: Horizon::default(),
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
            self.recover(epoch, recovery::proved(seq)).await?;
        }
        match self.tick().await {
            Err(StoreError::Lost) => self.recover_with_memory().await?,
            Err(StoreError::Superseded(theirs)) => self.settle_epochs(theirs).await?,
            done => done?,
        }
        let wanted = self.room().look_wanted.swap(false, Ordering::Acquire);
        if (wanted || self.last_snapshot.is_none_or(|at| at.elapsed() >= SNAPSHOT_EVERY)) && !self.look().await? {
            self.recover_with_memory().await?;
        }
        if wanted {
            self.room().looks.send_modify(|looks| *looks += 1);
        }
        self.reap().await;
        Ok(())
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
        if ticked.rolled_back || self.lookout.sees_a_loss(view.epoch, ticked.seq, ticked.hold) {
            tracing::warn!(room = %name, "the store has lost something; giving back what is remembered");
            // Looked at as it was before: the tick's answer is already of what is left.
            self.note_loss(&view, &Seen { seq: ticked.seq, ..view.seen });
            return self.recover_with_memory().await;
        }
        self.keep_in_mind(view.epoch, ticked.seq, ticked.hold);
        let view = view.after_tick(&ticked, self.meter.per_second()).with_habits(self.habits.habits());
        self.room().set_view(view);
        Ok(())
    }

    /// Takes a snapshot and swaps the view; `false`: the store has lost something since, and what this node remembers
    /// has to be given back before it forgets it.
    async fn look(&mut self) -> Result<bool, StoreError> {
        let everything = self.last_everything.is_none_or(|at| at.elapsed() >= REMEMBER_EVERY);
        let detail = if everything { Detail::Everything } else { Detail::Polls };
        let picture = self.work.store.snapshot(&self.room().name, None, detail).await?;
        if self.lookout.sees_a_loss(picture.epoch, picture.seq, picture.hold) {
            tracing::warn!(room = %self.room().name, "the store has lost something; giving back what is remembered");
            let before = self.room().view.load_full();
            self.note_loss(&before, &picture.seen());
            return Ok(false);
        }
        self.take_in(&picture);
        if everything {
            self.room().spent_here.settle(picture.epoch, picture.base, &picture.spent_bits);
            self.last_everything = Some(Instant::now());
            self.trim(&picture).await;
            self.remembered.spent = picture.spent_bits;
        }
        self.remembered.ended = picture.ended_bits;
        self.room().forget_endings_shown();
        Ok(true)
    }

    fn take_in(&mut self, picture: &RoomPicture) {
        self.last_snapshot = Some(Instant::now());
        self.compare_clocks(picture.now_ms);
        if self.remembered.epoch != Some(picture.epoch) {
            self.begin_anew(picture.epoch);
        }
        self.keep_in_mind(picture.epoch, picture.seq, picture.hold);
        self.meter.note(picture.admitted, picture.now_ms, picture.waiting > 0);
        let view = RoomView::from_picture(picture, self.meter.per_second()).with_habits(self.habits.habits());
        self.room().set_view(view);
    }

    /// By this the next loss is noticed.
    fn keep_in_mind(&mut self, epoch: Epoch, seq: u64, hold: Duration) {
        if self.lookout.is_new(epoch) && !hold.is_zero() {
            // Restored a short while ago: who is inside may not be counted yet.
            self.note_restored();
        }
        self.lookout.note(epoch, seq, hold);
    }

    /// The room is of another epoch than what was known of it so far.
    fn begin_anew(&mut self, epoch: Epoch) {
        self.meter = RateMeter::default();
        self.habits = HabitMeter::default();
        self.remembered = Remembered { epoch: Some(epoch), ..Remembered::default() };
        // The spent bits are asked for with the next look.
        self.last_everything = None;
    }

    fn compare_clocks(&self, store_ms: u64) {
        if let Some(off_ms) = self.room().compare_clocks(store_ms, (self.work.clock)()) {
            let off_s = off_ms / 1_000;
            tracing::warn!(room = %self.room().name, off_s, "this machine's clock and the store's differ; the store's counts");
        }
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
