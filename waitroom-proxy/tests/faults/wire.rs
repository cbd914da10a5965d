//! A kept connection that speaks just enough HTTP/1.1 for thousands of visitors.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{PATIENCE, Response};

/// Larger than any answer here.
const ANSWER: usize = 64 * 1024;

/// One connection, made when it is needed, and again after it broke.
pub(crate) struct Kept {
    to: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

impl Kept {
    pub(crate) fn to(to: SocketAddr) -> Self {
        Self { to, stream: None, buffer: vec![0; ANSWER] }
    }

    /// The number of what it leads to, for the history.
    pub(crate) fn node(&self) -> u16 {
        self.to.port()
    }

    /// Asks an operator's question; `None` when there is no (whole) answer.
    pub(crate) async fn get(&mut self, path: &str) -> Option<Response> {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.to)).await
    }

    /// Sends a request; `None` when there is no (whole) answer.
    pub(crate) async fn ask(&mut self, request: &str) -> Option<Response> {
        // A kept connection may have been closed while it was idle: that says nothing about the server.
        let used = self.stream.is_some();
        let answer = self.once(request).await;
        if answer.is_none() && used { self.once(request).await } else { answer }
    }

    async fn once(&mut self, request: &str) -> Option<Response> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(self.to).await.ok()?;
                stream.set_nodelay(true).ok()?;
                stream
            }
        };
        let talk = async {
            stream.write_all(request.as_bytes()).await.ok()?;
            let mut read = 0;
            loop {
                match stream.read(&mut self.buffer[read..]).await.ok()? {
                    0 => return None,
                    more => read += more,
                }
                if whole(&self.buffer[..read]) {
                    return Some(Response::parse(&self.buffer[..read]));
                }
            }
        };
        let answer = tokio::time::timeout(PATIENCE, talk).await.expect("a request is answered in time");
        if answer.is_some() {
            self.stream = Some(stream);
        }
        answer
    }
}

/// Whether the bytes hold a head and as much body as it says.
fn whole(bytes: &[u8]) -> bool {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    bytes.len() >= end + 4 + length.unwrap_or(0)
}
