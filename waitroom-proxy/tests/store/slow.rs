//! The memory store behind a wire that takes its time: for tests of how long anybody waits, on tokio's paused clock.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use waitroom_proxy::store::memory::MemoryStore;
use waitroom_proxy::store::{
    BitKind, BitSpan, CheckError, ClaimItem, Detail, Epoch, JoinItem, Lane, Limits, NodeId, QueueStore, Recovered,
    Report, RoomName, RoomPicture, Seen, Standing, StoreError, Ticked, TouchItem, Upload, Verdict, Vid,
};

/// What becomes of an operation's calls.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    /// No answer, ever.
    Never,
    /// An error, at once.
    Fails,
    /// This late, and then no.
    LateNo(Duration),
}

#[derive(Default)]
pub(crate) struct SlowStore {
    inner: MemoryStore,
    ways: Mutex<HashMap<&'static str, Way>>,
}

impl SlowStore {
    /// From now on; every other operation is answered at once.
    pub(crate) fn set<const N: usize>(&self, ways: [(&'static str, Way); N]) {
        *self.ways.lock().unwrap_or_else(PoisonError::into_inner) = ways.into();
    }

    /// `true`: the answer is no.
    async fn go(&self, operation: &str) -> Result<bool, StoreError> {
        let way = self.ways.lock().unwrap_or_else(PoisonError::into_inner).get(operation).copied();
        match way {
            None => Ok(false),
            Some(Way::Never) => std::future::pending().await,
            Some(Way::Fails) => Err(StoreError::Unavailable(format!("no {operation}"))),
            Some(Way::LateNo(late)) => {
                tokio::time::sleep(late).await;
                Ok(true)
            }
        }
    }

    async fn verdicts(
        &self,
        operation: &str,
        count: usize,
        ask: impl Future<Output = Result<Vec<Verdict>, StoreError>>,
    ) -> Result<Vec<Verdict>, StoreError> {
        if self.go(operation).await? { Ok(vec![Verdict::No; count]) } else { ask.await }
    }
}

#[async_trait]
impl QueueStore for SlowStore {
    async fn join(
        &self,
        room: &RoomName,
        epoch: Epoch,
        seen: Seen,
        batch: &[JoinItem],
    ) -> Result<Vec<Standing>, StoreError> {
        self.go("join").await?;
        self.inner.join(room, epoch, seen, batch).await
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
        self.verdicts("enter", batch.len(), self.inner.enter(room, epoch, seen, limits, ttl, batch)).await
    }

    async fn tick(
        &self,
        room: &RoomName,
        epoch: Epoch,
        seen: Seen,
        limits: Limits,
        claim_ttl: Duration,
    ) -> Result<Ticked, StoreError> {
        self.inner.tick(room, epoch, seen, limits, claim_ttl).await
    }

    async fn claim(
        &self,
        room: &RoomName,
        epoch: Epoch,
        ttl: Duration,
        renew: bool,
        batch: &[ClaimItem],
    ) -> Result<Vec<Verdict>, StoreError> {
        self.verdicts("claim", batch.len(), self.inner.claim(room, epoch, ttl, renew, batch)).await
    }

    async fn touch(&self, room: &RoomName, epoch: Epoch, batch: &[TouchItem]) -> Result<Vec<Verdict>, StoreError> {
        self.verdicts("touch", batch.len(), self.inner.touch(room, epoch, batch)).await
    }

    async fn end(&self, room: &RoomName, epoch: Epoch, batch: &[JoinItem]) -> Result<u64, StoreError> {
        self.inner.end(room, epoch, batch).await
    }

    async fn reap(&self, room: &RoomName, epoch: Epoch, seqs: &[u64]) -> Result<u64, StoreError> {
        self.inner.reap(room, epoch, seqs).await
    }

    async fn heartbeats(&self, room: &RoomName, epoch: Epoch, upload: &Upload) -> Result<(), StoreError> {
        self.inner.heartbeats(room, epoch, upload).await
    }

    async fn live_nodes(
        &self,
        room: &RoomName,
        epoch: Epoch,
        node: NodeId,
        lease: Duration,
    ) -> Result<Option<Vec<NodeId>>, StoreError> {
        self.inner.live_nodes(room, epoch, node, lease).await
    }

    async fn heard(
        &self,
        room: &RoomName,
        lane: Lane,
        bucket: u64,
        nodes: &[NodeId],
    ) -> Result<Vec<Option<Report>>, StoreError> {
        self.inner.heard(room, lane, bucket, nodes).await
    }

    async fn snapshot(&self, room: &RoomName, epoch: Option<Epoch>, detail: Detail) -> Result<RoomPicture, StoreError> {
        self.go("snapshot").await?;
        self.inner.snapshot(room, epoch, detail).await
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
        self.inner.recover(room, epoch, seen, hold, burst, fresh_life).await
    }

    async fn merge_bits(
        &self,
        room: &RoomName,
        epoch: Epoch,
        kind: BitKind,
        bits: &BitSpan,
    ) -> Result<u64, StoreError> {
        self.inner.merge_bits(room, epoch, kind, bits).await
    }

    async fn flush(&self, room: &RoomName, epoch: Epoch, seen: Seen, nonce: &str) -> Result<(u64, u64), StoreError> {
        self.inner.flush(room, epoch, seen, nonce).await
    }

    async fn reset(&self, room: &RoomName, epoch: Epoch) -> Result<Epoch, StoreError> {
        self.inner.reset(room, epoch).await
    }

    async fn set_paused(&self, room: &RoomName, epoch: Epoch, seen: Seen, paused: bool) -> Result<u64, StoreError> {
        self.inner.set_paused(room, epoch, seen, paused).await
    }

    async fn trim(&self, room: &RoomName, epoch: Epoch, keep: u64, at_least: u64) -> Result<u64, StoreError> {
        self.inner.trim(room, epoch, keep, at_least).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.inner.ping().await
    }

    async fn check(&self) -> Result<(), CheckError> {
        self.inner.check().await
    }
}
