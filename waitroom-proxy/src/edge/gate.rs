//! The gate: counts connections, and turns away those over the cap with a clear answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use pingora::apps::ServerApp;
use pingora::protocols::Stream;
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::Edge;
use super::front::Front;
use super::problem::ProblemKind;

/// How long somebody who is turned away may take to send a request.
const GLANCE: std::time::Duration = std::time::Duration::from_millis(100);

/// The public listener's application.
pub struct Gate {
    proxy: Arc<HttpProxy<Edge>>,
    front: Front,
    count: Arc<AtomicUsize>,
    most: usize,
}

/// One connection; given back when dropped, however the connection ended.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Gate {
    /// A gate for at most `most` connections at once.
    #[must_use]
    pub fn new(proxy: HttpProxy<Edge>, front: Front, most: usize) -> Self {
        Self { proxy: Arc::new(proxy), front, count: Arc::new(AtomicUsize::new(0)), most }
    }

    /// The number of open connections, for the metrics and the shutdown.
    #[must_use]
    pub fn count(&self) -> Arc<AtomicUsize> {
        self.count.clone()
    }
}

#[async_trait]
impl ServerApp for Gate {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let place = Place(self.count.clone());
        let (gate, shutdown) = (self.clone(), shutdown.clone());
        let over = self.count.fetch_add(1, Ordering::Relaxed) >= self.most;
        // A task of our own, on the same thread: the one that Pingora accepts with takes nine kilobytes, and ends here.
        tokio::spawn(async move {
            match over {
                true => Box::pin(turn_away(stream)).await,
                false => gate.front.serve(&gate.proxy, stream, &shutdown).await,
            }
            drop(place);
        });
        None
    }

    async fn cleanup(&self) {
        self.proxy.cleanup().await;
    }
}

async fn turn_away(mut stream: Stream) {
    let body = ProblemKind::TooMany.document(None);
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\n\
         cache-control: no-store\r\nretry-after: 5\r\nconnection: close\r\n\r\n",
        body.len()
    );
    // Who is not there to read it needs no answer.
    let _gone = async {
        // A request that is there unread would turn the close into a reset, and the answer would be lost.
        let mut request = [0; 4096];
        let _silent = tokio::time::timeout(GLANCE, stream.read(&mut request)).await;
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&body).await?;
        stream.flush().await
    }
    .await;
}
