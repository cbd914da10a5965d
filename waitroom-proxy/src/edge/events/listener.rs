//! Who listens to an event stream: how its bytes leave, and how one notices that nobody is there any more.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use http::header::TRANSFER_ENCODING;
use pingora::protocols::Stream;
use pingora::proxy::Session;
use pingora::{ErrorType, OrErr as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::edge::answer::{Answer, How};
use crate::edge::connection;

/// A reader that takes nothing for this long is dropped.
const SLOW_READER: Duration = Duration::from_secs(5);

/// The other end of an event stream. Every method fails when the client is gone, or takes nothing for 5 s.
pub trait Listener: Send {
    /// Says the head of the answer.
    fn begin(&mut self, head: Answer) -> impl Future<Output = Result<()>> + Send;

    /// Says some words.
    fn tell(&mut self, words: Bytes) -> impl Future<Output = Result<()>> + Send;

    /// Resolves, with an error, only when the client goes; or says more than its request, where the front serves it (what
    /// comes behind a request of Pingora's is put aside).
    fn gone(&mut self) -> impl Future<Output = Result<()>> + Send;

    /// Says that there is nothing more to say.
    fn end(&mut self) -> impl Future<Output = Result<()>> + Send;
}

/// A request that came by Pingora's way.
impl Listener for Session {
    async fn begin(&mut self, head: Answer) -> Result<()> {
        self.set_write_timeout(Some(SLOW_READER));
        // A stream that has ended has nothing more to say: the connection goes with it.
        self.set_keepalive(None);
        let head = match self.req_header().version {
            // Its end is the end of the connection.
            http::Version::HTTP_10 => head,
            _ => head.field(TRANSFER_ENCODING, HeaderValue::from_static("chunked")),
        };
        head.start(self).await
    }

    async fn tell(&mut self, words: Bytes) -> Result<()> {
        self.write_response_body(Some(words), false).await
    }

    async fn gone(&mut self) -> Result<()> {
        self.as_downstream_mut().read_body_or_idle(true).await.map(drop)
    }

    async fn end(&mut self) -> Result<()> {
        self.write_response_body(None, true).await
    }
}

/// A connection that the front keeps for itself: nothing is held for it but what the stream needs.
pub struct Direct(Stream);

impl Direct {
    /// The connection of a plain HTTP/1.1 request, whose head has been read and nothing behind it.
    #[must_use]
    pub fn new(stream: Stream) -> Self {
        Self(stream)
    }

    /// Answers instead of a stream, and ends the connection.
    ///
    /// # Errors
    /// When the client is gone.
    pub async fn answer(&mut self, answer: &Answer, head_only: bool) -> Result<()> {
        let mut out = Vec::new();
        answer.write(&mut out, How { head_only, keep: false });
        self.say(&out).await?;
        self.close().await
    }

    async fn close(&mut self) -> Result<()> {
        self.0.shutdown().await.or_err(ErrorType::WriteError, "no listener")
    }

    async fn say(&mut self, bytes: &[u8]) -> Result<()> {
        let said = async {
            self.0.write_all(bytes).await?;
            self.0.flush().await
        };
        let said = tokio::time::timeout(SLOW_READER, said).await;
        said.or_err(ErrorType::WriteTimedout, "the listener takes nothing")?
            .or_err(ErrorType::WriteError, "no listener")
    }
}

impl Listener for Direct {
    async fn begin(&mut self, head: Answer) -> Result<()> {
        let mut out = Vec::new();
        head.field(TRANSFER_ENCODING, HeaderValue::from_static("chunked")).write_start(&mut out);
        self.say(&out).await
    }

    async fn tell(&mut self, words: Bytes) -> Result<()> {
        let chunk = [format!("{:x}\r\n", words.len()).as_bytes(), &words, b"\r\n"].concat();
        self.say(&chunk).await
    }

    async fn gone(&mut self) -> Result<()> {
        let mut more = [0; 1];
        match self.0.read(&mut more).await.or_err(ErrorType::ReadError, "the listener's connection broke")? {
            0 => pingora::Error::e_explain(ErrorType::ConnectionClosed, "the listener has gone"),
            _ => pingora::Error::e_explain(ErrorType::InvalidHTTPHeader, "the listener says more than a request"),
        }
    }

    async fn end(&mut self) -> Result<()> {
        self.say(b"0\r\n\r\n").await?;
        self.close().await
    }
}

/// Resolves when the process begins to end, for a request that came by Pingora's way.
pub async fn process_ends() {
    match connection::current() {
        Some(connection) => connection.process_ends().await,
        None => std::future::pending().await,
    }
}
