//! The stream that Pingora gets: bytes already read come first, a head has a deadline, small writes are gathered.
//!
//! Buffers are there only while they hold something: a connection that waits must cost next to nothing.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream, TimingDigest,
    UniqueID, UniqueIDType, raw_connect::ProxyDigest,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::{BETWEEN, Connection, HEAD, HEAD_ALONE, HEAD_DEADLINE};

/// Bytes of an answer that are gathered before they leave: a page and its head go in one packet train.
const GATHERED: usize = 16 * 1024;

/// What an answer of an API takes with its head: room is made for it at once.
const USUAL: usize = 2 * 1024;

/// Most bytes taken of what a client says while its request is dealt with; the rest waits in the socket.
const LATER: usize = 16 * 1024;

/// The stream.
#[derive(Debug)]
pub struct Watched {
    /// `None` only once it has been taken back.
    inner: Option<Stream>,
    connection: Connection,
    /// Read before Pingora asked, and how much of it Pingora has seen.
    first: Vec<u8>,
    seen: usize,
    /// Came behind a request that is not answered yet: the next one's. Pingora would take it for a broken client, and give
    /// the request up after the upstream has had it.
    later: Vec<u8>,
    /// Written by Pingora and not yet sent, and how much of it has been.
    out: Vec<u8>,
    sent: usize,
    /// Of the head that is being read.
    deadline: Instant,
    /// Made only when a head does not come in one piece.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Watched {
    pub(super) fn new(inner: Stream, connection: Connection, first: Vec<u8>, deadline: Instant) -> Self {
        let (out, later, inner) = (Vec::new(), Vec::new(), Some(inner));
        Self { inner, connection, first, seen: 0, later, out, sent: 0, deadline, timer: None }
    }

    /// The stream itself, and what has been read of it and is none of Pingora's.
    #[must_use]
    pub fn take_back(mut self) -> Option<(Stream, Vec<u8>)> {
        // What has not left by now was written by nobody who cared to flush.
        self.out = Vec::new();
        let mut rest = std::mem::take(&mut self.first).split_off(self.seen);
        rest.append(&mut self.later);
        Some((self.inner.take()?, rest))
    }

    fn inner(&mut self) -> io::Result<Pin<&mut Stream>> {
        self.inner.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn reading_head(&self) -> bool {
        self.connection.phase() == HEAD
    }

    /// Sends what was gathered.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.out.len() {
            let Some(inner) = self.inner.as_mut() else { return Poll::Ready(Err(io::ErrorKind::NotConnected.into())) };
            let sent = ready!(Pin::new(inner).poll_write(cx, &self.out[self.sent..]))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += sent;
        }
        (self.out, self.sent) = (Vec::new(), 0);
        Poll::Ready(Ok(()))
    }

    /// Ready when the client is gone; what it says meanwhile is put aside.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.later.len() < LATER {
            let mut piece = [0; 1024];
            let mut read = ReadBuf::new(&mut piece);
            ready!(self.inner()?.poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.later.extend_from_slice(read.filled());
        }
        Poll::Pending
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = self.deadline;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        timer.as_mut().poll(cx)
    }
}

fn too_slow() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the request head took too long")
}

impl Drop for Watched {
    fn drop(&mut self) {
        if self.sent < self.out.len() {
            // An answer that broke off: what is there of it goes out as far as the socket takes it at once.
            let _as_far_as_it_goes = self.flush().now_or_never();
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.seen < this.first.len() {
            let rest = &this.first[this.seen..];
            let length = rest.len().min(buf.remaining());
            buf.put_slice(&rest[..length]);
            this.seen += length;
            if this.seen == this.first.len() {
                (this.first, this.seen) = (Vec::new(), 0);
            }
            return Poll::Ready(Ok(()));
        }
        let reading_head = this.reading_head();
        if !reading_head {
            this.timer = None;
        } else if this.timer.is_some() && Instant::now() >= this.deadline {
            return Poll::Ready(Err(too_slow()));
        }
        if this.connection.poll_stop(cx) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if this.connection.phase() == HEAD_ALONE {
            return this.poll_gone(cx);
        }
        let read = this.inner()?.poll_read(cx, buf);
        if read.is_ready() {
            if this.connection.phase() == BETWEEN {
                this.connection.set(HEAD);
                this.deadline = Instant::now() + HEAD_DEADLINE;
            }
        } else if reading_head && this.poll_timer(cx).is_ready() {
            return Poll::Ready(Err(too_slow()));
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.out.len() + buf.len() > GATHERED {
            ready!(self.poll_send(cx))?;
        }
        if buf.len() >= GATHERED {
            return self.inner()?.poll_write(cx, buf);
        }
        if self.out.is_empty() {
            self.out.reserve(buf.len().max(USUAL));
        }
        self.out.extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        self.inner()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        self.inner()?.poll_shutdown(cx)
    }
}

#[async_trait]
impl Shutdown for Watched {
    async fn shutdown(&mut self) {
        // Who is gone needs no end.
        let _gone = self.flush().await;
        if let Some(inner) = &mut self.inner {
            Shutdown::shutdown(inner.as_mut()).await;
        }
    }
}

impl UniqueID for Watched {
    fn id(&self) -> UniqueIDType {
        self.inner.as_ref().map_or(-1, |inner| inner.id())
    }
}

impl Ssl for Watched {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.inner.as_ref()?.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.inner.as_ref()?.selected_alpn_proto()
    }
}

impl GetTimingDigest for Watched {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.inner.as_ref().map_or_else(Vec::new, |inner| inner.get_timing_digest())
    }

    fn get_read_pending_time(&self) -> Duration {
        self.inner.as_ref().map_or(Duration::ZERO, |inner| inner.get_read_pending_time())
    }

    fn get_write_pending_time(&self) -> Duration {
        self.inner.as_ref().map_or(Duration::ZERO, |inner| inner.get_write_pending_time())
    }
}

impl GetProxyDigest for Watched {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.inner.as_ref()?.get_proxy_digest()
    }

    fn set_proxy_digest(&mut self, digest: ProxyDigest) {
        if let Some(inner) = &mut self.inner {
            inner.set_proxy_digest(digest);
        }
    }
}

impl GetSocketDigest for Watched {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.inner.as_ref()?.get_socket_digest()
    }

    fn set_socket_digest(&mut self, digest: SocketDigest) {
        if let Some(inner) = &mut self.inner {
            inner.set_socket_digest(digest);
        }
    }
}

#[async_trait]
impl Peek for Watched {
    async fn try_peek(&mut self, buf: &mut [u8]) -> io::Result<bool> {
        match &mut self.inner {
            Some(inner) if self.seen == self.first.len() => inner.try_peek(buf).await,
            _ => Ok(false),
        }
    }
}
