//! A primary that is lost under Sentinels, as visitors and operators see it.

use testbed::origin::Origin;
use testbed::sentinel::PrivateSentinel;

use crate::harness::{Jar, PATIENCE, Proxy, room};

#[tokio::test]
async fn f1_a_failover_keeps_every_place_and_needs_no_restart() {
    const VISITORS: usize = 8;
    let (origin, redis) = (Origin::start().await.unwrap(), PrivateSentinel::start().await.unwrap());
    let top = format!("[store]\nurl = \"{}\"\nmin_acks = 1", redis.url());
    let proxy = Proxy::start_with(&origin, &top, &room("rate_per_s = 1\nburst = 1")).await;
    proxy.exhaust().await;
    let mut line = Vec::new();
    for _ in 0..VISITORS {
        let mut jar = Jar::default();
        jar.take(&proxy.page("/", "").await);
        let status = proxy.poll_until(&mut jar, |status| status["seq"].is_u64()).await;
        line.push((jar, status["seq"].clone()));
    }
    redis.primary().await.unwrap().kill().await.unwrap();
    // The last in line still waits, whatever the pace of the machine.
    let (jar, seq) = line.last_mut().unwrap();
    let stale = proxy.poll_until(jar, |status| status["stale"] == true).await;
    assert_eq!(&stale["seq"], seq, "i4");
    assert_eq!(proxy.look("/readyz").await.status, 503);
    let back = proxy.poll_until(jar, |status| status["stale"] == false).await;
    assert!(back["seq"] == *seq || back["state"] == "admitted", "i4: {back}");
    for (jar, seq) in &mut line {
        let status = proxy.poll_until(jar, |status| status["state"] == "admitted").await;
        assert!(status["seq"].is_null() || status["seq"] == *seq, "i4: {status}");
    }
    testbed::wait::until("ready", PATIENCE, async || proxy.look("/readyz").await.status == 200).await.unwrap();
}
