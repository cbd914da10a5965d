//! `queue.activated` from the waiting room's Redis to the consumers: repeats, Redis away, a worker that died with some.

use redis::aio::MultiplexedConnection;
use reservation_svc::worker::Worker;
use testbed::redis::PrivateRedis;
use testbed::wait;
use testbed::wire::Wire;

use crate::bed::{Bed, DEADLINE};

const STREAM: &str = "queue:{concert}:activated";
const TOLD: &str = "SELECT count(*) FROM webhook_deliveries WHERE event ->> 'topic' = 'queue.activated'";

async fn connection(redis: &PrivateRedis) -> MultiplexedConnection {
    redis::Client::open(redis.url()).unwrap().get_multiplexed_async_connection().await.unwrap()
}

/// What a proxy writes.
async fn begins(redis: &mut MultiplexedConnection, seq: u32) {
    let seq = seq.to_string();
    let fields = ["generation", "1", "life", "7", "vid", "abcdefghijklmnop", "seq", &seq];
    let times = ["began_ms", "1795161600000", "expires_ms", "1795161660000"];
    let mut add = redis::cmd("XADD");
    add.arg(&[STREAM, "*"]).arg(&fields).arg(&times);
    add.exec_async(redis).await.unwrap();
}

/// A worker's sections: the stream, and a webhook that nobody answers, so that what it is to be told of stays.
fn sections(bed: &Bed, redis_url: &str) -> String {
    format!(
        "[events]\nqueue_redis_url = {redis_url:?}\n[queue_token]\naudiences = [\"concert\", \"shop\"]\n\
         [webhook]\nurl = \"http://127.0.0.1:9/\"\nsecret_file = {:?}\n",
        bed.secret_file(),
    )
}

#[tokio::test]
async fn visitors_let_in_are_told_of_once_also_when_redis_was_away() {
    let (bed, redis) = (Bed::start().await, PrivateRedis::start().await.unwrap());
    let wire = Wire::to(redis.addr()).await.unwrap();
    let mut proxy = connection(&redis).await;
    let config = sections(&bed, &redis.url_via(wire.addr()));
    let one = Worker::start(bed.worker_config(&config)).await.unwrap();
    let two = Worker::start(bed.worker_config(&config)).await.unwrap();
    for seq in [1, 2, 2, 3, 1] {
        begins(&mut proxy, seq).await;
    }
    wait::until("three", DEADLINE, || async { bed.sql(TOLD).await == "3" }).await.unwrap();

    wire.cut().await.unwrap();
    let admin = crate::client::Client::to(one.admin_addr());
    wait::until("the trouble to be seen", DEADLINE, || async {
        admin.request("GET", "/readyz").send().await.json["failing"]["queue_events"].is_string()
    })
    .await
    .unwrap();
    for seq in 4..=6 {
        begins(&mut proxy, seq).await;
    }
    // The rest of the worker goes on.
    bed.held(1, &["A-1"]).await;
    wait::until("the outbox", DEADLINE, || async {
        bed.sql("SELECT count(*) FROM outbox WHERE relayed_at IS NULL").await == "0"
    })
    .await
    .unwrap();
    wire.mend().await.unwrap();
    wait::until("six", DEADLINE, || async { bed.sql(TOLD).await == "6" }).await.unwrap();
    assert_eq!((one.stop().await, two.stop().await), (0, 0));
    assert_eq!(bed.sql(TOLD).await, "6");
}

#[tokio::test]
async fn what_a_dead_worker_had_is_handed_out_again() {
    let (bed, redis) = (Bed::start().await, PrivateRedis::start().await.unwrap());
    let mut proxy = connection(&redis).await;
    begins(&mut proxy, 1).await;
    let redis_cli = |words: &str| {
        let mut command = redis::Cmd::new();
        for word in words.split(' ') {
            command.arg(word);
        }
        let mut connection = proxy.clone();
        async move { command.query_async::<redis::Value>(&mut connection).await.unwrap() }
    };
    redis_cli(&format!("XGROUP CREATE {STREAM} reservation-svc 0")).await;
    redis_cli(&format!("XREADGROUP GROUP reservation-svc reservation-svc COUNT 10 STREAMS {STREAM} >")).await;
    let worker = Worker::start(bed.worker_config(&sections(&bed, &redis.url()))).await.unwrap();
    begins(&mut connection(&redis).await, 2).await;
    wait::until("the new one", DEADLINE, || async { bed.sql(TOLD).await == "1" }).await.unwrap();
    // As if a long time had passed since it was handed out.
    let pending = redis_cli(&format!("XPENDING {STREAM} reservation-svc - + 1")).await;
    let pending: Vec<(String, String, u64, u64)> = redis::FromRedisValue::from_redis_value(pending).unwrap();
    redis_cli(&format!("XCLAIM {STREAM} reservation-svc reservation-svc 0 {} IDLE 60000", pending[0].0)).await;
    wait::until("the old one", DEADLINE, || async { bed.sql(TOLD).await == "2" }).await.unwrap();
    assert_eq!(worker.stop().await, 0);
}
