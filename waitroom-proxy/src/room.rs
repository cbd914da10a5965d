//! One room at run time: its view, and the batched operations that requests may ask for.
//!
//! Requests read the view and wait for batches; only the keeper and the batch servers, on the
//! background runtime, talk to the store.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use crate::session::Session;
use crate::store::{Begun, ClaimItem, Epoch, QueueStore, RoomName, Standing, TouchItem, Verdict, Vid};
use crate::ticket::Ticket;
use crate::view::RoomView;

pub mod batcher;
mod beats;
mod endings;
mod horizon;
mod keeper;
mod left;
mod patience;
mod reaper;
mod servers;
pub mod settings;
mod spent;
mod vouch;

pub use batcher::Unanswered;
use batcher::{BatchQueue, Batcher, batcher};
use beats::Beats;
use left::Left;
pub use patience::Patience;
use settings::{LONGEST_POLL, RoomSettings};
use spent::Spent;
use vouch::{Vouched, Vouches};

/// Sessions that ended here and may not have reached every proxy's snapshot; more than this at
/// once would mean that the store has been away for very long, and the oldest tokens have expired.
const MAX_ENDED_HERE: usize = 1_000_000;

/// Sessions that may wait to be told of: a few seconds of a very busy room.
const MAX_NEWS: usize = 8_192;

/// Clocks that differ by less than this are left alone: a reply takes time, and nothing here is shorter than 15 s.
const CLOCKS_AGREE_MS: u64 = 5_000;

/// A question about something of an epoch; by the time its batch is sent, the room may have moved on.
#[derive(Clone, Copy, Debug)]
struct Of<T> {
    epoch: Epoch,
    item: T,
}

/// A visitor to put in line.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    /// Of no meaning without a number.
    epoch: Epoch,
    vid: Vid,
    seq: u64,
    /// Batches are sorted by this: first come, first served, also within a few milliseconds.
    arrived_ms: u64,
    /// Until when the answer is waited for.
    patience: Patience,
}

/// A session that is over for good.
#[derive(Clone, Copy, Debug)]
struct Ending {
    epoch: Epoch,
    vid: Vid,
    seq: u64,
}

/// A room at run time.
pub struct Room {
    name: RoomName,
    /// No other node shares the store, so nobody remembers what this process forgets when it ends.
    alone: bool,
    settings: ArcSwap<RoomSettings>,
    /// Swapped whole by the keeper; every request reads one.
    view: ArcSwap<RoomView>,
    joins: Batcher<Arrival, Standing>,
    enters: Batcher<Vid, Verdict>,
    claims: Batcher<Of<ClaimItem>, Verdict>,
    touches: Batcher<Of<TouchItem>, Verdict>,
    ends: tokio::sync::mpsc::Sender<Ending>,
    /// Sessions that began, to be told of; what finds no place is counted in `missed` and forgotten.
    news: tokio::sync::mpsc::Sender<Of<Begun>>,
    missed: AtomicU64,
    /// Ended by this node and not yet in what the keeper remembers: refused here at once.
    ended_here: RwLock<HashSet<(Epoch, u64)>>,
    /// Visitors without a number who have left and of whom the store is still to be told.
    leaving: std::sync::Mutex<HashSet<Vid>>,
    /// Sessions that the store is told of again after a loss.
    vouched: Vouched,
    /// Who gave up at this node before joining.
    left: Left,
    /// Turns taken up at this node and not yet remembered with a snapshot.
    spent_here: Spent,
    /// Wakes the keeper: somebody joined, or an operator wants something now.
    nudge: Notify,
    /// Somebody waits for a look that begins after now.
    look_wanted: AtomicBool,
    /// Counts the looks that were wanted.
    looks: tokio::sync::watch::Sender<u64>,
    /// A verified ticket of another life, for the keeper to recover with.
    proof: std::sync::Mutex<Option<(Epoch, u64)>>,
    /// When the store stopped answering, milliseconds since the Unix epoch; 0: it answers.
    silent_since_ms: AtomicU64,
    /// How far the store's clock is ahead of ours, ms; 0 when the two agree.
    clock_off_ms: AtomicI64,
    /// Fast-lane entries of this node: the second in the upper half, the count in the lower.
    entered: AtomicU64,
    /// Who waits and was heard here.
    beats: Beats,
    /// Event streams open here.
    streams: AtomicUsize,
}

/// One open event stream.
pub struct StreamPlace(Arc<Room>);

impl Drop for StreamPlace {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the background runtime runs for a room.
pub struct RoomWork {
    room: Arc<Room>,
    store: Arc<dyn QueueStore>,
    clock: Clock,
    cold_wait: Duration,
    joins: BatchQueue<Arrival, Standing>,
    enters: BatchQueue<Vid, Verdict>,
    claims: BatchQueue<Of<ClaimItem>, Verdict>,
    touches: BatchQueue<Of<TouchItem>, Verdict>,
    ends: tokio::sync::mpsc::Receiver<Ending>,
    vouches: Vouches,
    news: tokio::sync::mpsc::Receiver<Of<Begun>>,
}

/// Milliseconds since the Unix epoch; read at the edges only.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

impl Room {
    /// A room and the work to be spawned for it. `cold_wait`: how long a node that remembers nothing
    /// waits for one that does, when the store has lost the room.
    #[must_use]
    pub fn new(
        name: RoomName,
        settings: RoomSettings,
        store: Arc<dyn QueueStore>,
        clock: Clock,
        cold_wait: Duration,
    ) -> (Arc<Self>, RoomWork) {
        let (joins, join_queue) = batcher();
        let (enters, enter_queue) = batcher();
        let (claims, claim_queue) = batcher();
        let (touches, touch_queue) = batcher();
        let (ends, end_queue) = tokio::sync::mpsc::channel(MAX_ENDED_HERE);
        let (news, news_queue) = tokio::sync::mpsc::channel(MAX_NEWS);
        let (vouched, vouches) = Vouched::new();
        let room = Arc::new(Self {
            name,
            alone: cold_wait.is_zero(),
            settings: ArcSwap::from_pointee(settings),
            view: ArcSwap::from_pointee(RoomView::default()),
            joins,
            enters,
            claims,
            touches,
            ends,
            news,
            missed: AtomicU64::new(0),
            ended_here: RwLock::new(HashSet::new()),
            leaving: std::sync::Mutex::default(),
            vouched,
            left: Left::default(),
            spent_here: Spent::default(),
            nudge: Notify::new(),
            look_wanted: AtomicBool::new(false),
            looks: tokio::sync::watch::Sender::new(0),
            proof: std::sync::Mutex::new(None),
            silent_since_ms: AtomicU64::new(0),
            clock_off_ms: AtomicI64::new(0),
            entered: AtomicU64::new(0),
            beats: Beats::default(),
            streams: AtomicUsize::new(0),
        });
        let work = RoomWork {
            room: room.clone(),
            store,
            clock,
            cold_wait,
            joins: join_queue,
            enters: enter_queue,
            claims: claim_queue,
            touches: touch_queue,
            ends: end_queue,
            vouches,
            news: news_queue,
        };
        (room, work)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &RoomName {
        &self.name
    }

    /// Whether no other node shares the store.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.alone
    }

    /// What this node knows of it now.
    #[must_use]
    pub fn view(&self) -> arc_swap::Guard<Arc<RoomView>> {
        self.view.load()
    }

    /// The settings in force.
    #[must_use]
    pub fn settings(&self) -> arc_swap::Guard<Arc<RoomSettings>> {
        self.settings.load()
    }

    /// Changes the settings; they hold from the next tick on.
    pub fn set_settings(&self, settings: RoomSettings) {
        self.settings.store(Arc::new(settings));
        self.nudge.notify_one();
    }

    /// Asks the keeper to look at the store now.
    pub fn nudge(&self) {
        self.nudge.notify_one();
    }

    /// Has the keeper look at the store now, and waits until it has; `false`: not within `most`.
    pub async fn look_now(&self, most: Duration) -> bool {
        let mut looks = self.looks.subscribe();
        self.look_wanted.store(true, Ordering::Release);
        self.nudge();
        tokio::time::timeout(most, looks.changed()).await.is_ok_and(|changed| changed.is_ok())
    }

    /// Puts a ticket in line, or back.
    ///
    /// # Errors
    /// When the store does not answer while the patience lasts, or nobody can tell yet which numbers are free.
    pub async fn join(&self, ticket: &Ticket, patience: Patience) -> Result<Standing, Unanswered> {
        if ticket.is_pre() && self.numbers_unsure() {
            return Err(Unanswered::Unavailable);
        }
        let Ticket { epoch, vid, seq, arrived_ms, .. } = *ticket;
        self.joins.ask(Arrival { epoch, vid, seq, arrived_ms, patience }, patience).await
    }

    /// Whether the room was restored from a single ticket, and not everybody who polls has shown theirs since: a new
    /// number might be somebody's (I4). Nobody is given a turn meanwhile, so newcomers miss nothing.
    fn numbers_unsure(&self) -> bool {
        let view = self.view.load();
        // What a ticket proves is a number; whoever remembers a room knows that somebody was admitted to it.
        let nothing_remembered = view.seen.admitted == 0 && view.seen.watermark == 0;
        nothing_remembered && view.hold > self.settings.load().recovery_hold().saturating_sub(2 * LONGEST_POLL)
    }

    /// Tries the fast lane. Per node at most `rate + burst` of these a second reach the store.
    ///
    /// # Errors
    /// When the store does not answer while the patience lasts.
    pub async fn enter(&self, vid: Vid, now_ms: u64, patience: Patience) -> Result<Verdict, Unanswered> {
        let limits = self.settings.load().limits;
        let most = (limits.rate_per_s + limits.burst).ceil().max(0.0) as u64;
        if !self.may_enter(now_ms / 1_000, most) {
            return Ok(Verdict::No);
        }
        self.enters.ask(vid, patience).await
    }

    /// Claims a turn, or proves a session.
    ///
    /// # Errors
    /// When the store does not answer while the patience lasts.
    pub async fn claim(&self, epoch: Epoch, item: ClaimItem, patience: Patience) -> Result<Verdict, Unanswered> {
        self.claims.ask(Of { epoch, item }, patience).await
    }

    /// Keeps a session alive.
    ///
    /// # Errors
    /// When the store does not answer while the patience lasts.
    pub async fn touch(&self, epoch: Epoch, item: TouchItem, patience: Patience) -> Result<Verdict, Unanswered> {
        self.touches.ask(Of { epoch, item }, patience).await
    }

    /// Tells the keeper of a verified ticket that proves more than the store knows.
    pub fn prove(&self, epoch: Epoch, seq: u64) {
        let mut proof = self.proof.lock().unwrap_or_else(PoisonError::into_inner);
        if proof.is_none_or(|(_, known)| known < seq) {
            *proof = Some((epoch, seq));
        }
        self.nudge.notify_one();
    }

    /// Notes that whoever waits at this number was heard. No lock, and no call of the store.
    pub fn beat(&self, seq: u64) {
        self.beats.beat(seq);
    }

    /// A place for one more event stream, unless there are as many as may be; given back when dropped.
    #[must_use]
    pub fn stream(self: &Arc<Self>) -> Option<StreamPlace> {
        let most = self.settings.load().max_streams;
        let more = |open: usize| (open < most).then_some(open + 1);
        self.streams.try_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(StreamPlace(self.clone()))
    }

    /// A moment of our clock by the one that all nodes share, the store's: what sessions and tickets of this room are
    /// written and read by, so that those of one proxy are good at another whose clock is wrong (F7).
    #[must_use]
    pub fn by_the_store(&self, now_ms: u64) -> u64 {
        now_ms.saturating_add_signed(self.clock_off_ms.load(Ordering::Relaxed))
    }

    /// Compares the clocks; answers with the difference when it is another than before.
    fn compare_clocks(&self, store_ms: u64, our_ms: u64) -> Option<i64> {
        let off_ms = store_ms.cast_signed().saturating_sub(our_ms.cast_signed());
        let off_ms = if off_ms.unsigned_abs() < CLOCKS_AGREE_MS { 0 } else { off_ms };
        let before = self.clock_off_ms.swap(off_ms, Ordering::Relaxed);
        (off_ms.abs_diff(before) >= CLOCKS_AGREE_MS).then_some(off_ms)
    }

    /// How long the store has been silent, `None` while it answers; `now_ms` by the store.
    #[must_use]
    pub fn silent_for(&self, now_ms: u64) -> Option<Duration> {
        match self.silent_since_ms.load(Ordering::Relaxed) {
            0 => None,
            since => Some(Duration::from_millis(now_ms.saturating_sub(since))),
        }
    }

    /// Has a session that began here told to whoever listens. Waits for nothing.
    pub fn tell(&self, epoch: Epoch, begun: Begun) {
        if self.news.try_send(Of { epoch, item: begun }).is_err() {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Remembers that a ticket is spent here, until a snapshot shows it.
    pub fn note_spent(&self, epoch: Epoch, seq: u64) {
        self.spent_here.note(epoch, seq);
    }

    fn may_enter(&self, second: u64, most: u64) -> bool {
        let second = second & 0xffff_ffff;
        self.entered
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |packed| {
                let (then, count) = (packed >> 32, packed & 0xffff_ffff);
                let count = if then == second { count } else { 0 };
                (count < most).then_some((second << 32) | (count + 1))
            })
            .is_ok()
    }

    /// Keeps the view.
    fn set_view(&self, view: RoomView) {
        self.view.store(Arc::new(view.following(&self.view.load())));
    }

    /// The store has lost something before this moment (by its clock): sessions that are older may not be counted there
    /// any more.
    fn note_restored(&self, now_ms: u64) {
        self.vouched.begin(now_ms.saturating_add(CLOCKS_AGREE_MS));
    }

    /// Tells the store of a session that it may have lost, once after each loss; waits for nothing. Without this the
    /// places of those who are inside would be given to others (I2).
    pub fn vouch_for(&self, session: &Session) {
        if session.epoch == self.view.load().epoch {
            self.vouched.vouch_for(session);
        }
    }
}
