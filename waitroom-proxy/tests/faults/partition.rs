//! Two proxies in front of one line: one is cut off from Redis for half a minute, and killed later.

use testbed::origin::Origin;
use testbed::redis::PrivateRedis;
use testbed::wire::Wire;

use crate::crowd::Crowd;
use crate::harness::Proxy;
use crate::site::{Keys, of_rate, rules};

const RATE: f64 = 15.0;

/// How long one of them is cut off, by the store's clock.
const CUT_OFF_MS: u64 = 30_000;

async fn store_ms(proxy: &Proxy) -> u64 {
    proxy.look("/admin/rooms/concert").await.json()["as_of_ms"].as_u64().unwrap()
}

#[tokio::test]
async fn f9_f11_one_of_two_proxies_is_cut_off_for_30_s_and_then_killed_with_its_connections() {
    let (origin, redis) = (Origin::start().await.unwrap(), PrivateRedis::start().await.unwrap());
    let (wire, keys) = (Wire::to(redis.addr()).await.unwrap(), Keys::make().await);
    let one = Proxy::start_with(&origin, &keys.with_store(&redis.url(), ""), &of_rate(RATE)).await;
    let two = Proxy::start_another(&origin, &keys.with_store(&redis.url_via(wire.addr()), ""), &of_rate(RATE)).await;
    let mut crowd = Crowd::of(2_000);
    crowd.line_up(&[&one, &two]).await;
    crowd.until_more_inside(20, &[&one, &two]).await;

    wire.blackhole().await.unwrap();
    let began_ms = store_ms(&one).await;
    let before = crowd.inside();
    while store_ms(&one).await < began_ms + CUT_OFF_MS {
        crowd.round(&[&one, &two]).await;
        // F11 on the way: the other one sends its scripts again.
        let mut raw = redis::Client::open(redis.url()).unwrap().get_multiplexed_async_connection().await.unwrap();
        redis::cmd("SCRIPT").arg("FLUSH").exec_async(&mut raw).await.unwrap();
    }
    assert!(crowd.inside() > before, "the other one goes on letting people in");
    assert_eq!(two.look("/readyz").await.status, 503);
    wire.mend().await.unwrap();
    crowd.until("the silence to end", &[&one, &two], |crowd| !crowd.stale()).await;
    crowd.until_more_inside(20, &[&two]).await;

    // F9: every connection that it had breaks; whoever polled there goes on at the other.
    let mut open = Vec::new();
    for _ in 0..500 {
        open.push(tokio::net::TcpStream::connect(two.visitors).await.unwrap());
    }
    two.process.kill().await.unwrap();
    drop(open);
    crowd.until_more_inside(50, &[&one]).await;
    crowd.verify(&origin, &rules(RATE));
}
