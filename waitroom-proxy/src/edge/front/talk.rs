//! One visitor's connection between requests: reads, writes what it is told to, keeps the time. Knows no HTTP.
//!
//! While a connection is idle it holds no buffer: bytes are read into one of the thread's, and kept only while a head
//! is in pieces.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pingora::protocols::Stream;
use pingora::server::ShutdownWatch;
use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::head::may_have_ended;
use crate::edge::CLIENT_PAUSE;
use crate::edge::connection::HEAD_DEADLINE;
use crate::edge::refuse::MAX_HEAD_BYTES;

/// Bytes read at once.
const READ: usize = 16 * 1024;
/// Answers to requests that came together leave together, up to this many bytes.
const TOGETHER: usize = 32 * 1024;
/// Bytes and time that a refused client has to finish what it is sending: who closes with bytes unread takes the
/// answer back.
const LINGER: (usize, Duration) = (1024 * 1024, Duration::from_secs(2));

thread_local! {
    /// Bytes that come and bytes that go, of whichever connection is at work on this thread.
    static AT_WORK: RefCell<(Vec<u8>, Vec<u8>)> = RefCell::new((vec![0; READ], Vec::new()));
}

/// What is to be done about bytes that have come.
pub(super) enum Step {
    /// Wait for more.
    More,
    /// The first `len` bytes are answered; the connection is kept this long, if at all.
    Answered { len: usize, keep: Option<Duration> },
    /// An answer is there, and the connection ends with it.
    Refused,
    /// Somebody must be asked about the first `len` bytes.
    Ask { len: usize },
    /// The first `len` bytes ask for a stream, which takes the connection.
    Stream { len: usize },
    /// They are Pingora's.
    HandOver,
}

/// Looks at bytes, may append an answer, and is told whether the process is ending.
pub(super) type Look<'l> = dyn FnMut(&[u8], &mut Vec<u8>, bool) -> Step + 'l;

/// What comes next on the connection.
pub(super) enum Next {
    /// Nothing.
    Over,
    /// Nothing, but the client may still be sending.
    Linger,
    /// Somebody must be asked about this head.
    Ask(Vec<u8>),
    /// This head asks for a stream on the connection.
    Stream(Stream, Vec<u8>),
    /// Pingora serves a request.
    HandOver(Handed),
}

/// What Pingora gets.
pub(super) struct Handed {
    pub(super) stream: Stream,
    /// What has been read of it.
    pub(super) bytes: Vec<u8>,
    /// Of the head.
    pub(super) deadline: Instant,
}

/// What happens once everything has been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Read,
    Over,
    Linger,
}

/// One connection.
pub(super) struct Talk {
    /// `None` while Pingora has it.
    stream: Option<Stream>,
    /// Read and not answered yet: a head in pieces, or what came behind one.
    bytes: Vec<u8>,
    /// So many of these bytes have been looked at, and were not enough.
    looked_at: usize,
    /// Said and not taken by the client yet, and how much of it has been.
    out: Vec<u8>,
    taken: usize,
    /// Something written may still be with the stream.
    unflushed: bool,
    then: Then,
    /// How long the connection is kept after the last answer.
    kept: Duration,
    /// No head has come yet: it counts from the connection's beginning.
    fresh: bool,
    /// When patience ends: with a head, an idle connection or a client that takes nothing.
    until: Instant,
    /// Made when there is something to wait for; rings no later than `until`.
    timer: Option<Pin<Box<Sleep>>>,
    shutdown: ShutdownWatch,
    /// Wakes this connection when the process begins to end.
    ending: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Talk {
    pub(super) fn new(stream: Stream, shutdown: &ShutdownWatch) -> Self {
        Self {
            stream: Some(stream),
            bytes: Vec::new(),
            looked_at: 0,
            out: Vec::new(),
            taken: 0,
            unflushed: false,
            then: Then::Read,
            kept: Duration::ZERO,
            fresh: true,
            until: Instant::now() + HEAD_DEADLINE,
            timer: None,
            shutdown: shutdown.clone(),
            ending: None,
        }
    }

    /// Whether the process is ending.
    pub(super) fn ends(&self) -> bool {
        *self.shutdown.borrow()
    }

    /// Says this next; the connection is kept this long after it, if at all.
    pub(super) fn say(&mut self, out: Vec<u8>, keep: Option<Duration>) {
        (self.out, self.taken) = (out, 0);
        self.unflushed = true;
        self.until = Instant::now() + CLIENT_PAUSE;
        self.keep(keep);
    }

    /// Pingora gives the connection back.
    pub(super) fn take_back(&mut self, stream: Stream, rest: Vec<u8>, kept: Duration) {
        self.stream = Some(stream);
        (self.bytes, self.looked_at) = (rest, 0);
        self.keep(Some(kept));
        self.rest();
    }

    /// Goes on until there is something that can't be done here.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, step: &mut Look<'_>) -> Poll<Next> {
        loop {
            match ready!(self.poll_out(cx)) {
                Ok(()) if self.then == Then::Read => {}
                Ok(()) if self.then == Then::Linger => return Poll::Ready(Next::Linger),
                // Said all, or nobody is there to hear it.
                Ok(()) | Err(_) => return Poll::Ready(Next::Over),
            }
            let next = AT_WORK.with_borrow_mut(|(input, output)| {
                output.clear();
                let mut bytes = std::mem::take(&mut self.bytes);
                let next = if self.looked_at < bytes.len() {
                    self.look(&bytes, output, step)
                } else {
                    let read = match self.poll_in(cx, input) {
                        Poll::Ready(read) => &input[..read],
                        Poll::Pending => {
                            self.bytes = bytes;
                            return Poll::Pending;
                        }
                    };
                    if read.is_empty() {
                        return Poll::Ready(Some(Next::Over));
                    }
                    if bytes.is_empty() {
                        self.look(read, output, step)
                    } else {
                        bytes.extend_from_slice(read);
                        self.look(&bytes, output, step)
                    }
                };
                self.begin_to_say(cx, output);
                Poll::Ready(next)
            });
            if let Some(next) = ready!(next) {
                return Poll::Ready(next);
            }
        }
    }

    /// Reads away what a refused client still sends, for a while.
    pub(super) async fn linger(mut self) {
        let Some(mut stream) = self.stream.take() else { return };
        let (most, time) = LINGER;
        let read_away = async {
            // Who is gone needs no end.
            let _gone = stream.shutdown().await;
            let (mut piece, mut read) = (vec![0; READ], 0);
            while read < most {
                match stream.read(&mut piece).await {
                    Ok(more) if more > 0 => read += more,
                    _ => return,
                }
            }
        };
        let _long_enough = tokio::time::timeout(time, read_away).await;
    }

    /// Looks at bytes until there are none left, or something else must be done first: then, nothing has been said.
    fn look(&mut self, bytes: &[u8], output: &mut Vec<u8>, step: &mut Look<'_>) -> Option<Next> {
        let ends = self.ends();
        let mut seen = std::mem::take(&mut self.looked_at);
        let mut rest = bytes;
        let mut next = None;
        while !rest.is_empty() && self.then == Then::Read && output.len() < TOGETHER {
            // The same head, a little longer: not worth another look.
            let same = seen > 0 && rest.len() <= MAX_HEAD_BYTES && !may_have_ended(rest, seen);
            match if same { Step::More } else { step(rest, output, ends) } {
                Step::More => {
                    if seen == 0 {
                        self.head_begins();
                    }
                    self.looked_at = rest.len();
                    break;
                }
                Step::Answered { len, keep } => {
                    rest = &rest[len..];
                    seen = 0;
                    self.keep(keep);
                }
                Step::Refused => self.then = Then::Linger,
                // First come, first served: what has been answered leaves before anything else is done.
                Step::Ask { .. } | Step::Stream { .. } | Step::HandOver if !output.is_empty() => break,
                Step::Ask { len } => {
                    next = Some(Next::Ask(rest[..len].to_vec()));
                    rest = &rest[len..];
                    break;
                }
                Step::Stream { len } if len == rest.len() => {
                    return Some(Next::Stream(self.stream.take()?, rest.to_vec()));
                }
                // Whoever says more while a stream is to begin: Pingora deals with it.
                Step::Stream { .. } | Step::HandOver => {
                    self.head_begins();
                    let (deadline, bytes) = (self.until, rest.to_vec());
                    return Some(Next::HandOver(Handed { stream: self.stream.take()?, bytes, deadline }));
                }
            }
        }
        if !rest.is_empty() {
            self.bytes = rest.to_vec();
        }
        next
    }

    fn keep(&mut self, keep: Option<Duration>) {
        self.fresh = false;
        match keep {
            Some(time) => self.kept = time,
            None => self.then = Then::Over,
        }
    }

    /// The first bytes of a head are there.
    fn head_begins(&mut self) {
        if !self.fresh {
            self.until = Instant::now() + HEAD_DEADLINE;
        }
    }

    /// Everything is answered.
    fn rest(&mut self) {
        self.until = Instant::now() + if self.bytes.is_empty() { self.kept } else { HEAD_DEADLINE };
    }

    /// Writes as much as the client takes at once; the rest is kept.
    fn begin_to_say(&mut self, cx: &mut Context<'_>, output: &[u8]) {
        let Some(stream) = self.stream.as_mut().filter(|_| !output.is_empty()) else { return };
        let taken = match Pin::new(stream).poll_write(cx, output) {
            Poll::Ready(Ok(taken)) => taken,
            // Found out again when the rest is written.
            Poll::Ready(Err(_)) | Poll::Pending => 0,
        };
        self.unflushed = true;
        if taken < output.len() {
            (self.out, self.taken) = (output[taken..].to_vec(), 0);
            self.until = Instant::now() + CLIENT_PAUSE;
        }
    }

    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.unflushed {
            return Poll::Ready(Ok(()));
        }
        while self.taken < self.out.len() {
            match self.poll_write(cx) {
                Poll::Ready(Ok(taken)) if taken > 0 => {
                    self.taken += taken;
                    self.until = Instant::now() + CLIENT_PAUSE;
                }
                Poll::Ready(Ok(_)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if self.poll_patience(cx).is_ready() => {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        let Some(stream) = self.stream.as_mut() else { return Poll::Ready(Err(io::ErrorKind::NotConnected.into())) };
        let flushed = match self.then {
            Then::Over => Pin::new(stream).poll_shutdown(cx),
            Then::Read | Then::Linger => Pin::new(stream).poll_flush(cx),
        };
        if flushed.is_pending() && self.poll_patience(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        ready!(flushed)?;
        (self.out, self.taken, self.unflushed) = (Vec::new(), 0, false);
        self.rest();
        Poll::Ready(Ok(()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match self.stream.as_mut() {
            Some(stream) => Pin::new(stream).poll_write(cx, &self.out[self.taken..]),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Bytes read; 0: the connection is over, whoever ended it.
    fn poll_in(&mut self, cx: &mut Context<'_>, input: &mut [u8]) -> Poll<usize> {
        let Some(stream) = self.stream.as_mut() else { return Poll::Ready(0) };
        let mut buffer = ReadBuf::new(input);
        match Pin::new(stream).poll_read(cx, &mut buffer) {
            Poll::Ready(Ok(())) => Poll::Ready(buffer.filled().len()),
            Poll::Ready(Err(_)) => Poll::Ready(0),
            Poll::Pending if self.poll_patience(cx).is_ready() || self.poll_ending(cx).is_ready() => Poll::Ready(0),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Ready when patience has ended. The timer is set anew only when it rings too early, not with every answer.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let until = self.until;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if timer.deadline() > until {
            timer.as_mut().reset(until);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= until {
                return Poll::Ready(());
            }
            timer.as_mut().reset(until);
        }
    }

    /// Ready when the process is ending.
    fn poll_ending(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.ending.is_none() {
            let mut shutdown = self.shutdown.clone();
            let ends = async move {
                // A sender that is gone has ended as well.
                let _gone = shutdown.wait_for(|ends| *ends).await;
            };
            return self.ending.insert(Box::pin(ends)).as_mut().poll(cx);
        }
        // It wakes this very task, so there is no need to ask it again.
        if self.ends() { Poll::Ready(()) } else { Poll::Pending }
    }
}
