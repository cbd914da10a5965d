//! F22: an operator resets a room in which 200,000 wait: a build for tests takes half a minute to put a million in line,
//! and the reset costs the same (it unlinks the keys).

use std::time::Duration;

use testbed::origin::Origin;
use testbed::redis::PrivateRedis;
use waitroom_proxy::store::redis::RedisStore;
use waitroom_proxy::store::{Detail, JoinItem, MAX_BATCH, QueueStore as _, RoomName, Standing, Vid};

use crate::crowd::{Crowd, hears};
use crate::harness::Proxy;
use crate::site::{Keys, of_rate, rules};

/// Who wait without polling, and those who poll.
const SILENT: u64 = 200_000;
const CROWD: usize = 300;

/// Nobody is let in.
const RATE: f64 = 0.0;

fn vid(number: u64) -> Vid {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&number.to_be_bytes());
    Vid(bytes)
}

/// Puts that many in line, by the store itself: no proxy is needed for it.
async fn fill(url: &str, count: u64) {
    let store = RedisStore::new(redis::Client::open(url).unwrap()).with_limit(Duration::from_secs(20));
    let room = RoomName::new("concert").unwrap();
    let picture = store.snapshot(&room, None, Detail::Counters).await.unwrap();
    store.recover(&room, picture.epoch, picture.seen(), Duration::ZERO, 0.0, 1).await.unwrap();
    for first in (0..count).step_by(MAX_BATCH) {
        let batch: Vec<JoinItem> =
            (first..count.min(first + MAX_BATCH as u64)).map(|who| JoinItem { vid: vid(who), seq: 0 }).collect();
        let standings = store.join(&room, picture.epoch, picture.seen(), &batch).await.unwrap();
        assert!(standings.iter().all(|standing| matches!(standing, Standing::Waiting(_))));
    }
}

#[tokio::test]
async fn f22_i11_a_room_is_reset_while_200_000_wait_and_everybody_rejoins_without_an_error() {
    let (origin, redis, keys) =
        (Origin::start().await.unwrap(), PrivateRedis::start().await.unwrap(), Keys::make().await);
    let top = keys.with_store(&redis.url(), "");
    let one = Proxy::start_with(&origin, &top, &of_rate(RATE)).await;
    let two = Proxy::start_another(&origin, &top, &of_rate(RATE)).await;
    let proxies = [&one, &two];
    fill(&redis.url(), SILENT).await;
    let mut crowd = Crowd::of(CROWD);
    crowd.line_up(&proxies).await;
    crowd.round(&proxies).await;
    let waiting = async || one.look("/admin/rooms/concert").await.json()["waiting"].as_u64().unwrap();
    assert_eq!(waiting().await, SILENT + CROWD as u64);
    assert!(crowd.told().all(|told| told["position"].as_u64().unwrap() > SILENT), "behind all of them");
    crowd.verify(&origin, &rules(RATE));

    // Polls go on while it is reset; none of them may be answered with an error.
    crowd.forget();
    let (reset, ()) = tokio::join!(one.order("/admin/rooms/concert/reset"), crowd.round(&proxies));
    assert_eq!((reset.status, &reset.json()["generation"]), (200, &2.into()), "{reset:?}");
    crowd.verify_no_error(&rules(RATE));
    hears(&one).await;
    hears(&two).await;
    // Every ticket of before is void: everybody gets a new number, from 2 on, and nobody two.
    crowd.forget();
    let new = 2..=CROWD as u64 + 1;
    let rejoined = |crowd: &Crowd| crowd.told().all(|told| told["seq"].as_u64().is_some_and(|seq| new.contains(&seq)));
    crowd.until("everybody to have a new number", &proxies, rejoined).await;
    assert!(crowd.numbers().iter().copied().eq(new), "i11");
    crowd.round(&proxies).await;
    assert!(crowd.told().all(|told| told["position"].as_u64().unwrap() <= CROWD as u64), "nobody else is in line");
    assert_eq!(waiting().await, CROWD as u64);
    crowd.verify(&origin, &rules(RATE));
}
