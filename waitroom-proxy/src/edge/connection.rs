//! A visitor's connection: an absolute deadline for every request head, and word of the end of the process.
//!
//! Pingora limits each read of a head and never the whole, so that one byte a minute would hold a connection for
//! days. Here the stream itself counts: from the connection's first moment, or from the first byte of a later
//! request, to the moment the edge sees the whole head. Must not look into the bytes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream, TimingDigest,
    UniqueID, UniqueIDType, raw_connect::ProxyDigest,
};
use pingora::server::ShutdownWatch;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Longest that a request head may take, from its first byte (or the connection's first moment) to its last.
pub const HEAD_DEADLINE: Duration = Duration::from_secs(10);

tokio::task_local! {
    /// The connection that the current task serves. Pingora gives no other way from a request to its connection.
    static CURRENT: Connection;
}

/// What a request may know of its connection.
#[derive(Clone, Debug)]
pub struct Connection {
    phase: Arc<AtomicU8>,
    shutdown: ShutdownWatch,
}

/// Before a connection's first head is whole.
const FIRST_HEAD: u8 = 0;
/// Between two requests: how long this may last is Pingora's keep-alive limit.
const BETWEEN: u8 = 1;
/// Within the head of a later request.
const HEAD: u8 = 2;
/// The head is whole.
const REQUEST: u8 = 3;

impl Connection {
    /// A connection just accepted.
    #[must_use]
    pub fn new(shutdown: &ShutdownWatch) -> Self {
        Self { phase: Arc::new(AtomicU8::new(FIRST_HEAD)), shutdown: shutdown.clone() }
    }

    /// Serves it: whatever runs inside can reach the connection.
    pub async fn serve<T>(self, work: impl Future<Output = T>) -> T {
        CURRENT.scope(self, work).await
    }

    /// The stream, watched.
    #[must_use]
    pub fn watch(&self, stream: Stream) -> Stream {
        let deadline = Instant::now() + HEAD_DEADLINE;
        Box::new(Watched { inner: stream, phase: self.phase.clone(), deadline, timer: None })
    }

    /// Resolves when the process begins to end.
    pub async fn process_ends(mut self) {
        // A sender that is gone has ended as well.
        let _gone = self.shutdown.wait_for(|ends| *ends).await;
    }
}

/// The connection that the current task serves; `None` outside of one.
#[must_use]
pub fn current() -> Option<Connection> {
    CURRENT.try_with(Clone::clone).ok()
}

/// The current request's head is whole.
pub fn head_is_whole() {
    set_phase(REQUEST);
}

/// The current request is answered; what comes next is a head.
pub fn request_is_over() {
    set_phase(BETWEEN);
}

fn set_phase(phase: u8) {
    // Outside of a connection there is nothing to tell.
    let _outside = CURRENT.try_with(|connection| connection.phase.store(phase, Ordering::Relaxed));
}

/// A stream that fails to read when a head takes too long.
#[derive(Debug)]
struct Watched {
    inner: Stream,
    phase: Arc<AtomicU8>,
    /// Of the head that is being read.
    deadline: Instant,
    /// Made only when a head does not come in one piece.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Watched {
    fn reading_head(&self) -> bool {
        matches!(self.phase.load(Ordering::Relaxed), FIRST_HEAD | HEAD)
    }
}

fn too_slow() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the request head took too long")
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let reading_head = self.reading_head();
        if !reading_head {
            self.timer = None;
        } else if self.timer.is_some() && Instant::now() >= self.deadline {
            return Poll::Ready(Err(too_slow()));
        }
        let read = Pin::new(&mut self.inner).poll_read(cx, buf);
        if read.is_ready() {
            if self.phase.load(Ordering::Relaxed) == BETWEEN {
                self.phase.store(HEAD, Ordering::Relaxed);
                self.deadline = Instant::now() + HEAD_DEADLINE;
            }
            return read;
        }
        if reading_head {
            let deadline = self.deadline;
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
            if timer.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(too_slow()));
            }
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[async_trait]
impl Shutdown for Watched {
    async fn shutdown(&mut self) {
        self.inner.shutdown().await;
    }
}

impl UniqueID for Watched {
    fn id(&self) -> UniqueIDType {
        self.inner.id()
    }
}

impl Ssl for Watched {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.inner.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.inner.selected_alpn_proto()
    }
}

impl GetTimingDigest for Watched {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.inner.get_timing_digest()
    }

    fn get_read_pending_time(&self) -> Duration {
        self.inner.get_read_pending_time()
    }

    fn get_write_pending_time(&self) -> Duration {
        self.inner.get_write_pending_time()
    }
}

impl GetProxyDigest for Watched {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.inner.get_proxy_digest()
    }

    fn set_proxy_digest(&mut self, digest: ProxyDigest) {
        self.inner.set_proxy_digest(digest);
    }
}

impl GetSocketDigest for Watched {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.inner.get_socket_digest()
    }

    fn set_socket_digest(&mut self, digest: SocketDigest) {
        self.inner.set_socket_digest(digest);
    }
}

#[async_trait]
impl Peek for Watched {
    async fn try_peek(&mut self, buf: &mut [u8]) -> io::Result<bool> {
        self.inner.try_peek(buf).await
    }
}
