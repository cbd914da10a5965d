//! One HTTP/1.1 connection: writes ready-made requests, reads answers with a length. No redirects, no chunks.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

/// A request that takes longer has failed.
const WITHIN: Duration = Duration::from_secs(10);

/// No head is longer.
const LONGEST_HEAD: usize = 16 * 1024;

/// A kept connection, made on first use and again when the other side has closed it.
pub(crate) struct Wire {
    addr: SocketAddr,
    /// Where it comes from; `None`: as the system likes.
    source: Option<IpAddr>,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

/// What counts of an answer.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// `X-QUEUE-TICKET`.
    pub(crate) ticket: Option<String>,
    pub(crate) body: String,
}

/// A GET of `path`, with these header lines (each with its line break).
pub(crate) fn get(addr: SocketAddr, path: &str, headers: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\n{headers}\r\n").into_bytes()
}

impl Wire {
    pub(crate) fn to(addr: SocketAddr) -> Self {
        Self { addr, source: None, stream: None, buffer: Vec::with_capacity(4096) }
    }

    /// One of many visitors, each of whom has one of 250 loopback addresses. Tens of thousands of connections from
    /// one address would cost the system more for finding free ports than for all that is measured.
    pub(crate) fn of_visitor(addr: SocketAddr, number: u64) -> Self {
        let last = u8::try_from(number % 250).unwrap_or(0) + 1;
        let source = addr.ip().is_loopback().then_some(Ipv4Addr::new(127, 0, 1, last).into());
        Self { source, ..Self::to(addr) }
    }

    async fn connect(&self) -> Result<TcpStream> {
        let stream = match self.source {
            Some(source) => {
                let socket = TcpSocket::new_v4()?;
                // Without it a port that was used a moment ago is not given out again.
                socket.set_reuseaddr(true)?;
                socket.bind((source, 0).into()).context("binding")?;
                socket.connect(self.addr).await
            }
            None => TcpStream::connect(self.addr).await,
        };
        let stream = stream.context("connecting")?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Whether the connection is there, as far as this side knows.
    pub(crate) fn is_open(&self) -> bool {
        self.stream.is_some()
    }

    /// Sends a request and reads its answer. A kept connection that was closed meanwhile is made anew, once.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Result<Answer> {
        let kept = self.stream.is_some();
        match timeout(WITHIN, self.exchange(request)).await {
            Ok(Err(_)) if kept && self.buffer.is_empty() => {
                self.stream = None;
                timeout(WITHIN, self.exchange(request)).await.context("no answer in time")?
            }
            Ok(answer) => answer,
            Err(_) => bail!("no answer within {WITHIN:?}"),
        }
    }

    async fn exchange(&mut self, request: &[u8]) -> Result<Answer> {
        self.buffer.clear();
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.connect().await?,
        };
        stream.write_all(request).await?;
        let end = loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            ensure!(self.buffer.len() < LONGEST_HEAD, "a head without an end");
            ensure!(stream.read_buf(&mut self.buffer).await? > 0, "the connection was closed");
        };
        let (mut answer, length, close) = head(&self.buffer[..end])?;
        while self.buffer.len() < end + length {
            ensure!(stream.read_buf(&mut self.buffer).await? > 0, "the connection was closed within a body");
        }
        answer.body = String::from_utf8_lossy(&self.buffer[end..end + length]).into_owned();
        if !close {
            self.stream = Some(stream);
        }
        Ok(answer)
    }

    /// Sends a request and returns when the first bytes of the answer are there; what follows stays unread.
    pub(crate) async fn begin(&mut self, request: &[u8]) -> Result<()> {
        let stream = self.connect().await?;
        let stream = self.stream.insert(stream);
        stream.write_all(request).await?;
        self.buffer.clear();
        let read = timeout(WITHIN, stream.read_buf(&mut self.buffer)).await.context("no answer in time")??;
        ensure!(read > 0, "the connection was closed");
        let line = String::from_utf8_lossy(&self.buffer);
        ensure!(line.starts_with("HTTP/1.1 200"), "{}", line.lines().next().unwrap_or_default());
        self.buffer = Vec::new();
        Ok(())
    }

    /// Lets time pass, and closes the connection when the other side does, as browsers do.
    pub(crate) async fn rest(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while let Some(stream) = &self.stream {
            match timeout_at(end, stream.readable()).await {
                Ok(_) => _ = self.still_open(),
                Err(_) => return,
            }
        }
        sleep_until(end).await;
    }

    /// Whether the other side has kept it open. Takes what has been sent meanwhile.
    pub(crate) fn still_open(&mut self) -> bool {
        let mut taken = [0; 4096];
        while let Some(stream) = &self.stream {
            match stream.try_read(&mut taken) {
                Ok(0) => self.stream = None,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return true,
                Err(_) => self.stream = None,
            }
        }
        false
    }
}

/// Status, ticket, length of the body, and whether the connection ends with this answer.
fn head(bytes: &[u8]) -> Result<(Answer, usize, bool)> {
    let text = std::str::from_utf8(bytes).context("a head that is no text")?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let mut answer = Answer { status: status.context("no status")?, ..Answer::default() };
    let (mut length, mut close) = (None, false);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.parse().context("a length that is no number")?);
        } else if name.eq_ignore_ascii_case("x-queue-ticket") {
            answer.ticket = Some(value.to_owned());
        } else if name.eq_ignore_ascii_case("connection") {
            close = value.eq_ignore_ascii_case("close");
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            bail!("an answer in chunks");
        }
    }
    Ok((answer, length.unwrap_or(0), close))
}
