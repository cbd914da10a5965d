//! Machines whose clocks are wrong: the store's clock is the one that all proxies share.

use testbed::origin::Origin;
use testbed::redis::PrivateRedis;

use crate::harness::{Jar, Proxy, room};
use crate::keys::Keys;

#[tokio::test]
async fn f7_proxies_whose_clocks_are_two_minutes_apart_are_one_site() {
    let (origin, redis, keys) =
        (Origin::start().await.unwrap(), PrivateRedis::start().await.unwrap(), Keys::make("k1", "s1").await);
    let rooms = room("rate_per_s = 0.001\nburst = 2\nsession_ttl_s = 60\nclaim_ttl_s = 30");
    let top = keys.config() + &format!("[store]\nurl = \"{}\"", redis.url());
    let right = Proxy::start_with(&origin, &top, &rooms).await;
    let ahead = Proxy::start_by_clock(&origin, &top, &rooms, 60).await;
    let behind = Proxy::start_by_clock(&origin, &top, &rooms, -60).await;
    // The fast lane's session is good for 15 s, wherever the second request goes.
    for (first, second) in [(&ahead, &behind), (&behind, &ahead)] {
        let mut jar = Jar::default();
        jar.take(&first.page("/", "").await);
        let (before, sessions) = (jar.0["wr_token_concert"].clone(), origin.requests().len());
        let again = second.page("/", &jar.header()).await;
        assert_eq!((again.body.as_str(), origin.requests().len()), ("ok", sessions + 1), "{before}");
        jar.take(&again);
        assert_eq!(right.page("/", &jar.header()).await.body, "ok", "and the whole session everywhere");
    }
    assert_eq!(right.look("/admin/rooms/concert").await.json()["admitted_total"], 2, "no second token for either");
    // A place in line is one at each of them, and so is a turn.
    let mut waiting = Jar::default();
    waiting.take(&ahead.page("/", "").await);
    let told = behind.poll_until(&mut waiting, |status| status["seq"].is_u64()).await;
    for proxy in [&right, &ahead, &behind] {
        let status = proxy.poll_until(&mut waiting, |_| true).await;
        assert_eq!((&status["seq"], &status["position"]), (&told["seq"], &told["position"]), "i4");
    }
}
