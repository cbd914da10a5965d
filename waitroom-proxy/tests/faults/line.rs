//! One Redis that loses replies, stands still and comes back empty while 10,000 wait at two proxies.

use std::cell::Cell;

use testbed::history::Rules;
use testbed::origin::Origin;
use testbed::redis::PrivateRedis;
use testbed::wire::Wire;

use crate::crowd::{Crowd, hears};
use crate::harness::Proxy;
use crate::site::{CROWD, Keys, PATIENCE, clock_ms, of_rate, rules};

/// Slow enough that thousands still wait at the end, also where each round takes long.
const RATE: f64 = 20.0;

/// How long Redis stands still, by the clock of another one.
const STALL_MS: u64 = 5_000;

/// The longest pause between two polls, jitter included.
const POLL_INTERVAL_MS: u64 = 36_000;

async fn granted(proxy: &Proxy) -> u64 {
    proxy.look("/admin/rooms/concert").await.json()["granted"].as_u64().unwrap()
}

/// F5: what was asked has its effect, and nobody hears of it.
async fn lose_replies(crowd: &mut Crowd, wire: &Wire, proxies: &[&Proxy]) {
    wire.lose_replies().await.unwrap();
    crowd.until("the silence to be told", proxies, Crowd::stale).await;
    wire.mend().await.unwrap();
    crowd.until("the silence to end", proxies, |crowd| !crowd.stale()).await;
    crowd.until_more_inside(50, proxies).await;
}

/// F4: it stands still.
async fn stall(crowd: &mut Crowd, redis: &PrivateRedis, proxies: &[&Proxy]) {
    let other = PrivateRedis::start().await.unwrap();
    redis.pause_process().await.unwrap();
    let began_ms = clock_ms(&other).await;
    crowd.until("the silence to be told", proxies, Crowd::stale).await;
    crowd.round(proxies).await;
    let before = crowd.inside();
    while clock_ms(&other).await < began_ms + STALL_MS {
        crowd.round(proxies).await;
    }
    assert_eq!(crowd.inside(), before, "nobody is let in");
    redis.resume_process().await.unwrap();
    crowd.until("the silence to end", proxies, |crowd| !crowd.stale()).await;
    crowd.until_more_inside(50, proxies).await;
}

#[tokio::test]
async fn f3_f4_f5_replies_lost_a_stall_and_an_empty_redis_while_10_000_wait() {
    let (origin, redis) = (Origin::start().await.unwrap(), PrivateRedis::start().await.unwrap());
    let (wire, keys) = (Wire::to(redis.addr()).await.unwrap(), Keys::make().await);
    let top = keys.with_store(&redis.url_via(wire.addr()), "");
    let one = Proxy::start_with(&origin, &top, &of_rate(RATE)).await;
    let two = Proxy::start_another(&origin, &top, &of_rate(RATE)).await;
    let proxies = [&one, &two];
    let mut crowd = Crowd::of(CROWD);
    crowd.line_up(&proxies).await;
    crowd.until_more_inside(100, &proxies).await;
    lose_replies(&mut crowd, &wire, &proxies).await;
    stall(&mut crowd, &redis, &proxies).await;

    // F3: it is empty. How people come back (F26) is seen in the simulation, where they do as they are told.
    let outside = crowd.numbers();
    let emptied_ms = crowd.now_ms();
    let emptied_store_ms = clock_ms(&redis).await;
    // Turns not taken up yet are lost with everything else; their owners go back to the front.
    let granted_before = granted(&one).await;
    let mut raw = redis::Client::open(redis.url()).unwrap().get_multiplexed_async_connection().await.unwrap();
    redis::cmd("FLUSHALL").exec_async(&mut raw).await.unwrap();
    let restored = async || proxies.iter().any(|proxy| proxy.process.log().contains("it is restored"));
    testbed::wait::until("the line to be restored", PATIENCE, restored).await.unwrap();
    hears(&one).await;
    hears(&two).await;
    let back = async |raw: &mut redis::aio::MultiplexedConnection| -> Vec<u64> {
        let all: Vec<(String, u64)> = redis::cmd("ZRANGE")
            .arg(&["queue:{concert}:waiting", "0", "-1", "WITHSCORES"])
            .query_async(raw)
            .await
            .unwrap();
        all.into_iter().map(|(_, seq)| seq).collect()
    };
    // One poll brings everybody back whom the store answers in time.
    crowd.round(&proxies).await;
    while back(&mut raw).await.len() < outside.len() {
        crowd.round(&proxies).await;
        let took_ms = clock_ms(&redis).await - emptied_store_ms;
        assert!(took_ms < POLL_INTERVAL_MS, "not everybody is back after {took_ms} ms");
    }
    assert!(back(&mut raw).await.iter().eq(&outside), "i4: everybody is back, at the old number, and nobody else");
    crowd.lost_turns_since(emptied_ms, granted_before + RATE as u64);

    // Nobody is let in until everybody had time to come back; then people are, by themselves.
    let held_ms = crowd.now_ms();
    let before = crowd.inside();
    let resumed_ms = Cell::new(held_ms);
    let resumed = async || {
        let now_ms = crowd.now_ms();
        let none = granted(&one).await == 0;
        if none {
            resumed_ms.set(now_ms);
        }
        !none
    };
    testbed::wait::until("turns to be given again", PATIENCE, resumed).await.unwrap();
    assert_eq!(crowd.inside(), before);
    crowd.until_more_inside(100, &proxies).await;
    let rates = vec![(0, RATE), (held_ms, 0.0), (resumed_ms.get(), RATE)];
    crowd.verify(&origin, &Rules { rates, ..rules(RATE) });
}
