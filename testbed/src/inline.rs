//! A few commands to a Redis server or Sentinel, as text; only for setting up and watching what is private.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A server that stands still must not hold up those who wait for another.
const PATIENCE: Duration = Duration::from_secs(2);

/// Sends commands, one a line, and returns all answers as they came over the wire.
pub(crate) async fn ask(addr: SocketAddr, password: Option<&str>, commands: &[&str]) -> io::Result<String> {
    let mut text = String::new();
    if let Some(password) = password {
        text += &format!("AUTH {password}\r\n");
    }
    for command in commands {
        text += &format!("{command}\r\n");
    }
    let talk = async {
        let mut connection = TcpStream::connect(addr).await?;
        connection.write_all(text.as_bytes()).await?;
        // Not by QUIT: Sentinels did not know it before Redis 7.2.
        connection.shutdown().await?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await?;
        Ok(answer)
    };
    tokio::time::timeout(PATIENCE, talk).await?
}

/// As [`ask`], for one order that must be carried out.
pub(crate) async fn order(addr: SocketAddr, password: Option<&str>, command: &str) -> io::Result<String> {
    let answer = ask(addr, password, &[command]).await?;
    match answer.lines().find(|line| line.starts_with('-')) {
        Some(refusal) => Err(io::Error::other(format!("`{command}` was answered {refusal}"))),
        None => Ok(answer),
    }
}

/// The value that follows a field's name in an answer of names and values, each a line of its own.
pub(crate) fn value<'a>(answer: &'a str, field: &str) -> Option<&'a str> {
    let mut lines = answer.lines();
    lines.find(|line| *line == field)?;
    // Between them is the length of the value.
    lines.nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_behind_its_name() {
        let answer = "*4\r\n$4\r\nname\r\n$4\r\nmain\r\n$5\r\nflags\r\n$6\r\nmaster\r\n+OK\r\n";
        assert_eq!((value(answer, "flags"), value(answer, "name")), (Some("master"), Some("main")));
        assert_eq!(value(answer, "port"), None);
    }
}
