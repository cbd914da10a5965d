//! A queue store that counts what passes through it, and changes nothing.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::Metrics;
use super::room::RoomMetrics;
use super::store::Operation;
use crate::store::{
    Begun, BitKind, BitSpan, CheckError, ClaimItem, Detail, Epoch, JoinItem, Lane, Limits, NodeId, QueueStore,
    Recovered, Report, RoomName, RoomPicture, Seen, Standing, StoreError, Ticked, TouchItem, Upload, Verdict, Vid,
};

/// Stands before the real store.
pub struct MeteredStore {
    inner: Arc<dyn QueueStore>,
    metrics: Arc<Metrics>,
}

impl MeteredStore {
    /// Counts the calls of `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn QueueStore>, metrics: Arc<Metrics>) -> Self {
        Self { inner, metrics }
    }

    /// Times a call; also notes whether the store answers at all.
    async fn timed<T>(
        &self,
        operation: Operation,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let began = Instant::now();
        let result = call.await;
        self.metrics.store.call(operation, result.is_ok(), began.elapsed());
        self.metrics.store.up.set(i64::from(!matches!(result, Err(StoreError::Unavailable(_)))));
        result
    }

    /// As [`MeteredStore::timed`], and counts what the answer says of the room.
    async fn of_room<T: Send>(
        &self,
        operation: Operation,
        room: &RoomName,
        call: impl Future<Output = Result<T, StoreError>> + Send,
        count: impl FnOnce(&RoomMetrics, &T) + Send,
    ) -> Result<T, StoreError> {
        let result = self.timed(operation, call).await;
        if let (Ok(answer), Some(metrics)) = (&result, self.metrics.room(room.as_str())) {
            count(&metrics, answer);
        }
        result
    }

    /// As [`MeteredStore::of_room`], for the two operations that the room's figures come from.
    async fn look<T: Send>(
        &self,
        operation: Operation,
        room: &RoomName,
        call: impl Future<Output = Result<T, StoreError>> + Send,
        count: impl FnOnce(&RoomMetrics, &T) + Send,
    ) -> Result<T, StoreError> {
        let result = self.of_room(operation, room, call, count).await;
        if let Some(metrics) = self.metrics.room(room.as_str()) {
            metrics.queue().stale.set(i64::from(result.is_err()));
        }
        result
    }
}

#[async_trait]
impl QueueStore for MeteredStore {
    async fn join(
        &self,
        room: &RoomName,
        epoch: Epoch,
        seen: Seen,
        batch: &[JoinItem],
    ) -> Result<Vec<Standing>, StoreError> {
        let call = self.inner.join(room, epoch, seen, batch);
        let count = |metrics: &RoomMetrics, all: &Vec<Standing>| {
            metrics.queue().joins.inc_by(number(all, |one| matches!(one, Standing::Waiting(_))));
        };
        self.of_room(Operation::Join, room, call, count).await
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
        let call = self.inner.enter(room, epoch, seen, limits, ttl, batch);
        let count = |metrics: &RoomMetrics, all: &Vec<Verdict>| {
            metrics.queue().entered.inc_by(number(all, |one| matches!(one, Verdict::Session { .. })));
            configured(metrics, limits);
        };
        self.of_room(Operation::Enter, room, call, count).await
    }

    async fn tick(
        &self,
        room: &RoomName,
        epoch: Epoch,
        seen: Seen,
        limits: Limits,
        claim_ttl: Duration,
    ) -> Result<Ticked, StoreError> {
        let call = self.inner.tick(room, epoch, seen, limits, claim_ttl);
        let count = |metrics: &RoomMetrics, ticked: &Ticked| {
            let queue = metrics.queue();
            queue.grants.inc_by(ticked.granted_now);
            queue.admitted.set(gauge(ticked.admitted));
            queue.waiting.set(gauge(ticked.waiting));
            configured(metrics, limits);
        };
        self.look(Operation::Tick, room, call, count).await
    }

    async fn claim(
        &self,
        room: &RoomName,
        epoch: Epoch,
        ttl: Duration,
        renew: bool,
        batch: &[ClaimItem],
    ) -> Result<Vec<Verdict>, StoreError> {
        let call = self.inner.claim(room, epoch, ttl, renew, batch);
        let count = |metrics: &RoomMetrics, all: &Vec<Verdict>| {
            metrics.queue().claimed.inc_by(number(all, |one| matches!(one, Verdict::Session { .. })));
        };
        self.of_room(Operation::Claim, room, call, count).await
    }

    async fn touch(&self, room: &RoomName, epoch: Epoch, batch: &[TouchItem]) -> Result<Vec<Verdict>, StoreError> {
        self.timed(Operation::Touch, self.inner.touch(room, epoch, batch)).await
    }

    async fn end(&self, room: &RoomName, epoch: Epoch, batch: &[JoinItem]) -> Result<u64, StoreError> {
        let call = self.inner.end(room, epoch, batch);
        self.of_room(Operation::End, room, call, |metrics, ended| metrics.queue().ended.inc_by(*ended)).await
    }

    async fn reap(&self, room: &RoomName, epoch: Epoch, seqs: &[u64]) -> Result<u64, StoreError> {
        let call = self.inner.reap(room, epoch, seqs);
        self.of_room(Operation::Reap, room, call, |metrics, reaped| metrics.queue().reaped.inc_by(*reaped)).await
    }

    async fn heartbeats(&self, room: &RoomName, epoch: Epoch, upload: &Upload) -> Result<(), StoreError> {
        self.timed(Operation::Heartbeats, self.inner.heartbeats(room, epoch, upload)).await
    }

    async fn live_nodes(
        &self,
        room: &RoomName,
        epoch: Epoch,
        node: NodeId,
        lease: Duration,
    ) -> Result<Option<Vec<NodeId>>, StoreError> {
        self.timed(Operation::LiveNodes, self.inner.live_nodes(room, epoch, node, lease)).await
    }

    async fn heard(
        &self,
        room: &RoomName,
        lane: Lane,
        bucket: u64,
        nodes: &[NodeId],
    ) -> Result<Vec<Option<Report>>, StoreError> {
        self.timed(Operation::Heard, self.inner.heard(room, lane, bucket, nodes)).await
    }

    async fn snapshot(&self, room: &RoomName, epoch: Option<Epoch>, detail: Detail) -> Result<RoomPicture, StoreError> {
        let call = self.inner.snapshot(room, epoch, detail);
        let count = |metrics: &RoomMetrics, picture: &RoomPicture| {
            let queue = metrics.queue();
            queue.waiting.set(gauge(picture.waiting));
            queue.granted.set(gauge(picture.granted));
            queue.active.set(gauge(picture.active));
            queue.admitted.set(gauge(picture.admitted));
            queue.generation.set(gauge(picture.epoch.generation));
            queue.paused.set(i64::from(picture.paused()));
        };
        self.look(Operation::Snapshot, room, call, count).await
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
        self.timed(Operation::Recover, self.inner.recover(room, epoch, seen, hold, burst, fresh_life)).await
    }

    async fn merge_bits(
        &self,
        room: &RoomName,
        epoch: Epoch,
        kind: BitKind,
        bits: &BitSpan,
    ) -> Result<u64, StoreError> {
        self.timed(Operation::MergeBits, self.inner.merge_bits(room, epoch, kind, bits)).await
    }

    async fn flush(&self, room: &RoomName, epoch: Epoch, seen: Seen, nonce: &str) -> Result<(u64, u64), StoreError> {
        self.timed(Operation::Flush, self.inner.flush(room, epoch, seen, nonce)).await
    }

    async fn reset(&self, room: &RoomName, epoch: Epoch) -> Result<Epoch, StoreError> {
        self.timed(Operation::Reset, self.inner.reset(room, epoch)).await
    }

    async fn set_paused(&self, room: &RoomName, epoch: Epoch, seen: Seen, paused: bool) -> Result<u64, StoreError> {
        self.timed(Operation::SetPaused, self.inner.set_paused(room, epoch, seen, paused)).await
    }

    async fn trim(&self, room: &RoomName, epoch: Epoch, keep: u64, at_least: u64) -> Result<u64, StoreError> {
        self.timed(Operation::Trim, self.inner.trim(room, epoch, keep, at_least)).await
    }

    async fn announce(&self, room: &RoomName, epoch: Epoch, begun: &[Begun], missed: u64) -> Result<(), StoreError> {
        // Not `timed`: whether it worked says nothing about the store as the queue sees it.
        let start = Instant::now();
        let result = self.inner.announce(room, epoch, begun, missed).await;
        self.metrics.store.call(Operation::Announce, result.is_ok(), start.elapsed());
        if let Some(metrics) = self.metrics.room(room.as_str()) {
            let now = if result.is_ok() { 0 } else { begun.len() as u64 };
            metrics.queue().unannounced.inc_by(missed + now);
        }
        result
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.timed(Operation::Ping, self.inner.ping()).await
    }

    async fn check(&self) -> Result<(), CheckError> {
        self.inner.check().await
    }
}

fn configured(metrics: &RoomMetrics, limits: Limits) {
    metrics.queue().rate.set(limits.rate_per_s);
    metrics.queue().max_active.set(gauge(limits.max_active));
}

fn number<T>(all: &[T], wanted: impl Fn(&T) -> bool) -> u64 {
    all.iter().filter(|one| wanted(one)).count() as u64
}

fn gauge(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
