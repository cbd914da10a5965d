//! F23: the keys of two proxies are rotated while a crowd waits and people are let in.

use testbed::origin::Origin;
use testbed::redis::PrivateRedis;

use crate::crowd::Crowd;
use crate::harness::Proxy;
use crate::site::{Keys, of_rate, rules};

const RATE: f64 = 40.0;

/// Gives both proxies these keys, one after the other, with a round of polls in between and after.
async fn reload(crowd: &mut Crowd, proxies: &[&Proxy], keys: &Keys) {
    for proxy in proxies {
        let old = std::fs::read_to_string(&proxy.config).unwrap();
        let (before, rest) = old.split_once("[tokens]").unwrap();
        let after = &rest[rest.find("[store]").unwrap()..];
        std::fs::write(&proxy.config, format!("{before}{}{after}", keys.tokens())).unwrap();
        let reloaded = proxy.order("/admin/reload").await;
        assert_eq!(reloaded.status, 200, "{reloaded:?}");
        crowd.round(proxies).await;
    }
}

#[tokio::test]
async fn f23_keys_are_rotated_at_two_proxies_in_the_middle_of_the_queue_and_nobody_loses_a_place() {
    let (origin, redis, mut keys) =
        (Origin::start().await.unwrap(), PrivateRedis::start().await.unwrap(), Keys::make().await);
    let top = keys.with_store(&redis.url(), "");
    let one = Proxy::start_with(&origin, &top, &of_rate(RATE)).await;
    let two = Proxy::start_another(&origin, &top, &of_rate(RATE)).await;
    let proxies = [&one, &two];
    let mut crowd = Crowd::of(1_000);
    crowd.line_up(&proxies).await;
    crowd.until_more_inside(40, &proxies).await;
    // The order of an operator's manual: known everywhere before it is used anywhere.
    keys.add("k2", "s2").await;
    reload(&mut crowd, &proxies, &keys).await;
    keys.turn();
    reload(&mut crowd, &proxies, &keys).await;
    // Who comes now gets the new ones, and is told apart from nobody.
    crowd.grow(200);
    crowd.line_up(&proxies).await;
    for proxy in proxies {
        let jwks = proxy.request("GET", "/.well-known/jwks.json", &[]).await.body;
        assert!(jwks.contains("\"k2\"") && jwks.contains("\"k1\""), "{jwks}");
    }
    crowd.until("everybody to be let in", &proxies, |crowd| crowd.inside() == 1_200).await;
    crowd.verify_all_in(&origin, &rules(RATE));
}
