//! From what the URL names to the server that a call goes to. Looks it up; holds no connection.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{ConnectionInfo, cmd};

use super::cluster::Cluster;
use super::sentences::Failure;
use super::sentinel::Sentinels;

/// How the server of a link is found.
pub(super) enum Route {
    /// It is always this one.
    Fixed(Box<ConnectionInfo>),
    /// It is the primary that these name.
    Sentinel(Sentinels),
    /// It is the node that serves this slot.
    Slot(Arc<Cluster>, u16),
}

impl Route {
    /// Where the server is now.
    pub(super) async fn find(&self, limit: Duration) -> Result<ConnectionInfo, Failure> {
        match self {
            Self::Fixed(info) => Ok((**info).clone()),
            Self::Sentinel(sentinels) => sentinels.primary(limit).await,
            Self::Slot(cluster, slot) => cluster.owner(*slot, limit).await,
        }
    }

    /// A server that another one has pointed at, if this route may follow.
    pub(super) fn follow(&self, (host, port): (String, u16)) -> Option<ConnectionInfo> {
        match self {
            Self::Slot(cluster, _) => Some(cluster.at(host, port)),
            Self::Fixed(_) | Self::Sentinel(_) => None,
        }
    }

    /// Whether the server on a new connection is what it is taken for. Sentinels may be behind.
    pub(super) async fn confirm(&self, connection: &mut MultiplexedConnection, address: &str) -> Result<(), Failure> {
        if !self.may_move_unseen() {
            return Ok(());
        }
        match cmd("INFO").arg("replication").query_async::<String>(connection).await {
            Ok(info) if info.contains("role:slave") => Err(Failure::told(format!(
                "Redis at {address} is a replica, and the Sentinels name it as the primary: a failover is under way"
            ))),
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("NOPERM") => Ok(()),
            Err(error) => Err(Failure::explain(&error, address)),
        }
    }

    /// Whether another server can take over while this one still answers, and does not say so itself.
    /// A node of a cluster does: it stops when it is cut off, and answers `MOVED` afterwards.
    pub(super) fn may_move_unseen(&self) -> bool {
        matches!(self, Self::Sentinel(_))
    }

    /// For sentences, as long as no server is found.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Fixed(info) => info.addr().to_string(),
            Self::Sentinel(sentinels) => sentinels.shown().to_owned(),
            Self::Slot(cluster, _) => cluster.shown().to_owned(),
        }
    }
}
