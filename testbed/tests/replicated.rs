//! The private Sentinel and Cluster: ready when they say so, and able to fail over.

use std::net::SocketAddr;
use std::time::Duration;

use testbed::cluster::PrivateCluster;
use testbed::sentinel::PrivateSentinel;
use testbed::wait;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(60);

/// Sends inline commands and returns all answers.
async fn ask(addr: SocketAddr, commands: &str) -> std::io::Result<String> {
    let mut connection = TcpStream::connect(addr).await?;
    connection.write_all(format!("{commands}QUIT\r\n").as_bytes()).await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn sentinels_name_another_primary_when_theirs_is_killed() {
    let sentinel = PrivateSentinel::start().await.unwrap();
    let first = sentinel.primary().await.unwrap();
    assert_eq!(first.addr(), sentinel.servers()[0].addr());
    assert_eq!(sentinel.url(), format!("redis+sentinel://{}/main", sentinel.addresses()));
    ask(first.addr(), "SET key value\r\nWAIT 2 10000\r\n").await.unwrap();
    first.kill().await.unwrap();
    wait::until("another primary", PATIENCE, async || {
        sentinel.primary().await.is_ok_and(|now| now.addr() != first.addr())
    })
    .await
    .unwrap();
    let second = sentinel.primary().await.unwrap().addr();
    assert!(ask(second, "GET key\r\n").await.unwrap().contains("value"), "the replica had it");
}

#[tokio::test]
async fn a_cluster_serves_every_slot_and_replaces_a_primary() {
    let cluster = PrivateCluster::start().await.unwrap();
    assert_eq!(cluster.nodes().len(), 6);
    for node in cluster.nodes() {
        let info = ask(node.addr(), "CLUSTER INFO\r\n").await.unwrap();
        assert!(info.contains("cluster_state:ok") && info.contains("cluster_slots_assigned:16384"), "{info}");
    }
    let replica = &cluster.nodes()[3];
    cluster.nodes()[0].kill().await.unwrap();
    wait::until("the replica to take over", PATIENCE, async || {
        ask(replica.addr(), "INFO replication\r\n").await.is_ok_and(|info| info.contains("role:master"))
    })
    .await
    .unwrap();
}
