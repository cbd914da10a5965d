//! A node's connection to the store: slow, lossy, cut, and forgetful in the way of the one to Redis.
//!
//! A broken connection is replaced at the next call; on a new one nothing but a look is answered before the room
//! was recovered over it. That rule is the Redis store's, and the nodes rely on it.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use waitroom_proxy::store::{
    BitKind, BitSpan, CheckError, ClaimItem, Detail, Epoch, JoinItem, Lane, Limits, NodeId, QueueStore, Recovered,
    Report, RoomName, RoomPicture, Seen, Standing, StoreError, Ticked, TouchItem, Upload, Verdict, Vid,
};

use super::history::History;
use super::ledger::Act;
use super::pass;
use super::server::Server;
use super::world::lock;
use crate::chance::Chance;

/// No call waits longer.
const LIMIT: Duration = Duration::from_millis(200);

pub(super) struct Wire {
    server: Arc<Server>,
    history: Arc<History>,
    line: Mutex<Line>,
    cut: AtomicBool,
}

struct Line {
    chance: Chance,
    /// Share of the calls whose request, and as many again whose reply, is lost.
    loss: f64,
    /// Connections made so far, and the run of the server that this one was made to.
    number: u64,
    run: u64,
    /// Over which connection the room was recovered.
    recovered: u64,
}

/// Whether an operation may be the first for its room on a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    AfterRecovery,
    Any,
}

/// What becomes of one call.
struct Fate {
    request_lost: bool,
    reply_lost: bool,
    there: Duration,
    back: Duration,
    number: u64,
}

impl Wire {
    pub(super) fn new(server: Arc<Server>, history: Arc<History>, chance: Chance) -> Self {
        let line = Line { chance, loss: 0.0, number: 1, run: server.run(), recovered: 0 };
        Self { server, history, line: Mutex::new(line), cut: AtomicBool::new(false) }
    }

    pub(super) fn set_loss(&self, share: f64) {
        lock(&self.line).loss = share;
    }

    pub(super) fn set_cut(&self, cut: bool) {
        self.cut.store(cut, Ordering::Relaxed);
    }

    fn number(&self) -> u64 {
        lock(&self.line).number
    }

    fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }

    /// Draws what becomes of the next call; connects anew if the server has had an accident.
    fn fate(&self, order: Order) -> Result<Fate, StoreError> {
        let mut line = lock(&self.line);
        if line.run != self.server.run() {
            line.run = self.server.run();
            line.number += 1;
        }
        if order == Order::AfterRecovery && line.recovered != line.number {
            return Err(StoreError::Lost);
        }
        let loss = line.loss;
        let (request_lost, reply_lost) = (line.chance.happens(loss), line.chance.happens(loss));
        let mut way = || Duration::from_millis(line.chance.between(0, 2));
        Ok(Fate { request_lost, reply_lost, there: way(), back: way(), number: line.number })
    }

    async fn time_out(&self, number: u64) -> StoreError {
        pass(LIMIT).await;
        let mut line = lock(&self.line);
        if line.number == number {
            line.number += 1;
        }
        self.history.lost_a_call();
        StoreError::Unavailable("no answer within 200 ms".to_owned())
    }

    async fn call<T: Send>(
        &self,
        order: Order,
        act: impl FnOnce(&T) -> Option<Act> + Send,
        ask: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<(T, u64), StoreError> {
        if self.is_cut() {
            let number = self.number();
            return Err(self.time_out(number).await);
        }
        let fate = self.fate(order)?;
        if fate.request_lost {
            return Err(self.time_out(fate.number).await);
        }
        pass(fate.there).await;
        let run = self.server.run();
        let answer = ask.await;
        if let Ok(answer) = &answer
            && let Some(act) = act(answer)
        {
            self.server.look(act);
        }
        if fate.reply_lost || self.is_cut() {
            return Err(self.time_out(fate.number).await);
        }
        pass(fate.back).await;
        if self.server.run() != run {
            return Err(StoreError::Unavailable("the connection broke".to_owned()));
        }
        answer.map(|answer| (answer, fate.number))
    }

    async fn after_recovery<T: Send>(
        &self,
        act: Act,
        ask: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        Ok(self.call(Order::AfterRecovery, |_| Some(act), ask).await?.0)
    }

    async fn any<T: Send>(&self, ask: impl Future<Output = Result<T, StoreError>> + Send) -> Result<T, StoreError> {
        Ok(self.call(Order::Any, |_| None, ask).await?.0)
    }

    fn store(&self) -> &dyn QueueStore {
        &self.server.store
    }
}

#[async_trait]
impl QueueStore for Wire {
    async fn join(
        &self,
        room: &RoomName,
        epoch: Epoch,
        seen: Seen,
        batch: &[JoinItem],
    ) -> Result<Vec<Standing>, StoreError> {
        self.after_recovery(Act::Join, self.store().join(room, epoch, seen, batch)).await
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
        self.after_recovery(Act::Enter, self.store().enter(room, epoch, seen, limits, ttl, batch)).await
    }

    async fn tick(
        &self,
        room: &RoomName,
        epoch: Epoch,
        seen: Seen,
        limits: Limits,
        claim_ttl: Duration,
    ) -> Result<Ticked, StoreError> {
        let act = |ticked: &Ticked| (ticked.granted_now > 0).then_some(Act::Tick);
        let ask = self.store().tick(room, epoch, seen, limits, claim_ttl);
        Ok(self.call(Order::AfterRecovery, act, ask).await?.0)
    }

    async fn claim(
        &self,
        room: &RoomName,
        epoch: Epoch,
        ttl: Duration,
        renew: bool,
        batch: &[ClaimItem],
    ) -> Result<Vec<Verdict>, StoreError> {
        self.after_recovery(Act::Claim, self.store().claim(room, epoch, ttl, renew, batch)).await
    }

    async fn touch(&self, room: &RoomName, epoch: Epoch, batch: &[TouchItem]) -> Result<Vec<Verdict>, StoreError> {
        self.after_recovery(Act::Touch, self.store().touch(room, epoch, batch)).await
    }

    async fn end(&self, room: &RoomName, epoch: Epoch, batch: &[JoinItem]) -> Result<u64, StoreError> {
        self.after_recovery(Act::End, self.store().end(room, epoch, batch)).await
    }

    async fn reap(&self, room: &RoomName, epoch: Epoch, seqs: &[u64]) -> Result<u64, StoreError> {
        self.after_recovery(Act::Reap, self.store().reap(room, epoch, seqs)).await
    }

    async fn heartbeats(&self, room: &RoomName, epoch: Epoch, upload: &Upload) -> Result<(), StoreError> {
        let ask = self.store().heartbeats(room, epoch, upload);
        self.call(Order::AfterRecovery, |()| None, ask).await.map(drop)
    }

    async fn live_nodes(
        &self,
        room: &RoomName,
        epoch: Epoch,
        node: NodeId,
        lease: Duration,
    ) -> Result<Option<Vec<NodeId>>, StoreError> {
        let ask = self.store().live_nodes(room, epoch, node, lease);
        Ok(self.call(Order::AfterRecovery, |_| None, ask).await?.0)
    }

    async fn heard(
        &self,
        room: &RoomName,
        lane: Lane,
        bucket: u64,
        nodes: &[NodeId],
    ) -> Result<Vec<Option<Report>>, StoreError> {
        self.any(self.store().heard(room, lane, bucket, nodes)).await
    }

    async fn snapshot(&self, room: &RoomName, epoch: Option<Epoch>, detail: Detail) -> Result<RoomPicture, StoreError> {
        self.any(self.store().snapshot(room, epoch, detail)).await
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
        let ask = async {
            // Superseded is an answer, too: the wire must learn of it before it may be lost.
            Ok(self.store().recover(room, epoch, seen, hold, burst, fresh_life).await)
        };
        let (answer, number) = self.call(Order::Any, |_| Some(Act::Recover), ask).await?;
        if matches!(answer, Ok(_) | Err(StoreError::Superseded(_))) {
            lock(&self.line).recovered = number;
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
        let ask = self.store().merge_bits(room, epoch, kind, bits);
        Ok(self.call(Order::Any, |_| Some(Act::Recover), ask).await?.0)
    }

    async fn flush(&self, room: &RoomName, epoch: Epoch, seen: Seen, nonce: &str) -> Result<(u64, u64), StoreError> {
        self.after_recovery(Act::Flush, self.store().flush(room, epoch, seen, nonce)).await
    }

    async fn reset(&self, room: &RoomName, epoch: Epoch) -> Result<Epoch, StoreError> {
        self.after_recovery(Act::Reset, self.store().reset(room, epoch)).await
    }

    async fn set_paused(&self, room: &RoomName, epoch: Epoch, seen: Seen, paused: bool) -> Result<u64, StoreError> {
        self.after_recovery(Act::Pause, self.store().set_paused(room, epoch, seen, paused)).await
    }

    async fn trim(&self, room: &RoomName, epoch: Epoch, keep: u64, at_least: u64) -> Result<u64, StoreError> {
        let ask = self.store().trim(room, epoch, keep, at_least);
        Ok(self.call(Order::AfterRecovery, |_| None, ask).await?.0)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.any(self.store().ping()).await
    }

    async fn check(&self) -> Result<(), CheckError> {
        Ok(())
    }
}
