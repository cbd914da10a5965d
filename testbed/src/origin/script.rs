//! What an origin is to do with a request; it does nothing itself.

use std::time::Duration;

use bytes::Bytes;

/// An answer, good or bad. The default is 200 `ok` at once.
#[derive(Clone, Debug)]
pub struct Script {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) delay: Duration,
    pub(super) act: Act,
}

/// The kind of answer.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// A body of known length.
    Body(Bytes),
    /// Chunks with a pause before each, the first included.
    Chunks { chunks: Vec<Bytes>, pause: Duration },
    /// A body that breaks off after these bytes.
    Broken(Bytes),
    /// The request's body, streamed back.
    Echo,
    /// A WebSocket that sends back every message.
    WebSocketEcho,
    /// No answer, ever; the connection stays.
    Silence,
    /// No answer, and the connection is closed.
    HangUp,
}

impl Default for Script {
    fn default() -> Self {
        Self { status: 200, headers: Vec::new(), delay: Duration::ZERO, act: Act::Body(Bytes::from_static(b"ok")) }
    }
}

impl Script {
    /// 200 `ok`, to be changed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers with this status (100 to 999; others become 500).
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Adds a header; the same name may be added more than once.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Waits this long before the first byte of the answer.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Answers with this body and its length.
    #[must_use]
    pub fn body(self, body: impl Into<Bytes>) -> Self {
        self.act(Act::Body(body.into()))
    }

    /// Answers with a chunked body, pausing before each chunk.
    #[must_use]
    pub fn chunks<B: Into<Bytes>>(self, chunks: impl IntoIterator<Item = B>, pause: Duration) -> Self {
        self.act(Act::Chunks { chunks: chunks.into_iter().map(Into::into).collect(), pause })
    }

    /// Sends the head and these bytes of a longer body, then breaks the connection.
    #[must_use]
    pub fn reset_in_body(self, sent: impl Into<Bytes>) -> Self {
        self.act(Act::Broken(sent.into()))
    }

    /// Streams the request's body back as it comes, with its content type.
    #[must_use]
    pub fn echo(self) -> Self {
        self.act(Act::Echo)
    }

    /// Accepts a WebSocket and sends every message back; a request without an upgrade gets 426.
    #[must_use]
    pub fn websocket_echo(self) -> Self {
        self.act(Act::WebSocketEcho)
    }

    /// Takes the request and never answers; the connection stays open.
    #[must_use]
    pub fn silence(self) -> Self {
        self.act(Act::Silence)
    }

    /// Takes the request and closes the connection without an answer.
    #[must_use]
    pub fn hang_up(self) -> Self {
        self.act(Act::HangUp)
    }

    fn act(mut self, act: Act) -> Self {
        self.act = act;
        self
    }
}
