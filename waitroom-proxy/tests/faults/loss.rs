//! A failover that loses acknowledged writes: the replicas' links are cut before the primary is killed.

use testbed::history::Rules;
use testbed::origin::Origin;
use testbed::redis::PrivateRedis;
use testbed::sentinel::PrivateSentinel;

use crate::crowd::Crowd;
use crate::site::{BURST, PATIENCE, of_rate, proxy, rules};

const RATE: f64 = 40.0;

/// Sentinels whose replicas log in as a user of their own, so that they can be locked out.
async fn servers() -> PrivateSentinel {
    let user = "replica on >sync allcommands";
    let options = PrivateSentinel::options().directive("user", user).directive("masteruser", "replica");
    options.directive("masterauth", "sync").start().await.unwrap()
}

/// Cuts the links of all replicas, for good.
async fn lock_replicas_out(primary: &PrivateRedis) {
    let client = redis::Client::open(primary.url()).unwrap();
    let mut raw = client.get_multiplexed_async_connection().await.unwrap();
    for words in [&["ACL", "SETUSER", "replica", "off"][..], &["CLIENT", "KILL", "TYPE", "replica"]] {
        redis::Cmd::new().arg(words).exec_async(&mut raw).await.unwrap();
    }
}

/// How many turns and direct entries the store at `url` knows of.
async fn admitted(server: &PrivateRedis) -> u64 {
    let client = redis::Client::open(server.url()).unwrap();
    let mut raw = client.get_multiplexed_async_connection().await.unwrap();
    redis::cmd("HGET").arg("queue:{concert}:state").arg("adm").query_async(&mut raw).await.unwrap()
}

#[tokio::test]
async fn f2_a_failover_that_loses_joins_and_turns_gives_no_turn_twice_and_every_place_back() {
    let (origin, redis) = (Origin::start().await.unwrap(), servers().await);
    let proxy = proxy(&origin, &redis.url(), "", &of_rate(RATE)).await;
    let mut crowd = Crowd::of(1_500);
    crowd.line_up(&[&proxy]).await;
    crowd.until_more_inside(40, &[&proxy]).await;
    let primary = redis.primary().await.unwrap();
    lock_replicas_out(primary).await;
    let (lost_ms, known) = (crowd.now_ms(), admitted(primary).await);
    // Acknowledged to visitors, and known to no replica: places and turns.
    crowd.grow(500);
    crowd.line_up(&[&proxy]).await;
    crowd.until_more_inside(80, &[&proxy]).await;
    let lost = admitted(primary).await - known;
    assert!(lost >= 40, "{lost}");
    primary.kill().await.unwrap();
    crowd.until("the silence to be told", &[&proxy], Crowd::stale).await;
    crowd.until("the silence to end", &[&proxy], |crowd| !crowd.stale()).await;
    testbed::wait::until("the Sentinels to name another", PATIENCE, async || {
        redis.primary().await.is_ok_and(|now| now.addr() != primary.addr())
    })
    .await
    .unwrap();
    crowd.lost_turns_since(lost_ms, lost + RATE as u64);
    crowd.until_more_inside(100, &[&proxy]).await;
    crowd.verify(&origin, &rules(RATE));
}

#[tokio::test]
async fn f2_with_min_acks_the_same_failover_loses_no_turn() {
    let (origin, redis) = (Origin::start().await.unwrap(), servers().await);
    let proxy = proxy(&origin, &redis.url(), "min_acks = 1", &of_rate(RATE)).await;
    let mut crowd = Crowd::of(1_000);
    crowd.line_up(&[&proxy]).await;
    crowd.until_more_inside(40, &[&proxy]).await;
    let primary = redis.primary().await.unwrap();
    lock_replicas_out(primary).await;
    crowd.until("the silence to be told", &[&proxy], Crowd::stale).await;
    let before = crowd.inside();
    crowd.grow(200);
    for _ in 0..5 {
        crowd.round(&[&proxy]).await;
    }
    assert_eq!(crowd.inside(), before, "what no replica has is told to nobody");
    primary.kill().await.unwrap();
    crowd.line_up(&[&proxy]).await;
    crowd.until_more_inside(100, &[&proxy]).await;
    // Not a turn was lost: the order holds over all of it, and no position rises by more than a last tick's turns.
    crowd.verify(&origin, &Rules { unsure_places: BURST as u64, ..rules(RATE) });
}
