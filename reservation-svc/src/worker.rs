//! What `reservation-svc worker` starts: the tasks around the service, each in a loop of its own. Any number of
//! workers may run; a task takes only what no other has taken. Answers no visitor.

mod admin;
pub mod consumers;
pub mod dispatch;
pub mod expiry;
pub mod housekeeping;
#[cfg(feature = "kafka")]
pub mod kafka;
mod lanes;
pub mod operator;
pub mod partitions;
pub mod queue_events;
pub mod recovery;
pub mod relay;
pub mod retention;
pub mod setup;
pub mod sink;
pub mod task;
pub mod webhook;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::config::Config;
use crate::ledger::{Ledger, LedgerSettings};
use crate::listener;
use crate::metrics::Metrics;
use crate::serve::{StartError, bind};
use admin::Admin;
use setup::Parts;
use task::{Board, supervise};

/// How long runs in flight may take after the order to stop. Above the longest call of the database.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// A running worker.
pub struct Worker {
    admin_addr: SocketAddr,
    ledger: Ledger,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    /// Rings when a writer does; ended without being asked.
    listening: JoinSet<()>,
    admin: JoinHandle<usize>,
}

impl Worker {
    /// Starts every task that the configuration asks for, or says why not.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let metrics = Metrics::new()?;
        let board = Board::new(metrics.registry())?;
        // A worker writes; what it reads it goes on to change.
        let primary = LedgerSettings { replica_url: None, ..config.database.clone() };
        let ledger = Ledger::new(&primary, metrics.clone())?;
        ledger.check_schema().await?;
        let bound = bind("events.admin_listen", config.events.admin_listen).await?;

        let (stop, stopping) = watch::channel(false);
        let Parts { tasks: all, listening } = setup::parts(&config, &ledger, &metrics).await?;
        let mut tasks = JoinSet::new();
        for task in all {
            tasks.spawn(supervise(task, board.clone(), stopping.clone()));
        }
        let router = admin::router(Admin { ledger: ledger.clone(), board, metrics });
        let admin_addr = bound.addr;
        let admin = tokio::spawn(listener::serve(bound.listener, router, stopping));
        Ok(Self { admin_addr, ledger, stop, tasks, listening, admin })
    }

    /// Where health and metrics are.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin_addr
    }

    /// Starts no further run, lets those in flight finish, and says how many tasks were cut off because theirs took
    /// too long. What was cut off is done again by whoever comes next.
    pub async fn stop(mut self) -> usize {
        self.stop.send_replace(true);
        let drained = async { while self.tasks.join_next().await.is_some() {} };
        let cut_off = match tokio::time::timeout(DRAIN_LIMIT, drained).await {
            Ok(()) => 0,
            Err(_) => self.tasks.len(),
        };
        self.tasks.shutdown().await;
        self.listening.shutdown().await;
        self.admin.abort();
        self.ledger.close().await;
        cut_off
    }
}
