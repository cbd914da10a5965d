//! Stores that must not be started with: one sentence each, by the real binary.

use testbed::cluster::PrivateCluster;
use testbed::origin::Origin;
use testbed::redis::PrivateRedis;
use testbed::sentinel::PrivateSentinel;

use crate::harness::{Jar, PATIENCE, Proxy, room};

async fn refused(origin: &Origin, url: &str, says: &str) {
    let (status, log) =
        Proxy::fails_to_start(origin, &format!("[store]\nurl = \"{url}\""), &room("rate_per_s = 1")).await;
    assert_eq!(status, Some(1), "{url}: {log}");
    assert!(log.contains(says), "{url}: {log}");
    assert!(!log.contains("hunter2") && !log.contains("panicked") && !log.contains("backtrace"), "{log}");
    let errors = log.lines().filter(|line| !line.contains("WARN") && !line.contains("INFO")).count();
    assert_eq!(errors, 1, "one sentence: {log}");
}

#[tokio::test]
async fn refused_stores_that_cannot_keep_a_line() {
    let origin = Origin::start().await.unwrap();
    let servers = PrivateSentinel::options().password("right").replicas(1).start().await.unwrap();
    let evicting = PrivateRedis::options().directive("maxmemory-policy", "allkeys-lru").start().await.unwrap();
    let sentinels = servers.addresses();
    let primary = servers.primary().await.unwrap();
    for (url, says) in [
        (format!("redis+sentinel://:right@{sentinels}/other"), "watches no primary called `other`".to_owned()),
        (format!("redis+sentinel://:hunter2@{sentinels}/main"), "does not accept this user and password".to_owned()),
        (format!("redis+cluster://:right@{}", primary.addr()), "is not part of a cluster".to_owned()),
        (servers.servers()[1].url(), format!("is a replica of {}", primary.addr())),
        (evicting.url(), "maxmemory-policy noeviction".to_owned()),
    ] {
        refused(&origin, &url, &says).await;
    }
}

#[tokio::test]
async fn refused_a_node_of_a_cluster_without_saying_so() {
    let (origin, cluster) = (Origin::start().await.unwrap(), PrivateCluster::start().await.unwrap());
    refused(&origin, &cluster.nodes()[0].url(), "is part of a cluster: use redis+cluster://").await;
}

#[tokio::test]
async fn f12_a_store_that_refuses_writes_holds_people_up_and_shows_nobody_an_error() {
    let (origin, redis) = (Origin::start().await.unwrap(), PrivateRedis::start().await.unwrap());
    let top = format!("[store]\nurl = \"{}\"", redis.url());
    let proxy = Proxy::start_with(&origin, &top, &room("rate_per_s = 20\nburst = 1")).await;
    let mut raw = redis::Client::open(redis.url()).unwrap().get_multiplexed_async_connection().await.unwrap();
    let mut order = async |words: &[&str]| redis::Cmd::new().arg(words).exec_async(&mut raw).await.unwrap();
    for (breaks, mends, says) in [
        // Turns are still given and taken up then, since that frees memory; nobody joins.
        (&["CONFIG", "SET", "maxmemory", "1"][..], &["CONFIG", "SET", "maxmemory", "0"][..], "out of memory"),
        (&["REPLICAOF", "127.0.0.1", "1"], &["REPLICAOF", "NO", "ONE"], "is a replica"),
    ] {
        proxy.exhaust().await;
        let mut jar = Jar::default();
        jar.take(&proxy.request("GET", "/queue/status?room=concert", &[]).await);
        order(breaks).await;
        let told = proxy.poll_until(&mut jar, |status| status["stale"] == true).await;
        assert_eq!((&told["state"], &told["seq"]), (&"waiting".into(), &serde_json::Value::Null), "{says}");
        proxy.process.wait_for_line(says, PATIENCE).await.unwrap();
        let newcomer = proxy.request("POST", "/", &[("Content-Length", "0")]).await;
        assert!([200, 429].contains(&newcomer.status), "{says}: {newcomer:?}");
        assert_eq!(proxy.page("/", "").await.status, 200, "{says}");
        order(mends).await;
        proxy.poll_until(&mut jar, |status| status["state"] == "admitted").await;
    }
}
