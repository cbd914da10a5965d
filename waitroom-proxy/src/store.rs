//! The queue store: what the proxy asks of the place that keeps the line.
//!
//! One trait, two implementations: [`memory`] (the embedded default, and the
//! executable specification) and [`redis`] (shared by any number of proxies).
//! Every operation is one atomic step and safe to repeat after a lost reply.
//! Nothing here names a socket, and no caller passes a clock: the store's own
//! clock is the only one the rate is measured by.

use std::time::Duration;

use async_trait::async_trait;

mod failure;
mod heartbeat;
pub mod memory;
mod names;
#[cfg(feature = "server")]
mod open;
mod picture;
#[cfg(feature = "server")]
pub mod redis;

pub use self::failure::{CheckError, StoreError};
pub use self::heartbeat::{Lane, NodeId, Report, Upload};
pub use self::names::{Epoch, RoomName, Vid};
#[cfg(feature = "server")]
pub use self::open::{OpenError, open, open_with};
pub use self::picture::{BitSpan, Detail, RoomPicture};

/// Most visitors one batch operation takes; more is refused before any write.
pub const MAX_BATCH: usize = 1_000;

/// Most grants one tick gives out. A tick of 5,000 blocks Redis for 19 ms.
pub const MAX_TICK: u32 = 5_000;

/// A jump of the number sequence after a loss: more than can have been given out unseen.
pub const SEQ_MARGIN: u64 = 100_000;

/// What this node remembers of a room, passed along so that a store that lost its
/// last writes is noticed and never hands out the same number or turn twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Highest seq this node ever saw; 0: nothing.
    pub seq: u64,
    /// Highest count of admissions this node ever saw.
    pub admitted: u64,
    /// Highest seq that was ever granted a turn.
    pub watermark: u64,
    /// Bit 0 of the bitmaps; a multiple of 8.
    pub base: u64,
    /// Tickets up to here were flushed.
    pub floor: u64,
    /// The pause counter: odd is paused.
    pub pause: u64,
}

/// The limits of a room that a grant must respect.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Admissions per second; 0 lets nobody in.
    pub rate_per_s: f64,
    /// Most tokens the bucket holds.
    pub burst: f64,
    /// Cap on granted + active; 0: none.
    pub max_active: u64,
}

/// One visitor to put in line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoinItem {
    /// Who.
    pub vid: Vid,
    /// 0: new; otherwise the number of a verified ticket of this epoch.
    pub seq: u64,
}

/// Where a joining visitor stands now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// In line at this number.
    Waiting(u64),
    /// Has a turn: claim it.
    Granted(u64),
    /// Has a session.
    Active(u64),
    /// The ticket is void (spent, ended, flushed, older than `base`, or its number is in
    /// use by somebody else): drop it and join as new.
    Void(u64),
}

/// One turn to claim, or one session to prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimItem {
    /// Who.
    pub vid: Vid,
    /// The ticket's number; 0: not known (only without `proof`).
    pub seq: u64,
    /// The caller verified an unexpired queue token for exactly this vid, seq and epoch.
    pub proof: bool,
}

/// One session to keep alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TouchItem {
    /// Who.
    pub vid: Vid,
    /// The session's number.
    pub seq: u64,
    /// The session then ends this long from now, never earlier than before.
    pub ttl: Duration,
    /// As in [`ClaimItem::proof`].
    pub proof: bool,
    /// When the session began by the proof, milliseconds since the Unix epoch; 0: it does not say. Kept by a store that
    /// knows the session not at all, or since later.
    pub began_ms: u64,
}

/// A session that began, for whoever wants to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    /// Whose.
    pub vid: Vid,
    /// Its number.
    pub seq: u64,
    /// When, milliseconds since the Unix epoch by the store's clock.
    pub began_ms: u64,
    /// When it ends unless it is renewed, by the store's clock.
    pub expires_ms: u64,
}

/// What became of a claim, a touch or a fast-lane entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Has a session.
    Session {
        /// The ticket's number.
        seq: u64,
        /// When the session ends, milliseconds since the Unix epoch by the store's clock.
        expires_at_ms: u64,
        /// When it began, by the same clock. A repeated claim does not begin it again, whichever node asks.
        began_ms: u64,
    },
    /// Still in line at this number (claims only).
    Waiting(u64),
    /// No: turn missed, session over or ended, or (fast lane) people are waiting.
    No,
}

/// Counters after a tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ticked {
    /// Turns given by this tick.
    pub granted_now: u64,
    /// Highest seq ever granted.
    pub watermark: u64,
    /// Admissions since the generation began: turns and fast-lane entries.
    pub admitted: u64,
    /// Granted + active, without the overdue.
    pub occupied: u64,
    /// In line.
    pub waiting: u64,
    /// Number of the first in line; `None` when nobody waits. Everybody below has left the line.
    pub head: Option<u64>,
    /// The store had gone backwards: call [`QueueStore::recover`] and merge what is remembered.
    pub rolled_back: bool,
    /// No grants for this long (after a loss, while people re-insert themselves).
    pub hold: Duration,
    /// Highest number given out.
    pub seq: u64,
    /// Bit 0 of the bitmaps.
    pub base: u64,
    /// Tickets up to here were flushed.
    pub floor: u64,
    /// The pause counter: odd is paused.
    pub pause: u64,
    /// The store's clock, milliseconds since the Unix epoch.
    pub now_ms: u64,
}

/// How a room came (back) to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// The store was empty and this node knew nothing: a new life.
    Fresh,
    /// The store was empty, older, or newly begun, and this node knew more.
    Restored,
    /// The store was there; what this node remembered was merged in.
    Merged,
}

/// The answer to [`QueueStore::recover`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// What happened.
    pub how: Recovery,
    /// The epoch that holds now.
    pub epoch: Epoch,
    /// The store's values after the merge.
    pub seen: Seen,
    /// No grants for this long.
    pub hold: Duration,
    /// See [`RoomPicture::cold`].
    pub cold: bool,
}

/// Which remembered bits are given back by [`QueueStore::merge_bits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BitKind {
    /// Tickets whose turn was claimed.
    Spent,
    /// Sessions that ended for good.
    Ended,
}

/// The operations of `queue.md`. All of them name the room and the epoch the caller believes in.
///
/// # Errors
/// Every operation can fail with any [`StoreError`]; after one, nothing was written, or
/// (for `Unavailable`) possibly everything: repeat it, the answer is the same.
#[async_trait]
pub trait QueueStore: Send + Sync + 'static {
    /// Puts visitors in line: the new at the tail, in the order given; verified tickets at their old number.
    async fn join(
        &self,
        room: &RoomName,
        epoch: Epoch,
        seen: Seen,
        batch: &[JoinItem],
    ) -> Result<Vec<Standing>, StoreError>;

    /// The fast lane: only while nobody waits, a token is there and the cap has room, straight to a
    /// provisional session of `ttl`.
    async fn enter(
        &self,
        room: &RoomName,
        epoch: Epoch,
        seen: Seen,
        limits: Limits,
        ttl: Duration,
        batch: &[Vid],
    ) -> Result<Vec<Verdict>, StoreError>;

    /// Refills the bucket, drops what is overdue, gives turns to the head of the line.
    async fn tick(
        &self,
        room: &RoomName,
        epoch: Epoch,
        seen: Seen,
        limits: Limits,
        claim_ttl: Duration,
    ) -> Result<Ticked, StoreError>;

    /// Turns into sessions. `renew`: a repeated claim extends the session.
    async fn claim(
        &self,
        room: &RoomName,
        epoch: Epoch,
        ttl: Duration,
        renew: bool,
        batch: &[ClaimItem],
    ) -> Result<Vec<Verdict>, StoreError>;

    /// Keeps sessions alive.
    async fn touch(&self, room: &RoomName, epoch: Epoch, batch: &[TouchItem]) -> Result<Vec<Verdict>, StoreError>;

    /// Out of everything, for good. `seq` 0: whatever this visitor has now. Returns how many were taken out.
    async fn end(&self, room: &RoomName, epoch: Epoch, batch: &[JoinItem]) -> Result<u64, StoreError>;

    /// Out of the line, tickets still good. Returns how many were taken out.
    async fn reap(&self, room: &RoomName, epoch: Epoch, seqs: &[u64]) -> Result<u64, StoreError>;

    /// Keeps a node's report of whom it heard, and notes that the node lives.
    async fn heartbeats(&self, room: &RoomName, epoch: Epoch, upload: &Upload) -> Result<(), StoreError>;

    /// The nodes that count as live, for the one that has the lease of counting silence; `None`: another has it.
    async fn live_nodes(
        &self,
        room: &RoomName,
        epoch: Epoch,
        node: NodeId,
        lease: Duration,
    ) -> Result<Option<Vec<NodeId>>, StoreError>;

    /// What these nodes reported of a stretch of time, each in its place; `None`: nothing (yet, or any more).
    async fn heard(
        &self,
        room: &RoomName,
        lane: Lane,
        bucket: u64,
        nodes: &[NodeId],
    ) -> Result<Vec<Option<Report>>, StoreError>;

    /// What a node needs to answer polls. Writes nothing. `epoch` `None`: any.
    async fn snapshot(&self, room: &RoomName, epoch: Option<Epoch>, detail: Detail) -> Result<RoomPicture, StoreError>;

    /// At start, after every reconnect and after [`StoreError::Lost`]. `fresh_life` becomes the room's
    /// life if it has to start from nothing; `hold` is how long nobody is granted a turn after a loss.
    async fn recover(
        &self,
        room: &RoomName,
        epoch: Epoch,
        seen: Seen,
        hold: Duration,
        burst: f64,
        fresh_life: u32,
    ) -> Result<Recovered, StoreError>;

    /// Gives back remembered bits after [`QueueStore::recover`]. Returns how many were new.
    async fn merge_bits(&self, room: &RoomName, epoch: Epoch, kind: BitKind, bits: &BitSpan)
    -> Result<u64, StoreError>;

    /// Empties the line; tickets void, sessions stay. `nonce` is one per order, so that a repeat does
    /// not flush those who came since. Returns (new floor, how many were dropped).
    async fn flush(&self, room: &RoomName, epoch: Epoch, seen: Seen, nonce: &str) -> Result<(u64, u64), StoreError>;

    /// Begins a new generation; everything is void. Returns the new epoch; a repeat answers `Superseded`.
    async fn reset(&self, room: &RoomName, epoch: Epoch) -> Result<Epoch, StoreError>;

    /// Stops or allows grants and the fast lane. Returns the pause counter.
    async fn set_paused(&self, room: &RoomName, epoch: Epoch, seen: Seen, paused: bool) -> Result<u64, StoreError>;

    /// Moves `base` up so that the bitmaps stay as small as the line. Keeps `keep` numbers below the
    /// head; does nothing unless at least `at_least` could go. Returns the base.
    async fn trim(&self, room: &RoomName, epoch: Epoch, keep: u64, at_least: u64) -> Result<u64, StoreError>;

    /// Tells of sessions that began, to whoever listens. Nothing depends on it: it is tried once. `missed`: how many
    /// more there were since the last call that could not be kept until this one. Where nobody can listen, nothing.
    async fn announce(&self, room: &RoomName, epoch: Epoch, begun: &[Begun], missed: u64) -> Result<(), StoreError> {
        let _ = (room, epoch, begun, missed);
        Ok(())
    }

    /// One round trip, for readiness.
    async fn ping(&self) -> Result<(), StoreError>;

    /// At start: whether this store can keep a queue, in one sentence with what to do.
    async fn check(&self) -> Result<(), CheckError>;
}
