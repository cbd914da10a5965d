//! Visitors who go silent, on one node and on two.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

use redis::AsyncCommands as _;
use serde_json::{Value, json};
use testbed::origin::Origin;
use testbed::redis::PrivateRedis;
use testbed::scratch::Scratch;
use testbed::wire::Wire;

use crate::harness::{Jar, PATIENCE, Proxy, room};

/// Turns do not come, silence is noticed soon.
const QUIET: &str = "rate_per_s = 0.001\nburst = 1\nabandon_after_s = 2";

async fn in_line(proxy: &Proxy) -> (Jar, Value) {
    let mut jar = Jar::default();
    jar.take(&proxy.page("/", "").await);
    let status = proxy.poll_until(&mut jar, |status| status["seq"].is_u64()).await;
    (jar, status)
}

fn on(url: &str) -> String {
    format!("[store]\nurl = \"{url}\"")
}

/// How many the proxy has taken out of the line, as its metrics say.
pub(crate) async fn reaped(proxy: &Proxy) -> String {
    let metrics = proxy.look("/metrics").await.body;
    let line = metrics.lines().find_map(|line| line.strip_prefix("waitroom_reaped_total{room=\"concert\"} "));
    line.unwrap_or_else(|| panic!("{metrics}")).to_owned()
}

async fn who_leaves_moves_everybody_up(proxy: &Proxy) {
    proxy.exhaust().await;
    let (mut gone, before) = in_line(proxy).await;
    let (mut there, status) = in_line(proxy).await;
    let (_also_gone, _) = in_line(proxy).await;
    assert_eq!((&status["position"], &before["position"]), (&json!(2), &json!(1)));
    let alone = proxy.poll_until(&mut there, |status| status["waiting"] == 1).await;
    assert_eq!((&alone["seq"], &alone["position"]), (&status["seq"], &json!(1)), "moved up, and never out");
    assert_eq!(reaped(proxy).await, "2", "nobody who was heard");
    let back = proxy.poll_until(&mut gone, |_| true).await;
    assert_eq!((&back["seq"], &back["state"]), (&before["seq"], &json!("waiting")), "i4: at the old number");
    assert_eq!(back["position"], 1, "which is ahead of those who came later");
    let behind = proxy.poll_until(&mut there, |status| status["position"] == 2).await;
    assert_eq!(behind["seq"], status["seq"]);
}

#[tokio::test]
async fn i13_visitors_who_left_do_not_count_and_come_back_to_their_place() {
    let origin = Origin::start().await.unwrap();
    let proxy = Proxy::start(&origin, &room(QUIET)).await;
    who_leaves_moves_everybody_up(&proxy).await;
}

#[tokio::test]
async fn i13_the_same_on_redis() {
    let (origin, redis) = (Origin::start().await.unwrap(), PrivateRedis::start().await.unwrap());
    let proxy = Proxy::start_with(&origin, &on(&redis.url()), &room(QUIET)).await;
    who_leaves_moves_everybody_up(&proxy).await;
}

#[tokio::test]
async fn i13_visitors_who_left_never_block_those_behind() {
    let origin = Origin::start().await.unwrap();
    // A turn that nobody takes up lasts for longer than this test.
    let rooms = room("rate_per_s = 0.001\nburst = 1\nmax_active = 3\nclaim_ttl_s = 600\nabandon_after_s = 2");
    let proxy = Proxy::start(&origin, &rooms).await;
    proxy.exhaust().await;
    for _ in 0..20 {
        in_line(&proxy).await;
    }
    let (mut there, _) = in_line(&proxy).await;
    proxy.poll_until(&mut there, |status| status["position"] == 1).await;
    let config = std::fs::read_to_string(&proxy.config).unwrap().replace("rate_per_s = 0.001", "rate_per_s = 100");
    std::fs::write(&proxy.config, config).unwrap();
    proxy.process.signal(testbed::process::Signal::Hangup).unwrap();
    proxy.poll_until(&mut there, |status| status["state"] == "admitted").await;
}

#[tokio::test]
async fn f29_missing_heartbeat_upload_of_a_live_node_and_nobody_is_taken_out() {
    let (origin, redis) = (Origin::start().await.unwrap(), PrivateRedis::start().await.unwrap());
    let wire = Wire::to(redis.addr()).await.unwrap();
    // Two proxies in front of one line share their keys.
    let folder = Scratch::new("seal").unwrap();
    let key = folder.path().join("s1.key");
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&key).unwrap();
    file.write_all(&[7; 32]).unwrap();
    let keys = format!("[tokens]\nseal_keys = [{{ kid = \"s1\", file = \"{}\" }}]\n", key.display());
    let one = Proxy::start_with(&origin, &(keys.clone() + &on(&redis.url())), &room(QUIET)).await;
    let two = Proxy::start_another(&origin, &(keys + &on(&redis.url_via(wire.addr()))), &room(QUIET)).await;
    let mut raw = redis::Client::open(redis.url()).unwrap().get_multiplexed_async_connection().await.unwrap();
    one.exhaust().await;
    let (silent, _) = in_line(&one).await;
    let (mut there, status) = in_line(&two).await;
    let seq = status["seq"].as_u64().unwrap();
    let polled_at_two = |jar: Jar| async {
        let mut jar = jar;
        two.poll_until(&mut jar, |_| true).await;
        jar
    };
    // Both are known to live.
    loop {
        there = polled_at_two(there).await;
        let nodes: u64 = raw.zcard("queue:{concert}:seen:nodes").await.unwrap();
        if nodes == 2 {
            break;
        }
    }
    wire.cut().await.unwrap();
    let began = std::time::Instant::now();
    while !one.process.log().contains("a live node's heartbeats are missing") {
        assert!(began.elapsed() < PATIENCE, "{}", one.process.log());
        there = polled_at_two(there).await;
        let still: Vec<String> = raw.zrangebyscore("queue:{concert}:waiting", seq, seq).await.unwrap();
        assert_eq!(still.len(), 1, "f29: heard by a node that could not say so");
    }
    let in_line: u64 = raw.zcard("queue:{concert}:waiting").await.unwrap();
    assert_eq!(in_line, 2, "nobody is taken out in this round");
    wire.mend().await.unwrap();
    // Polls at one node only, judged by whichever has the lease.
    let began = std::time::Instant::now();
    loop {
        assert!(began.elapsed() < PATIENCE, "{}\n{}", one.process.log(), two.process.log());
        there = polled_at_two(there).await;
        let still: Vec<String> = raw.zrangebyscore("queue:{concert}:waiting", seq, seq).await.unwrap();
        assert_eq!(still.len(), 1, "i4: never out of the line");
        if raw.zcard::<_, u64>("queue:{concert}:waiting").await.unwrap() == 1 {
            break;
        }
    }
    let mut silent = silent;
    let back = two.poll_until(&mut silent, |status| status["stale"] == false).await;
    assert_eq!(back["seq"].as_u64().unwrap(), seq - 1, "back at the old number, at the other node");
}
