//! A private Redis Cluster: three primaries with a replica each, all on free ports.

use std::net::SocketAddr;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::inline::{ask, order};
use crate::ports;
use crate::redis::PrivateRedis;
use crate::wait;

/// A start takes two seconds; a machine that compiles at the same time needs more.
const START_WITHIN: Duration = Duration::from_secs(60);

/// Shards: the least of which a majority is left when one loses its primary.
const SHARDS: usize = 3;

/// Hash slots of every cluster.
const SLOTS: usize = 16_384;

/// Silent this long, a node counts as gone.
const NODE_TIMEOUT_MS: u32 = 1_000;

/// Six nodes; dropped, all are killed.
#[derive(Debug)]
pub struct PrivateCluster {
    nodes: Vec<PrivateRedis>,
}

/// How they are to run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    password: Option<String>,
    directives: Vec<(String, String)>,
}

impl Options {
    /// All nodes want this password (letters and digits) of the default user.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// One more line of every node's `redis.conf`.
    #[must_use]
    pub fn directive(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.directives.push((name.into(), value.into()));
        self
    }

    /// Starts the nodes, makes them a cluster, and returns when all slots are served and all replicas follow.
    ///
    /// # Errors
    /// As [`crate::redis::Options::start`], and [`Error::TimedOut`] when they do not find each other.
    pub async fn start(self) -> Result<PrivateCluster> {
        let mut nodes = Vec::new();
        let mut buses = Vec::new();
        for _ in 0..2 * SHARDS {
            let bus = ports::free();
            let mut options = PrivateRedis::options()
                .directive("cluster-enabled", "yes")
                .directive("cluster-port", bus.to_string())
                .directive("cluster-node-timeout", NODE_TIMEOUT_MS.to_string())
                .directive("cluster-replica-validity-factor", "0");
            if let Some(password) = &self.password {
                options = options.password(password).directive("masterauth", password);
            }
            for (name, value) in &self.directives {
                options = options.directive(name, value);
            }
            nodes.push(options.start().await?);
            buses.push(bus);
        }
        let forming = Forming { nodes: &nodes, buses: &buses, password: self.password.as_deref() };
        forming.run().await?;
        Ok(PrivateCluster { nodes })
    }
}

impl PrivateCluster {
    /// Starts one with the default options.
    ///
    /// # Errors
    /// As [`Options::start`].
    pub async fn start() -> Result<Self> {
        Self::options().start().await
    }

    /// Options to change before the start.
    #[must_use]
    pub fn options() -> Options {
        Options::default()
    }

    /// `redis+cluster://…` with the first node of each shard, without a user.
    #[must_use]
    pub fn url(&self) -> String {
        let seeds: Vec<String> = self.nodes.iter().take(SHARDS).map(|node| node.addr().to_string()).collect();
        format!("redis+cluster://{}", seeds.join(","))
    }

    /// All nodes: three that were primaries at the start, then the replica of each.
    #[must_use]
    pub fn nodes(&self) -> &[PrivateRedis] {
        &self.nodes
    }

    /// The node at this address.
    #[must_use]
    pub fn node(&self, addr: SocketAddr) -> Option<&PrivateRedis> {
        self.nodes.iter().find(|node| node.addr() == addr)
    }
}

/// The nodes while they become a cluster.
struct Forming<'a> {
    nodes: &'a [PrivateRedis],
    /// The port of each for the others.
    buses: &'a [u16],
    password: Option<&'a str>,
}

impl Forming<'_> {
    async fn run(&self) -> Result<()> {
        for (number, node) in self.nodes.iter().enumerate() {
            // Different from the start, else nodes spend seconds on sorting out equal ones.
            self.order(node, &format!("CLUSTER SET-CONFIG-EPOCH {}", number + 1)).await?;
            if number < SHARDS {
                let (first, next) = (number * SLOTS / SHARDS, (number + 1) * SLOTS / SHARDS);
                self.order(node, &format!("CLUSTER ADDSLOTSRANGE {first} {}", next - 1)).await?;
            }
            let (first, bus) = (self.nodes[0].addr(), self.buses[0]);
            if number > 0 {
                self.order(node, &format!("CLUSTER MEET {} {} {bus}", first.ip(), first.port())).await?;
            }
        }
        self.until("the nodes to know each other", "CLUSTER INFO", |answer| {
            answer.contains(&format!("cluster_known_nodes:{}\r", 2 * SHARDS))
        })
        .await?;
        for (replica, primary) in self.nodes[SHARDS..].iter().zip(self.nodes) {
            let id = self.order(primary, "CLUSTER MYID").await?;
            let id = id.lines().find(|line| line.len() == 40).unwrap_or_default().to_owned();
            self.order(replica, &format!("CLUSTER REPLICATE {id}")).await?;
        }
        self.until("all slots to be served", "CLUSTER INFO", |answer| answer.contains("cluster_state:ok")).await?;
        self.until("all replicas to follow", "INFO replication", |answer| {
            answer.contains("master_link_status:up") || answer.contains("state=online")
        })
        .await?;
        // Each node, too, must have heard who replicates whom: only then does it vote for a replica.
        self.until("the roles to be known", "CLUSTER NODES", |answer| {
            answer.lines().filter(|line| line.contains("slave")).count() == SHARDS
        })
        .await
    }

    async fn order(&self, node: &PrivateRedis, command: &str) -> Result<String> {
        order(node.addr(), self.password, command).await.map_err(Error::io("forming a cluster"))
    }

    /// Waits until every node answers as wanted.
    async fn until(&self, what: &str, command: &str, wanted: impl Fn(&str) -> bool) -> Result<()> {
        for node in self.nodes {
            wait::until(what, START_WITHIN, async || {
                ask(node.addr(), self.password, &[command]).await.is_ok_and(|answer| wanted(&answer))
            })
            .await?;
        }
        Ok(())
    }
}
