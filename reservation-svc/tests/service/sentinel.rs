//! Redis under Sentinels: the seat lock and `queue.activated` go on after a failover.

use redis::AsyncCommands;
use reservation_svc::worker::Worker;
use testbed::redis::PrivateRedis;
use testbed::sentinel::PrivateSentinel;
use testbed::wait;

use crate::bed::{Bed, DEADLINE, Wishes};

async fn connection(redis: &PrivateRedis) -> redis::aio::MultiplexedConnection {
    redis::Client::open(redis.url()).unwrap().get_multiplexed_async_connection().await.unwrap()
}

#[tokio::test]
async fn f2_the_seat_lock_and_queue_events_follow_a_failover() {
    let sentinels = PrivateSentinel::start().await.unwrap();
    let bed = Bed::with(Wishes { redis_url: sentinels.url(), ..Wishes::default() }).await;
    let old = sentinels.primary().await.unwrap();
    let worker = format!(
        "[events]\nqueue_redis_url = {:?}\n[queue_token]\naudiences = [\"concert\"]\n\
         [webhook]\nurl = \"http://127.0.0.1:9/\"\nsecret_file = {:?}\n",
        sentinels.url(),
        bed.secret_file()
    );
    let worker = Worker::start(bed.worker_config(&worker)).await.unwrap();
    locks(&bed, old, 1).await;
    relays(&bed, old, 1).await;

    old.kill().await.unwrap();
    wait::until("another primary", DEADLINE, || async { sentinels.primary().await.unwrap().addr() != old.addr() })
        .await
        .unwrap();
    let new = sentinels.primary().await.unwrap();
    locks(&bed, new, 2).await;
    relays(&bed, new, 2).await;
    assert_eq!(worker.stop().await, 0);
    bed.audit().await;
}

/// Holds go on whatever Redis does; soon their locks are at this server.
async fn locks(bed: &Bed, server: &PrivateRedis, round: i64) {
    let keys = connection(server).await;
    let mut column = 0;
    wait::until("a seat lock there", DEADLINE, || {
        column += 1;
        let (seat, user) =
            (format!("{}-{}", ["A", "B"][usize::try_from(round - 1).unwrap()], column % 40 + 1), column + 400 * round);
        let mut keys = keys.clone();
        async move {
            let hold = bed.held(user, &[&seat]).await;
            let locked = keys.exists::<_, bool>(format!("seat:lock:1:{seat}")).await.unwrap();
            bed.as_user(user, "DELETE", &format!("/holds/{hold}")).send().await;
            locked
        }
    })
    .await
    .unwrap();
}

/// What a proxy writes at this server comes to the webhook's queue.
async fn relays(bed: &Bed, server: &PrivateRedis, seq: i64) {
    let mut add = redis::cmd("XADD");
    add.arg(&["queue:{concert}:activated", "*", "generation", "1", "life", "7", "vid", "abcdefghijklmnop", "seq"]);
    add.arg(seq).arg(&["began_ms", "1795161600000", "expires_ms", "1795161660000"]);
    add.exec_async(&mut connection(server).await).await.unwrap();
    let told = "SELECT count(*) FROM webhook_deliveries WHERE event ->> 'topic' = 'queue.activated'";
    wait::until("the event", DEADLINE, || async { bed.sql(told).await == seq.to_string() }).await.unwrap();
}
