//! A visitor's connection as Pingora's side of the edge sees it: an absolute deadline for every request head, how long
//! it is kept, and word of the end of the process.
//!
//! Pingora limits each read of a head and never the whole, so that one byte a minute would hold a connection for
//! days. Here the stream itself counts, until the edge sees the whole head. Must not look into the bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::Context;
use std::time::Duration;

use futures_util::task::AtomicWaker;
use pingora::protocols::Stream;
use pingora::server::ShutdownWatch;
use tokio::time::Instant;

mod watched;

pub use watched::Watched;

/// Longest that a request head may take, from its first byte (or the connection's first moment) to its last.
pub const HEAD_DEADLINE: Duration = Duration::from_secs(10);

tokio::task_local! {
    /// The connection that the current task serves. Pingora gives no other way from a request to its connection.
    static CURRENT: Connection;
}

/// What a request may know of its connection.
#[derive(Clone, Debug)]
pub struct Connection(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    phase: AtomicU8,
    /// How long it is kept unused, in milliseconds.
    keep_ms: AtomicU64,
    /// Whether reading may be stopped from outside, or has been.
    stop: AtomicU8,
    /// Of whoever reads while it may be.
    reader: AtomicWaker,
    shutdown: ShutdownWatch,
}

/// Between two requests, or within what is left of a request's body.
const BETWEEN: u8 = 1;
/// Within a head.
const HEAD: u8 = 2;
/// The head is whole, and a body or another protocol may follow.
const REQUEST: u8 = 3;
/// The head is whole, and nothing belongs to the request but the head.
const HEAD_ALONE: u8 = 4;

/// Nobody stops it.
const GOES_ON: u8 = 0;
/// Somebody may.
const MAY_STOP: u8 = 1;
/// Somebody has.
const STOPPED: u8 = 2;

impl Connection {
    /// A connection with a head to be read.
    #[must_use]
    pub fn new(shutdown: &ShutdownWatch) -> Self {
        let (phase, keep_ms) = (AtomicU8::new(HEAD), AtomicU64::new(0));
        let (stop, reader) = (AtomicU8::new(GOES_ON), AtomicWaker::new());
        Self(Arc::new(Shared { phase, keep_ms, stop, reader, shutdown: shutdown.clone() }))
    }

    /// Serves it: whatever runs inside can reach the connection.
    pub async fn serve<T>(&self, work: impl Future<Output = T>) -> T {
        CURRENT.scope(self.clone(), work).await
    }

    /// The stream, watched; it yields `first` before anything that is still to come. `deadline`: of the head.
    #[must_use]
    pub fn watch(&self, stream: Stream, first: Vec<u8>, deadline: Instant) -> Stream {
        self.set(HEAD);
        Box::new(Watched::new(stream, self.clone(), first, deadline))
    }

    /// How long it is to be kept unused.
    #[must_use]
    pub fn kept_for(&self) -> Duration {
        Duration::from_millis(self.0.keep_ms.load(Ordering::Relaxed))
    }

    /// From now on [`Connection::stop`] can be called for the current request.
    pub fn may_stop(&self) {
        self.0.stop.store(MAY_STOP, Ordering::Release);
    }

    /// Ends the current request as if the client could not be read any more: Pingora takes no other word for it.
    pub fn stop(&self) {
        let may = self.0.stop.compare_exchange(MAY_STOP, STOPPED, Ordering::AcqRel, Ordering::Relaxed);
        if may.is_ok() {
            self.0.reader.wake();
        }
    }

    /// Whether reading has been stopped; if it still may be, `cx` is woken then.
    fn poll_stop(&self, cx: &Context<'_>) -> bool {
        if self.0.stop.load(Ordering::Acquire) == GOES_ON {
            return false;
        }
        self.0.reader.register(cx.waker());
        self.0.stop.load(Ordering::Acquire) == STOPPED
    }

    /// Resolves when the process begins to end.
    pub async fn process_ends(self) {
        let mut shutdown = self.0.shutdown.clone();
        // A sender that is gone has ended as well.
        let _gone = shutdown.wait_for(|ends| *ends).await;
    }

    fn phase(&self) -> u8 {
        self.0.phase.load(Ordering::Relaxed)
    }

    fn set(&self, phase: u8) {
        self.0.phase.store(phase, Ordering::Relaxed);
    }
}

/// The connection that the current task serves; `None` outside of one.
#[must_use]
pub fn current() -> Option<Connection> {
    CURRENT.try_with(Clone::clone).ok()
}

/// The current request's head is whole. `alone`: nothing belongs to it but the head.
pub fn head_is_whole(alone: bool) {
    with_current(|connection| connection.set(if alone { HEAD_ALONE } else { REQUEST }));
}

/// The current request is answered.
pub fn request_is_over() {
    with_current(|connection| {
        connection.set(BETWEEN);
        connection.0.stop.store(GOES_ON, Ordering::Release);
    });
}

/// Whether the current request was ended by [`Connection::stop`].
#[must_use]
pub fn is_stopped() -> bool {
    CURRENT.try_with(|connection| connection.0.stop.load(Ordering::Acquire) == STOPPED).unwrap_or(false)
}

/// After the current request the connection is kept unused for this long.
pub fn keep_for(time: Duration) {
    let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    with_current(|connection| connection.0.keep_ms.store(ms, Ordering::Relaxed));
}

fn with_current(tell: impl FnOnce(&Connection)) {
    // Outside of a connection there is nothing to tell.
    let _outside = CURRENT.try_with(tell);
}
