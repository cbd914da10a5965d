//! The embedded store: one node, no server. Also the executable specification of what the shared store does.
//!
//! A room lives in this process only: after a restart every ticket is of another life and joins anew.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use self::recover::Memory;
use self::state::{Now, Room, check_ttl};
use super::{
    BitKind, BitSpan, CheckError, ClaimItem, Detail, Epoch, JoinItem, Lane, Limits, NodeId, QueueStore, Recovered,
    Report, RoomName, RoomPicture, Seen, Standing, StoreError, Ticked, TouchItem, Upload, Verdict, Vid,
};

mod admin;
mod bits;
mod image;
mod join;
mod recover;
mod seen;
mod session;
mod state;
mod tick;

pub use self::image::RoomImage;

/// Microseconds since the Unix epoch.
type Clock = Box<dyn Fn() -> u64 + Send + Sync>;

/// Rooms kept in this process.
pub struct MemoryStore {
    clock: Clock,
    /// Held for the length of one operation, never over an await. All rooms share it: an operation takes
    /// microseconds, and one node does a few thousand a second.
    rooms: Mutex<HashMap<RoomName, Room>>,
}

impl MemoryStore {
    /// A store without rooms, measuring time by the system's clock.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(system_clock)
    }

    /// A store that asks `clock` for the time, in microseconds since the Unix epoch.
    #[must_use]
    pub fn with_clock(clock: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self { clock: Box::new(clock), rooms: Mutex::new(HashMap::new()) }
    }

    fn now(&self) -> Now {
        let us = (self.clock)();
        Now { us, ms: us / 1_000 }
    }

    fn rooms(&self) -> MutexGuard<'_, HashMap<RoomName, Room>> {
        // An operation that panicked has checked its arguments and changed little; the next ones can go on.
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one operation on a room of the caller's epoch.
    fn with_room<T>(
        &self,
        room: &RoomName,
        epoch: Option<Epoch>,
        operation: impl FnOnce(&mut Room, Now) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut rooms = self.rooms();
        let room = rooms.get_mut(room).ok_or(StoreError::Lost)?;
        if epoch.is_some_and(|epoch| epoch != room.epoch) {
            return Err(StoreError::Superseded(room.epoch));
        }
        let now = self.now();
        operation(room, now)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("rooms", &self.rooms().len()).finish_non_exhaustive()
    }
}

/// The edge where the embedded store meets the machine's clock.
#[expect(clippy::disallowed_methods, reason = "an edge of the process reads the clock")]
fn system_clock() -> u64 {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    since_epoch.as_micros() as u64
}

#[async_trait]
impl QueueStore for MemoryStore {
    async fn join(
        &self,
        room: &RoomName,
        epoch: Epoch,
        seen: Seen,
        batch: &[JoinItem],
    ) -> Result<Vec<Standing>, StoreError> {
        self.with_room(room, Some(epoch), |room, now| room.join(seen, batch, now))
    }

    async fn enter(
        &self,
        room: &RoomName,
        epoch: Epoch,
        seen: Seen,
        limits: Limits,
        ttl: Duration,
        batch: &[Vid],
    ) -> Result<Vec<Verdict>, StoreError> {
        self.with_room(room, Some(epoch), |room, now| room.enter(seen, limits, check_ttl(ttl)?, batch, now))
    }

    async fn tick(
        &self,
        room: &RoomName,
        epoch: Epoch,
        seen: Seen,
        limits: Limits,
        claim_ttl: Duration,
    ) -> Result<Ticked, StoreError> {
        self.with_room(room, Some(epoch), |room, now| room.tick(seen, limits, check_ttl(claim_ttl)?, now))
    }

    async fn claim(
        &self,
        room: &RoomName,
        epoch: Epoch,
        ttl: Duration,
        renew: bool,
        batch: &[ClaimItem],
    ) -> Result<Vec<Verdict>, StoreError> {
        self.with_room(room, Some(epoch), |room, now| room.claim(check_ttl(ttl)?, renew, batch, now))
    }

    async fn touch(&self, room: &RoomName, epoch: Epoch, batch: &[TouchItem]) -> Result<Vec<Verdict>, StoreError> {
        self.with_room(room, Some(epoch), |room, now| room.touch(batch, now))
    }

    async fn end(&self, room: &RoomName, epoch: Epoch, batch: &[JoinItem]) -> Result<u64, StoreError> {
        self.with_room(room, Some(epoch), |room, _| room.end(batch))
    }

    async fn reap(&self, room: &RoomName, epoch: Epoch, seqs: &[u64]) -> Result<u64, StoreError> {
        self.with_room(room, Some(epoch), |room, _| room.reap(seqs))
    }

    async fn heartbeats(&self, room: &RoomName, epoch: Epoch, upload: &Upload) -> Result<(), StoreError> {
        self.with_room(room, Some(epoch), |room, now| room.keep_report(upload, now))
    }

    async fn live_nodes(
        &self,
        room: &RoomName,
        epoch: Epoch,
        node: NodeId,
        lease: Duration,
    ) -> Result<Option<Vec<NodeId>>, StoreError> {
        self.with_room(room, Some(epoch), |room, now| room.nodes_for_holder(node, lease, now))
    }

    async fn heard(
        &self,
        room: &RoomName,
        lane: Lane,
        bucket: u64,
        nodes: &[NodeId],
    ) -> Result<Vec<Option<Report>>, StoreError> {
        match self.with_room(room, None, |room, now| Ok(room.reports(lane, bucket, nodes, now))) {
            // Reports outlive nothing here, but keys without a room would in the shared store.
            Err(StoreError::Lost) => Ok(vec![None; nodes.len()]),
            answer => answer,
        }
    }

    async fn snapshot(&self, room: &RoomName, epoch: Option<Epoch>, detail: Detail) -> Result<RoomPicture, StoreError> {
        self.with_room(room, epoch, |room, now| Ok(room.picture(detail, now)))
    }

    async fn recover(
        &self,
        room: &RoomName,
        epoch: Epoch,
        seen: Seen,
        hold: Duration,
        burst: f64,
        fresh_life: u32,
    ) -> Result<Recovered, StoreError> {
        let node = Memory { epoch, seen, hold, burst, fresh_life };
        let mut rooms = self.rooms();
        let mut found = rooms.remove(room);
        let answer = Room::recover(&mut found, node, self.now());
        if let Some(found) = found {
            rooms.insert(room.clone(), found);
        }
        answer
    }

    async fn merge_bits(
        &self,
        room: &RoomName,
        epoch: Epoch,
        kind: BitKind,
        bits: &BitSpan,
    ) -> Result<u64, StoreError> {
        self.with_room(room, Some(epoch), |room, _| room.merge_bits(kind, bits))
    }

    async fn flush(&self, room: &RoomName, epoch: Epoch, seen: Seen, nonce: &str) -> Result<(u64, u64), StoreError> {
        self.with_room(room, Some(epoch), |room, _| room.flush(seen, nonce))
    }

    async fn reset(&self, room: &RoomName, epoch: Epoch) -> Result<Epoch, StoreError> {
        self.with_room(room, Some(epoch), |room, now| Ok(room.reset(now)))
    }

    async fn set_paused(&self, room: &RoomName, epoch: Epoch, seen: Seen, paused: bool) -> Result<u64, StoreError> {
        self.with_room(room, Some(epoch), |room, _| room.set_paused(seen, paused))
    }

    async fn trim(&self, room: &RoomName, epoch: Epoch, keep: u64, at_least: u64) -> Result<u64, StoreError> {
        self.with_room(room, Some(epoch), |room, _| room.trim(keep, at_least))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn check(&self) -> Result<(), CheckError> {
        Ok(())
    }
}
