//! A few commands to a private Redis of a benchmark: to fill it and to read its counters. Knows no queue.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A script that fills the server may take a while; more than this is a fault.
const WITHIN: Duration = Duration::from_secs(20);

/// No answer that is asked for is longer.
const LONGEST: usize = 1 << 20;

/// A connection.
pub(super) struct Asker {
    stream: BufReader<TcpStream>,
}

/// An answer: a text or number as text, nothing, or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Text(String),
    Nothing,
    Many(Vec<Reply>),
}

impl Asker {
    pub(super) async fn connect(addr: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(addr).await.with_context(|| format!("connecting to redis at {addr}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// The answer to one command; a refusal is an error.
    pub(super) async fn ask(&mut self, command: &[&str]) -> Result<Reply> {
        let mut replies = self.ask_all(&[command]).await?;
        replies.pop().context("redis gave no answer")
    }

    /// The answers to some commands sent at once.
    pub(super) async fn ask_all(&mut self, commands: &[&[&str]]) -> Result<Vec<Reply>> {
        let mut text = String::new();
        for command in commands {
            text += &format!("*{}\r\n", command.len());
            command.iter().for_each(|word| text += &format!("${}\r\n{word}\r\n", word.len()));
        }
        let talk = async {
            self.stream.get_mut().write_all(text.as_bytes()).await?;
            let mut replies = Vec::new();
            for command in commands {
                let reply = Box::pin(self.read()).await;
                replies.push(reply.with_context(|| format!("redis, asked to {}", command[0]))?);
            }
            Ok(replies)
        };
        timeout(WITHIN, talk).await.context("redis does not answer")?
    }

    async fn read(&mut self) -> Result<Reply> {
        let mut line = String::new();
        ensure!(self.stream.read_line(&mut line).await? > 0, "it has closed the connection");
        let line = line.trim_end();
        let (kind, rest) = line.split_at_checked(1).context("an empty line")?;
        match kind {
            "+" | ":" => Ok(Reply::Text(rest.to_owned())),
            "-" => bail!("refused: {rest}"),
            "$" if rest == "-1" => Ok(Reply::Nothing),
            "$" => {
                let length: usize = rest.parse()?;
                ensure!(length <= LONGEST, "an answer of {length} bytes");
                let mut bytes = vec![0; length + 2];
                self.stream.read_exact(&mut bytes).await?;
                bytes.truncate(length);
                Ok(Reply::Text(String::from_utf8_lossy(&bytes).into_owned()))
            }
            "*" if rest == "-1" => Ok(Reply::Nothing),
            "*" => {
                let mut many = Vec::new();
                for _ in 0..rest.parse::<usize>()? {
                    many.push(Box::pin(self.read()).await?);
                }
                Ok(Reply::Many(many))
            }
            _ => bail!("not understood: {line}"),
        }
    }

    /// A number of `INFO`, from one of its sections.
    pub(super) async fn info(&mut self, section: &str, field: &str) -> Result<f64> {
        let info = self.ask(&["INFO", section]).await?;
        let Reply::Text(info) = info else { bail!("INFO {section} gave no text") };
        let value = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        value
            .and_then(|value| value.trim().parse().ok())
            .with_context(|| format!("INFO {section} has no number {field}"))
    }

    /// Processor time of the thread that carries out commands, in seconds.
    pub(super) async fn cpu_s(&mut self) -> Result<f64> {
        let user = self.info("cpu", "used_cpu_user_main_thread").await?;
        Ok(user + self.info("cpu", "used_cpu_sys_main_thread").await?)
    }
}

impl Reply {
    /// As a number.
    pub(super) fn number(&self) -> Option<u64> {
        match self {
            Self::Text(text) => text.parse().ok(),
            Self::Nothing | Self::Many(_) => None,
        }
    }

    /// As several.
    pub(super) fn many(&self) -> &[Self] {
        match self {
            Self::Many(many) => many,
            Self::Text(_) | Self::Nothing => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    async fn answered(answer: &'static str) -> Asker {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
        });
        Asker::connect(addr).await.unwrap()
    }

    #[tokio::test]
    async fn answers_of_every_kind_are_read() {
        let mut redis = answered("*3\r\n:7\r\n$5\r\na\r\nbc\r\n$-1\r\n+OK\r\n").await;
        let replies = redis.ask_all(&[&["EXEC"], &["PING"]]).await.unwrap();
        assert_eq!(replies[0].many()[0].number(), Some(7));
        assert_eq!(replies[0].many()[1..], [Reply::Text("a\r\nbc".to_owned()), Reply::Nothing]);
        assert_eq!(replies[1], Reply::Text("OK".to_owned()));
    }

    #[tokio::test]
    async fn refused_and_unknown_answers_are_errors() {
        let error = answered("-ERR no\r\n").await.ask(&["GET", "x"]).await.unwrap_err();
        assert!(format!("{error:#}").contains("refused: ERR no"), "{error:#}");
        assert!(answered("?\r\n").await.ask(&["GET", "x"]).await.is_err());
        let mut redis = answered("$24\r\n# CPU\r\nused_cpu_user:1.5\r\n\r\n").await;
        assert_eq!(redis.info("cpu", "used_cpu_user").await.unwrap(), 1.5);
    }
}
