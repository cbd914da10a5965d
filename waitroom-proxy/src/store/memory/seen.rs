//! Heartbeats: what the shared store keeps of whom its nodes heard. In this process there is one node.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::super::{Lane, NodeId, Report, StoreError, Upload};
use super::state::{Now, Room, check_ttl};

/// Reports, live nodes and the lease of a room.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard {
    /// By lane, bucket and node; with the time of expiry, ms.
    reports: BTreeMap<(Lane, u64, NodeId), (u64, Report)>,
    /// Until when each node counts as live, ms.
    nodes: HashMap<NodeId, u64>,
    /// Who has the lease, and until when, ms.
    lease: Option<(NodeId, u64)>,
}

impl Room {
    pub(super) fn keep_report(&mut self, upload: &Upload, now: Now) -> Result<(), StoreError> {
        let (until, alive_until) = (now.ms + check_ttl(upload.keep)?, now.ms + check_ttl(upload.alive)?);
        let heard = &mut self.heard;
        heard.reports.retain(|_, (until, _)| *until > now.ms);
        heard.reports.insert((upload.lane, upload.bucket, upload.node), (until, upload.report.clone()));
        heard.nodes.retain(|_, until| *until >= now.ms);
        heard.nodes.insert(upload.node, alive_until);
        Ok(())
    }

    pub(super) fn nodes_for_holder(
        &mut self,
        node: NodeId,
        lease: Duration,
        now: Now,
    ) -> Result<Option<Vec<NodeId>>, StoreError> {
        let until = now.ms + check_ttl(lease)?;
        if self.heard.lease.is_some_and(|(holder, until)| holder != node && until > now.ms) {
            return Ok(None);
        }
        self.heard.lease = Some((node, until));
        self.heard.nodes.retain(|_, until| *until >= now.ms);
        Ok(Some(self.heard.nodes.keys().copied().collect()))
    }

    pub(super) fn reports(&self, lane: Lane, bucket: u64, nodes: &[NodeId], now: Now) -> Vec<Option<Report>> {
        let one = |node: &NodeId| self.heard.reports.get(&(lane, bucket, *node)).filter(|(until, _)| *until > now.ms);
        nodes.iter().map(|node| one(node).map(|(_, report)| report.clone())).collect()
    }
}
