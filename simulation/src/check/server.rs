//! The store that all nodes share, and what an accident does to it. Each change of it is looked at at once.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use waitroom_proxy::store::memory::{MemoryStore, RoomImage};
use waitroom_proxy::store::{Detail, QueueStore as _, RoomName, RoomPicture};

use super::history::History;
use super::ledger::{Act, Contents};
use super::world::{WallClock, lock};

/// The shared store.
pub(super) struct Server {
    pub(super) store: MemoryStore,
    pub(super) clock: WallClock,
    room: RoomName,
    history: Arc<History>,
    /// Rises with every accident: connections of a former one are broken.
    run: AtomicU64,
    /// An earlier moment, which a failover goes back to.
    saved: Mutex<Option<RoomImage>>,
}

impl Server {
    pub(super) fn new(room: RoomName, clock: WallClock, history: Arc<History>) -> Self {
        let shown = clock.clone();
        let store = MemoryStore::with_clock(move || shown.now_us());
        Self { store, clock, room, history, run: AtomicU64::new(1), saved: Mutex::default() }
    }

    pub(super) fn run(&self) -> u64 {
        self.run.load(Ordering::Relaxed)
    }

    /// Remembers this moment as the last that a replica has.
    pub(super) fn save(&self) {
        *lock(&self.saved) = self.store.image(&self.room);
    }

    /// A failover to a replica that lacks the last writes, and notices by its replication id that it is another.
    pub(super) fn roll_back(&self) {
        let saved = lock(&self.saved).take().map(RoomImage::fenced);
        if saved.is_some() {
            self.store.set_image(&self.room, saved);
            self.run.fetch_add(1, Ordering::Relaxed);
            self.look(Act::Loss);
        }
    }

    /// Comes back empty.
    pub(super) fn wipe(&self) {
        *lock(&self.saved) = None;
        self.store.set_image(&self.room, None);
        self.run.fetch_add(1, Ordering::Relaxed);
        self.look(Act::Loss);
    }

    /// Forgets everything, as by `FLUSHALL`: no connection breaks, so only the first node to ask finds nothing there.
    pub(super) fn forget(&self) {
        *lock(&self.saved) = None;
        self.store.set_image(&self.room, None);
        self.look(Act::Loss);
    }

    /// Restarts with everything it had: connections break.
    pub(super) fn restart(&self) {
        self.run.fetch_add(1, Ordering::Relaxed);
    }

    /// Counters of the room now; `None` when it has no state.
    pub(super) fn picture(&self) -> Option<RoomPicture> {
        at_once(self.store.snapshot(&self.room, None, Detail::Counters))?.ok()
    }

    /// Looks at what an operation has made of the room.
    pub(super) fn look(&self, act: Act) {
        let contents = match (self.store.image(&self.room), self.picture()) {
            (Some(image), Some(picture)) => Some(Contents::of(&image, picture)),
            _ => None,
        };
        self.history.looked(act, contents);
    }
}

/// The embedded store never waits.
fn at_once<T>(answer: impl Future<Output = T>) -> Option<T> {
    answer.now_or_never()
}
