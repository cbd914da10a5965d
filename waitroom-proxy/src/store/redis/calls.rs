//! How a call of the store goes out, and when its answer counts. Knows no operation.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use redis::{Script, ScriptInvocation, ToRedisArgs};

use super::super::{Epoch, RoomName, StoreError, Verdict};
use super::RedisStore;
use super::link::{Link, Live, Request};
use super::reply::Reply;
use super::scripts::keys;

/// The connection that a call went over.
pub(super) struct Trip {
    pub(super) link: Arc<Link>,
    pub(super) live: Live,
}

/// Whether an operation may be the first for its room on a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    AfterRecovery,
    Any,
}

impl RedisStore {
    pub(super) async fn call(
        &self,
        room: &RoomName,
        order: Order,
        call: ScriptInvocation<'_>,
    ) -> Result<Reply, StoreError> {
        Ok(self.call_over(room, order, call).await?.0)
    }

    pub(super) async fn call_over(
        &self,
        room: &RoomName,
        order: Order,
        call: ScriptInvocation<'_>,
    ) -> Result<(Reply, Trip), StoreError> {
        let link = self.links.of(room);
        let live = link.connect().await?;
        if order == Order::AfterRecovery && self.recovered_on(room) != Some(live.number) {
            link.unused();
            return Err(StoreError::Lost);
        }
        let reply = Reply::read(link.exchange(live.clone(), Request::Script(call)).await?)?;
        Ok((reply, Trip { link, live }))
    }

    /// Waits until enough replicas have what `trip` wrote. As they take all writes in their order, this holds
    /// for everything before it as well: a session's turn, also when another node gave it.
    pub(super) async fn replicated(&self, trip: Trip) -> Result<(), StoreError> {
        match self.min_acks {
            0 => Ok(()),
            acks => trip.link.replicated(trip.live, acks).await,
        }
    }

    /// Verdicts, after the sessions among them count.
    pub(super) async fn verdicts(
        &self,
        (reply, trip): (Reply, Trip),
        count: usize,
    ) -> Result<Vec<Verdict>, StoreError> {
        let verdicts = reply.each(count, Reply::verdict)?;
        if verdicts.iter().any(|verdict| matches!(verdict, Verdict::Session { .. })) {
            self.replicated(trip).await?;
        }
        Ok(verdicts)
    }

    pub(super) fn recovered_on(&self, room: &RoomName) -> Option<u64> {
        self.recovered_on.lock().unwrap_or_else(PoisonError::into_inner).get(room).copied()
    }
}

/// A script with a room's keys and the caller's epoch; the arguments follow.
pub(super) fn begin<'a>(script: &'a Script, room: &RoomName, epoch: Epoch) -> ScriptInvocation<'a> {
    let mut call = script.prepare_invoke();
    for key in keys(room.as_str()) {
        call.key(key);
    }
    call.arg(epoch.generation).arg(epoch.life);
    call
}

pub(super) fn args<T: ToRedisArgs>(call: &mut ScriptInvocation<'_>, values: impl IntoIterator<Item = T>) {
    for value in values {
        call.arg(value);
    }
}

pub(super) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
