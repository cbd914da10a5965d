//! Accepts connections and serves a router on them until told to drain. Bounds what a client can take.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Connections served at once. Behind a proxy a few hundred are used; more wait in the backlog.
const MAX_CONNECTIONS: usize = 4_096;

/// How long a client may take for its headers, idle keep-alive included.
const HEADER_LIMIT: Duration = Duration::from_secs(75);

/// Header bytes of one request: a user token and a queue token fit many times.
const MAX_HEADER_BYTES: usize = 32 * 1024;

/// After a failed accept (no file descriptors left) there is no use in trying at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long requests in flight may take after the order to drain. Above the longest a request can take.
const DRAIN_LIMIT: Duration = Duration::from_secs(15);

/// Serves until `drain` says true, then lets requests in flight finish. Returns when all are done,
/// or after `DRAIN_LIMIT` with how many were not.
pub async fn serve(listener: TcpListener, router: Router, mut drain: watch::Receiver<bool>) -> usize {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        // A slot first: without one the connection stays in the backlog.
        let accepted = async {
            let slot = Arc::clone(&slots).acquire_owned().await;
            (slot, listener.accept().await)
        };
        tokio::select! {
            () = told(&mut drain) => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            (slot, accepted) = accepted => match accepted {
                Ok((stream, _)) => {
                    let one = connection(stream, router.clone(), drain.clone());
                    connections.spawn(async move {
                        one.await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_LIMIT, drained).await.is_err() {
        return connections.len();
    }
    0
}

async fn connection(stream: TcpStream, router: Router, mut drain: watch::Receiver<bool>) {
    // Answers are small and whole; waiting to fill a packet only delays them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "nodelay");
    }
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_LIMIT)
        .max_buf_size(MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = told(&mut drain) => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

/// Returns once `drain` says true, or nobody is left to say so.
async fn told(drain: &mut watch::Receiver<bool>) {
    let _ = drain.wait_for(|drain| *drain).await;
}
