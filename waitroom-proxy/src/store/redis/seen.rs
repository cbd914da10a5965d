//! Heartbeats in Redis: one key a node and stretch of time, all in the room's hash slot.

use std::time::Duration;

use super::super::{Epoch, Lane, NodeId, Report, RoomName, StoreError, Upload};
use super::reply::strange;
use super::scripts::keys;
use super::{Order, RedisStore, begin, ms};

impl RedisStore {
    pub(super) async fn keep_report(&self, room: &RoomName, epoch: Epoch, upload: &Upload) -> Result<(), StoreError> {
        let mut call = begin(&self.scripts.heartbeats, room, epoch);
        call.key(seen(room, upload.lane, upload.bucket, upload.node)).key(nodes(room));
        call.arg(upload.node.to_string()).arg(upload.report.encode());
        call.arg(ms(upload.keep)).arg(ms(upload.alive));
        self.call(room, Order::AfterRecovery, call).await.map(drop)
    }

    pub(super) async fn nodes_for_holder(
        &self,
        room: &RoomName,
        epoch: Epoch,
        node: NodeId,
        lease: Duration,
    ) -> Result<Option<Vec<NodeId>>, StoreError> {
        let mut call = begin(&self.scripts.live_nodes, room, epoch);
        call.key(nodes(room)).key(format!("queue:{{{room}}}:seen:lease"));
        call.arg(node.to_string()).arg(ms(lease));
        let mut reply = self.call(room, Order::AfterRecovery, call).await?;
        if !reply.flag()? {
            return Ok(None);
        }
        let mut live = Vec::new();
        while let Some(name) = reply.next_bytes()? {
            let name = std::str::from_utf8(&name).ok().and_then(NodeId::parse);
            live.push(name.ok_or_else(strange)?);
        }
        Ok(Some(live))
    }

    pub(super) async fn reports(
        &self,
        room: &RoomName,
        lane: Lane,
        bucket: u64,
        nodes: &[NodeId],
    ) -> Result<Vec<Option<Report>>, StoreError> {
        if nodes.is_empty() {
            return Ok(Vec::new());
        }
        let mut call = self.scripts.heard.prepare_invoke();
        for key in keys(room.as_str()) {
            call.key(key);
        }
        for node in nodes {
            call.key(seen(room, lane, bucket, *node));
        }
        self.call(room, Order::Any, call).await?.each(nodes.len(), |reply| {
            let bytes = reply.bytes()?;
            if bytes.is_empty() {
                return Ok(None);
            }
            Report::decode(&bytes).map(Some).ok_or_else(strange)
        })
    }
}

fn seen(room: &RoomName, lane: Lane, bucket: u64, node: NodeId) -> String {
    match lane {
        Lane::Line => format!("queue:{{{room}}}:seen:{bucket}:{node}"),
        Lane::Head => format!("queue:{{{room}}}:seen:head-{bucket}:{node}"),
    }
}

fn nodes(room: &RoomName) -> String {
    format!("queue:{{{room}}}:seen:nodes")
}
