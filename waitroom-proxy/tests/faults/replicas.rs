//! The primary is killed while 10,000 wait and people are let in: under Sentinels, and in a cluster.

use testbed::cluster::PrivateCluster;
use testbed::history::Rules;
use testbed::origin::Origin;
use testbed::process::Signal;
use testbed::sentinel::PrivateSentinel;

use crate::crowd::Crowd;
use crate::harness::Proxy;
use crate::site::{BURST, CROWD, PATIENCE, of_rate, proxy, rules};

/// Let in a second while the servers fail.
const RATE: f64 = 60.0;

/// Let in a second at the end.
const FAST: f64 = 1_000.0;

/// Gives the room another rate, and returns when it holds.
async fn change_rate(proxy: &Proxy, from: f64, to: f64) {
    let text = std::fs::read_to_string(&proxy.config).unwrap();
    std::fs::write(&proxy.config, text.replace(&format!("rate_per_s = {from:?}"), &format!("rate_per_s = {to:?}")))
        .unwrap();
    proxy.process.signal(Signal::Hangup).unwrap();
    testbed::wait::until("the rate to hold", PATIENCE, async || {
        proxy.look("/admin/rooms/concert").await.json()["rate_per_s"] == to
    })
    .await
    .unwrap();
}

/// People are let in, the primary is killed, nobody is let in; then people are again, by themselves.
async fn survive(crowd: &mut Crowd, proxy: &Proxy, kill: impl AsyncFnOnce()) {
    crowd.line_up(&[proxy]).await;
    crowd.until_more_inside(100, &[proxy]).await;
    kill().await;
    let killed_ms = crowd.now_ms();
    crowd.until("the silence to be told", &[proxy], Crowd::stale).await;
    crowd.until("the silence to end", &[proxy], |crowd| !crowd.stale()).await;
    crowd.until_more_inside(100, &[proxy]).await;
    println!("{} inside {} ms after the primary was killed", crowd.inside(), crowd.now_ms() - killed_ms);
}

#[tokio::test]
async fn f1_f24_a_sentinel_primary_is_killed_while_10_000_wait_and_people_are_let_in() {
    let (origin, redis) = (Origin::start().await.unwrap(), PrivateSentinel::start().await.unwrap());
    let proxy = proxy(&origin, &redis.url(), "min_acks = 1", &of_rate(RATE)).await;
    let mut crowd = Crowd::of(CROWD);
    let primary = redis.primary().await.unwrap();
    survive(&mut crowd, &proxy, async || primary.kill().await.unwrap()).await;

    // The rate goes to 0, and from there to many: everybody who keeps polling is let in.
    change_rate(&proxy, RATE, 0.0).await;
    let stopped_ms = crowd.now_ms();
    crowd.round(&[&proxy]).await;
    let opened_ms = crowd.now_ms();
    change_rate(&proxy, 0.0, FAST).await;
    crowd.until("everybody to be let in", &[&proxy], |crowd| crowd.inside() == CROWD).await;
    let rates = vec![(0, RATE), (stopped_ms, 0.0), (opened_ms, FAST)];
    crowd.verify_all_in(&origin, &Rules { rates, unsure_places: BURST as u64, ..rules(RATE) });
}

#[tokio::test]
async fn f1_the_primary_of_a_shard_is_killed_while_10_000_wait_and_people_are_let_in() {
    let origin = Origin::start().await.unwrap();
    let cluster = PrivateCluster::options().directive("cluster-require-full-coverage", "no").start().await.unwrap();
    let proxy = proxy(&origin, &cluster.url(), "", &of_rate(RATE)).await;
    let mut crowd = Crowd::of(CROWD);
    let killed_ms = std::cell::Cell::new(0);
    let began = std::time::Instant::now();
    // The slot of `concert` is with the first node.
    survive(&mut crowd, &proxy, async || {
        killed_ms.set(u64::try_from(began.elapsed().as_millis()).unwrap());
        cluster.nodes()[0].kill().await.unwrap();
    })
    .await;
    // Without `min_acks` the last turns of the killed one may be unknown to its replica.
    crowd.lost_turns_since(killed_ms.get().saturating_sub(1_000), RATE as u64);
    crowd.until_more_inside(200, &[&proxy]).await;
    crowd.verify(&origin, &rules(RATE));
}
