//! The end: readiness goes down, requests under way finish, then the process ends at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::signal::unix::{SignalKind, signal};

use super::manager::Manager;

/// How often the drain looks whether anything is still under way.
const LOOK: Duration = Duration::from_millis(10);

/// Whether the end has begun; shared by everybody who must know.
#[derive(Clone, Debug, Default)]
pub(super) struct Shutdown(Arc<AtomicBool>);

impl Shutdown {
    /// Whether the end has begun.
    pub(super) fn begun(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// What Pingora waits on.
    pub(super) fn watch(&self, connections: Arc<AtomicUsize>, most: Duration) -> Signals {
        Signals { shutdown: self.clone(), connections, most }
    }
}

/// Waits for SIGTERM or SIGINT; a second one ends everything at once.
pub(super) struct Signals {
    shutdown: Shutdown,
    connections: Arc<AtomicUsize>,
    most: Duration,
}

#[async_trait]
impl ShutdownSignalWatch for Signals {
    async fn recv(&self) -> ShutdownSignal {
        let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
        else {
            tracing::error!("signals can't be watched; this process ends only by SIGKILL");
            return std::future::pending().await;
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        self.shutdown.0.store(true, Ordering::Relaxed);
        let open = self.connections.load(Ordering::Relaxed);
        tracing::info!(open, "ending: no new connections; requests under way may finish");
        // Pingora sleeps its whole grace period on this very thread, so the drain has one of its own.
        let (connections, most) = (self.connections.clone(), self.most);
        let drain = std::thread::Builder::new().name("drain".to_owned()).spawn(move || drain(&connections, most));
        if drain.is_err() {
            return ShutdownSignal::FastShutdown;
        }
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            end("told twice");
        });
        ShutdownSignal::GracefulTerminate
    }
}

#[expect(clippy::disallowed_methods, reason = "a thread of its own that only waits")]
fn drain(connections: &AtomicUsize, most: Duration) {
    let began = std::time::Instant::now();
    // The listeners close first: one look later nothing new can come.
    std::thread::sleep(LOOK);
    while connections.load(Ordering::Relaxed) > 0 && began.elapsed() < most {
        std::thread::sleep(LOOK);
    }
    match connections.load(Ordering::Relaxed) {
        0 => end("nothing is under way"),
        open => {
            tracing::warn!(open, "ending with connections open: they had their time");
            std::process::exit(0);
        }
    }
}

fn end(why: &str) {
    tracing::info!("ended: {why}");
    std::process::exit(0);
}

/// SIGHUP reloads the config.
pub(super) async fn reload_on_hangup(manager: Arc<Manager>) {
    let Ok(mut hangup) = signal(SignalKind::hangup()) else {
        tracing::warn!("SIGHUP can't be watched; reload by changing the file or POST /admin/reload");
        return;
    };
    while hangup.recv().await.is_some() {
        let manager = manager.clone();
        // Reads files and resolves names: not on a thread that others wait for.
        let done = tokio::task::spawn_blocking(move || manager.reload_and_log("SIGHUP")).await;
        if let Err(error) = done {
            tracing::error!(%error, "the reload broke off; the config in force stays");
        }
    }
}
