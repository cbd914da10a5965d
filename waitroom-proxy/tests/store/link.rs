//! What a store does over a link that is silent or slow: how long its own calls wait, and that it connects in the end.

use std::time::Duration;

use testbed::redis::PrivateRedis;
use testbed::wire::Wire;
use waitroom_proxy::store::redis::RedisStore;
use waitroom_proxy::store::{Epoch, JoinItem, QueueStore, Seen, Standing, StoreError};

use crate::bed::{BURST, LIFE, SHORT, client, room_name, vid};

/// Nothing here takes this long, unless it hangs: a busy machine makes a slow link slower.
const DEADLINE: Duration = Duration::from_secs(60);
const MOST: Duration = Duration::from_millis(200);
/// The runtime's timers count whole milliseconds, and begin in the middle of one.
const ROUNDED: Duration = Duration::from_millis(1);

#[tokio::test]
async fn f4_a_call_that_fails_does_not_wait_for_another_that_connects() {
    let redis = PrivateRedis::start().await.expect("redis");
    let wire = Wire::to(redis.addr()).await.expect("a wire");
    let store = RedisStore::new(client(&redis.url_via(wire.addr()))).with_limit(MOST);
    let connected = async { while store.ping().await.is_err() {} };
    tokio::time::timeout(DEADLINE, connected).await.expect("connected");
    wire.blackhole().await.expect("silent");
    // Nothing comes over the wire now: time passes only as far as the store itself waits.
    tokio::time::pause();
    let ping = async |after_ms| {
        tokio::time::sleep(Duration::from_millis(after_ms)).await;
        let began = tokio::time::Instant::now();
        assert!(store.ping().await.is_err());
        assert!(began.elapsed() <= MOST + ROUNDED, "waited for {:?}", began.elapsed());
    };
    // The first gives the connection up at 200 ms, the third makes a new one, and the second fails meanwhile.
    tokio::join!(ping(0), ping(100), ping(210), ping(350));
}

#[tokio::test]
async fn a_server_behind_a_slow_link_is_connected_to_in_the_end() {
    let redis = PrivateRedis::options().password("correct").start().await.expect("redis");
    let wire = Wire::to(redis.addr()).await.expect("a wire");
    // A round trip to connect and one for the call are more than a call may take.
    wire.delay(Duration::from_millis(60)).await.expect("slow");
    let (store, room) = (RedisStore::new(client(&redis.url_via(wire.addr()))), room_name());
    let nothing = Epoch { generation: 1, life: 0 };
    let used = async {
        let epoch = loop {
            match store.recover(&room, nothing, Seen::default(), SHORT, BURST, LIFE).await {
                Ok(begun) => break begun.epoch,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        let batch = [JoinItem { vid: vid(1), seq: 0 }];
        loop {
            match store.join(&room, epoch, Seen::default(), &batch).await {
                Ok(joined) => break joined,
                // On every new connection: recover first.
                Err(StoreError::Lost) => drop(store.recover(&room, epoch, Seen::default(), SHORT, BURST, LIFE).await),
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    let joined = tokio::time::timeout(DEADLINE, used).await.expect("connected and used");
    assert_eq!(joined, [Standing::Waiting(1)]);
    assert_eq!(RedisStore::new(client(&redis.url_via(wire.addr()))).check().await, Ok(()), "at start, too");
}
