//! One Redis that loses replies, stands still and comes back empty while 10,000 wait.

use testbed::origin::Origin;
use testbed::redis::PrivateRedis;
use testbed::wire::Wire;

use crate::crowd::Crowd;
use crate::site::{CROWD, of_rate, proxy, rules};

const RATE: f64 = 60.0;

#[tokio::test]
async fn f3_f4_f5_replies_lost_a_stall_and_an_empty_redis_while_10_000_wait() {
    let (origin, redis) = (Origin::start().await.unwrap(), PrivateRedis::start().await.unwrap());
    let wire = Wire::to(redis.addr()).await.unwrap();
    let proxy = proxy(&origin, &redis.url_via(wire.addr()), "", &of_rate(RATE)).await;
    let mut crowd = Crowd::of(CROWD);
    crowd.line_up(&[&proxy]).await;
    crowd.until_more_inside(100, &[&proxy]).await;

    // F5: what was asked has its effect, and nobody hears of it.
    wire.lose_replies().await.unwrap();
    crowd.until("the silence to be told", &[&proxy], Crowd::stale).await;
    wire.mend().await.unwrap();
    crowd.until("the silence to end", &[&proxy], |crowd| !crowd.stale()).await;
    crowd.until_more_inside(50, &[&proxy]).await;

    // F4: it stands still.
    redis.pause_process().await.unwrap();
    crowd.until("the silence to be told", &[&proxy], Crowd::stale).await;
    let before = crowd.inside();
    crowd.round(&[&proxy]).await;
    assert_eq!(crowd.inside(), before, "nobody is let in");
    redis.resume_process().await.unwrap();
    crowd.until("the silence to end", &[&proxy], |crowd| !crowd.stale()).await;
    crowd.until_more_inside(50, &[&proxy]).await;

    // F3: it is empty. How people come back (F26) is seen in the simulation, where they do as they are told.
    let outside = CROWD - crowd.inside();
    let emptied_ms = crowd.now_ms();
    // Turns not taken up yet are lost with everything else; their owners go back to the front.
    let granted = proxy.look("/admin/rooms/concert").await.json()["granted"].as_u64().unwrap();
    let mut raw = redis::Client::open(redis.url()).unwrap().get_multiplexed_async_connection().await.unwrap();
    redis::cmd("FLUSHALL").exec_async(&mut raw).await.unwrap();
    proxy.process.wait_for_line("it is restored", crate::harness::PATIENCE).await.unwrap();
    crowd.round(&[&proxy]).await;
    let waiting: usize = redis::cmd("ZCARD").arg("queue:{concert}:waiting").query_async(&mut raw).await.unwrap();
    assert!(waiting + 50 >= outside && waiting <= outside, "one poll each: {waiting} of {outside} are back in line");
    crowd.lost_turns_since(emptied_ms, granted + RATE as u64);
    crowd.round(&[&proxy]).await;
    crowd.round(&[&proxy]).await;
    crowd.verify(&origin, &rules(RATE));
}
