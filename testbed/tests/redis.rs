//! The private Redis: alone, gone when dropped, and what it keeps over a restart.

use std::net::SocketAddr;

use testbed::redis::PrivateRedis;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Sends inline commands and returns all answers.
async fn ask(addr: SocketAddr, commands: &str) -> std::io::Result<String> {
    let mut connection = TcpStream::connect(addr).await?;
    connection.write_all(format!("{commands}QUIT\r\n").as_bytes()).await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn two_instances_know_nothing_of_each_other() {
    let (one, two) = (PrivateRedis::start().await.unwrap(), PrivateRedis::start().await.unwrap());
    ask(one.addr(), "SET who one\r\n").await.unwrap();
    assert!(ask(two.addr(), "GET who\r\n").await.unwrap().starts_with("$-1"), "the second sees the first's key");
    assert_eq!(one.url(), format!("redis://127.0.0.1:{}/", one.addr().port()));
}

#[tokio::test]
async fn f3_a_restart_comes_back_empty_on_the_same_port() {
    let redis = PrivateRedis::start().await.unwrap();
    let addr = redis.addr();
    ask(addr, "SET key value\r\n").await.unwrap();
    redis.kill().await.unwrap();
    assert!(ask(addr, "PING\r\n").await.is_err(), "a killed redis answers");
    redis.restart().await.unwrap();
    assert_eq!(redis.addr(), addr);
    assert!(ask(addr, "GET key\r\n").await.unwrap().starts_with("$-1"));
}

#[tokio::test]
async fn a_durable_one_keeps_every_acknowledged_command() {
    let redis = PrivateRedis::options().durable().start().await.unwrap();
    ask(redis.addr(), "SET key value\r\n").await.unwrap();
    redis.restart().await.unwrap();
    assert!(ask(redis.addr(), "GET key\r\n").await.unwrap().contains("value"));
}

#[tokio::test]
async fn refused_without_the_password() {
    let redis = PrivateRedis::options().password("letmein").start().await.unwrap();
    assert!(ask(redis.addr(), "GET key\r\n").await.unwrap().contains("NOAUTH"));
    assert!(ask(redis.addr(), "AUTH letmein\r\nPING\r\n").await.unwrap().contains("PONG"));
    assert!(redis.url().contains(":letmein@"));
}

#[tokio::test]
async fn f4_a_paused_one_answers_only_when_it_is_resumed() {
    let redis = PrivateRedis::start().await.unwrap();
    redis.pause_process().await.unwrap();
    let mut waiting = tokio::spawn(ask(redis.addr(), "PING\r\n"));
    // Stopped is a state of the process, so nothing has to be timed here.
    let pid = redis.pid().unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    assert!(stat.rsplit(')').next().unwrap().trim_start().starts_with('T'), "not stopped: {stat}");
    assert!(futures_util::FutureExt::now_or_never(&mut waiting).is_none());
    redis.resume_process().await.unwrap();
    assert!(waiting.await.unwrap().unwrap().contains("PONG"));
}

#[tokio::test]
async fn a_bad_directive_is_told_with_the_log() {
    let error = PrivateRedis::options().directive("no-such-directive", "1").start().await.unwrap_err().to_string();
    assert!(error.contains("redis-server ended") && error.contains("no-such-directive"), "{error}");
}
