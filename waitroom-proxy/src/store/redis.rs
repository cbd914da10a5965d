//! The shared store: Redis alone, under Sentinels or in a cluster, for any number of proxies.
//! All logic is in `scripts/`; here are calls and replies.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::try_join_all;
use redis::{Client, Script, cmd};

use self::calls::{Order, Trip, args, begin, ms};
use self::link::{LIMIT, Request};
use self::links::Links;
use self::reply::{Reply, name};
use self::scripts::{Scripts, keys};
pub(super) use self::target::Target;
use super::{
    Begun, BitKind, BitSpan, CheckError, ClaimItem, Detail, Epoch, JoinItem, Lane, Limits, MAX_TICK, NodeId,
    QueueStore, Recovered, Report, RoomName, RoomPicture, Seen, Standing, StoreError, Ticked, TouchItem, Upload,
    Verdict, Vid,
};

mod announce;
mod ask;
mod breaker;
mod calls;
mod check;
mod cluster;
mod decode;
mod link;
mod links;
mod reply;
mod route;
mod scripts;
mod seen;
mod sentences;
mod sentinel;
mod target;

/// Bits sent by one call: a piece this long keeps the server busy for well under a millisecond.
const BITS_A_CALL: usize = 256 * 1_024;

/// Rooms kept by Redis.
pub struct RedisStore {
    target: Target,
    links: Links,
    /// For what nobody waits for.
    news: Links,
    announce: Script,
    scripts: Scripts,
    /// Replicas that must have a turn or session before anybody hears of it.
    min_acks: u32,
    /// On which connection of its link each room was last recovered. On a newer one it must be recovered first:
    /// what the server lost meanwhile is noticed and given back there. Bounded by the rooms in the config.
    recovered_on: Mutex<HashMap<RoomName, u64>>,
}

impl RedisStore {
    /// A store on this server. Connects on first use, on the runtime of the first caller.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self::at(Target::One(Box::new(client.get_connection_info().clone())))
    }

    pub(super) fn at(target: Target) -> Self {
        Self {
            links: Links::new(target.clone(), LIMIT),
            news: Links::new(target.clone(), LIMIT),
            announce: Script::new(include_str!("scripts/announce.lua")),
            target,
            scripts: Scripts::new(),
            min_acks: 0,
            recovered_on: Mutex::default(),
        }
    }

    /// Another limit than 200 ms for the time a call may take in all.
    #[must_use]
    pub fn with_limit(mut self, limit: Duration) -> Self {
        self.links = Links::new(self.target.clone(), limit);
        self
    }

    /// Turns and sessions count only when this many replicas have them.
    #[must_use]
    pub fn with_min_acks(mut self, min_acks: u32) -> Self {
        self.min_acks = min_acks;
        self
    }
}

#[async_trait]
impl QueueStore for RedisStore {
    async fn join(
        &self,
        room: &RoomName,
        epoch: Epoch,
        seen: Seen,
        batch: &[JoinItem],
    ) -> Result<Vec<Standing>, StoreError> {
        let mut call = begin(&self.scripts.join, room, epoch);
        args(&mut call, [seen.seq, batch.len() as u64]);
        for item in batch {
            call.arg(name(item.vid)).arg(item.seq);
        }
        self.call(room, Order::AfterRecovery, call).await?.each(batch.len(), Reply::standing)
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
        let mut call = begin(&self.scripts.enter, room, epoch);
        args(&mut call, [limits.rate_per_s, limits.burst]);
        args(&mut call, [limits.max_active, ms(ttl), seen.seq, seen.admitted, batch.len() as u64]);
        args(&mut call, batch.iter().map(|vid| name(*vid)));
        self.verdicts(self.call_over(room, Order::AfterRecovery, call).await?, batch.len()).await
    }

    async fn tick(
        &self,
        room: &RoomName,
        epoch: Epoch,
        seen: Seen,
        limits: Limits,
        claim_ttl: Duration,
    ) -> Result<Ticked, StoreError> {
        let mut call = begin(&self.scripts.tick, room, epoch);
        args(&mut call, [limits.rate_per_s, limits.burst]);
        args(&mut call, [limits.max_active, u64::from(MAX_TICK), ms(claim_ttl)]);
        args(&mut call, [seen.admitted, seen.watermark, seen.seq]);
        let (reply, trip) = self.call_over(room, Order::AfterRecovery, call).await?;
        let ticked = reply.ticked()?;
        if ticked.granted_now > 0 {
            self.replicated(trip).await?;
        }
        Ok(ticked)
    }

    async fn claim(
        &self,
        room: &RoomName,
        epoch: Epoch,
        ttl: Duration,
        renew: bool,
        batch: &[ClaimItem],
    ) -> Result<Vec<Verdict>, StoreError> {
        let mut call = begin(&self.scripts.claim, room, epoch);
        args(&mut call, [ms(ttl), u64::from(renew), batch.len() as u64]);
        for item in batch {
            call.arg(name(item.vid)).arg(item.seq).arg(u8::from(item.proof));
        }
        self.verdicts(self.call_over(room, Order::AfterRecovery, call).await?, batch.len()).await
    }

    async fn touch(&self, room: &RoomName, epoch: Epoch, batch: &[TouchItem]) -> Result<Vec<Verdict>, StoreError> {
        let mut call = begin(&self.scripts.touch, room, epoch);
        call.arg(batch.len());
        for item in batch {
            call.arg(name(item.vid)).arg(item.seq).arg(ms(item.ttl)).arg(u8::from(item.proof)).arg(item.began_ms);
        }
        self.call(room, Order::AfterRecovery, call).await?.each(batch.len(), Reply::verdict)
    }

    async fn end(&self, room: &RoomName, epoch: Epoch, batch: &[JoinItem]) -> Result<u64, StoreError> {
        let mut call = begin(&self.scripts.end, room, epoch);
        call.arg(batch.len());
        for item in batch {
            call.arg(name(item.vid)).arg(item.seq);
        }
        self.call(room, Order::AfterRecovery, call).await?.number()
    }

    async fn reap(&self, room: &RoomName, epoch: Epoch, seqs: &[u64]) -> Result<u64, StoreError> {
        let mut call = begin(&self.scripts.reap, room, epoch);
        call.arg(seqs.len());
        args(&mut call, seqs);
        self.call(room, Order::AfterRecovery, call).await?.number()
    }

    async fn heartbeats(&self, room: &RoomName, epoch: Epoch, upload: &Upload) -> Result<(), StoreError> {
        self.keep_report(room, epoch, upload).await
    }

    async fn live_nodes(
        &self,
        room: &RoomName,
        epoch: Epoch,
        node: NodeId,
        lease: Duration,
    ) -> Result<Option<Vec<NodeId>>, StoreError> {
        self.nodes_for_holder(room, epoch, node, lease).await
    }

    async fn heard(
        &self,
        room: &RoomName,
        lane: Lane,
        bucket: u64,
        nodes: &[NodeId],
    ) -> Result<Vec<Option<Report>>, StoreError> {
        self.reports(room, lane, bucket, nodes).await
    }

    async fn snapshot(&self, room: &RoomName, epoch: Option<Epoch>, detail: Detail) -> Result<RoomPicture, StoreError> {
        let mut call = self.scripts.snapshot.prepare_invoke();
        for key in keys(room.as_str()) {
            call.key(key);
        }
        match epoch {
            Some(epoch) => call.arg(epoch.generation).arg(epoch.life),
            None => call.arg("").arg(""),
        };
        call.arg(match detail {
            Detail::Counters => 0,
            Detail::Polls => 1 + 2,
            Detail::Everything => 1 + 2 + 4,
        });
        self.call(room, Order::Any, call).await?.picture()
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
        let mut call = begin(&self.scripts.recover, room, epoch);
        args(&mut call, [seen.seq, seen.admitted, seen.watermark, ms(hold)]);
        call.arg(burst);
        args(&mut call, [seen.pause, seen.base, seen.floor, u64::from(fresh_life)]);
        let link = self.links.of(room);
        let live = link.connect().await?;
        let number = live.number;
        let reply = Reply::read(link.exchange(live.clone(), Request::Script(call)).await?);
        if reply.is_ok() {
            self.replicated(Trip { link, live }).await?;
        }
        if matches!(reply, Ok(_) | Err(StoreError::Superseded(_))) {
            self.recovered_on.lock().unwrap_or_else(PoisonError::into_inner).insert(room.clone(), number);
        }
        reply?.recovered()
    }

    async fn merge_bits(
        &self,
        room: &RoomName,
        epoch: Epoch,
        kind: BitKind,
        bits: &BitSpan,
    ) -> Result<u64, StoreError> {
        let mut new = 0;
        let mut first = bits.first;
        // An empty span is one call, too: it answers whether the room is there.
        let pieces = bits.bytes.chunks(BITS_A_CALL).chain(bits.bytes.is_empty().then_some([].as_slice()));
        for piece in pieces {
            let mut call = begin(&self.scripts.merge_bits, room, epoch);
            call.arg(if kind == BitKind::Spent { "spent" } else { "ended" }).arg(first).arg(piece);
            new += self.call(room, Order::Any, call).await?.number()?;
            first += piece.len() as u64 * 8;
        }
        Ok(new)
    }

    async fn flush(&self, room: &RoomName, epoch: Epoch, seen: Seen, nonce: &str) -> Result<(u64, u64), StoreError> {
        let mut call = begin(&self.scripts.flush, room, epoch);
        call.arg(seen.seq).arg(nonce);
        let mut reply = self.call(room, Order::AfterRecovery, call).await?;
        Ok((reply.number()?, reply.number()? + reply.number()?))
    }

    async fn reset(&self, room: &RoomName, epoch: Epoch) -> Result<Epoch, StoreError> {
        let call = begin(&self.scripts.reset, room, epoch);
        self.call(room, Order::AfterRecovery, call).await?.epoch()
    }

    async fn set_paused(&self, room: &RoomName, epoch: Epoch, seen: Seen, paused: bool) -> Result<u64, StoreError> {
        let mut call = begin(&self.scripts.pause, room, epoch);
        args(&mut call, [u64::from(paused), seen.pause]);
        self.call(room, Order::AfterRecovery, call).await?.number()
    }

    async fn trim(&self, room: &RoomName, epoch: Epoch, keep: u64, at_least: u64) -> Result<u64, StoreError> {
        let mut call = begin(&self.scripts.trim, room, epoch);
        args(&mut call, [keep, at_least]);
        self.call(room, Order::AfterRecovery, call).await?.number()
    }

    async fn announce(&self, room: &RoomName, epoch: Epoch, begun: &[Begun], _missed: u64) -> Result<(), StoreError> {
        self.append_begun(room, epoch, begun).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let links = self.links.all();
        let pings = links.iter().map(|link| async move {
            let live = link.connect().await?;
            link.exchange(live, Request::Command(cmd("PING"))).await
        });
        try_join_all(pings).await.map(drop)
    }

    async fn check(&self) -> Result<(), CheckError> {
        self.connect_check().await
    }
}
