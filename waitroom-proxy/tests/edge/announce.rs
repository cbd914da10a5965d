//! `queue.activated`: sessions that begin are told of in a stream, and nobody waits for that.

use redis::AsyncCommands as _;
use testbed::origin::Origin;
use testbed::redis::PrivateRedis;
use testbed::wait;

use crate::harness::{Jar, PATIENCE, Proxy, room};

const STREAM: &str = "queue:{concert}:activated";

async fn bed() -> (Origin, PrivateRedis, Proxy, redis::aio::MultiplexedConnection) {
    let (origin, redis) = (Origin::start().await.unwrap(), PrivateRedis::start().await.unwrap());
    let top = format!("[store]\nurl = \"{}\"", redis.url());
    let proxy = Proxy::start_with(&origin, &top, &room("rate_per_s = 5.0\nburst = 2")).await;
    let client = redis::Client::open(redis.url()).unwrap();
    let connection = client.get_multiplexed_async_connection().await.unwrap();
    (origin, redis, proxy, connection)
}

#[tokio::test]
async fn sessions_that_begin_are_told_of_once_each() {
    let (_origin, _redis, proxy, connection) = bed().await;
    let mut inside = Jar::default();
    inside.take(&proxy.page("/", "").await);
    inside.take(&proxy.page("/", &inside.header()).await);
    proxy.exhaust().await;
    let mut waiting = Jar::default();
    waiting.take(&proxy.page("/", "").await);
    let begun = proxy.poll_until(&mut waiting, |status| status["state"] == "admitted").await;
    assert!(begun["expires_at_ms"].is_u64(), "{begun}");
    let sessions = wait::until_some("the last to be told of", PATIENCE, || {
        let mut connection = connection.clone();
        async move {
            let range = redis::cmd("XRANGE").arg(&[STREAM, "-", "+"]).take();
            let entries: Vec<(String, Vec<(String, String)>)> = range.query_async(&mut connection).await.unwrap();
            (entries.len() >= 3).then_some(entries)
        }
    })
    .await
    .unwrap();
    let field = |entry: &Vec<(String, String)>, name: &str| {
        entry.iter().find(|(one, _)| one == name).map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let mut seqs: Vec<u64> = sessions.iter().map(|(_, entry)| field(entry, "seq").parse().unwrap()).collect();
    seqs.sort_unstable();
    seqs.dedup();
    assert_eq!(seqs.len(), sessions.len(), "renewals are not told of");
    for (_, entry) in &sessions {
        assert_eq!(field(entry, "vid").len(), 16, "{entry:?}");
        assert_eq!(field(entry, "generation"), "1");
        assert_ne!(field(entry, "life"), "0");
        let ms = |name: &str| field(entry, name).parse::<u64>().unwrap();
        assert!(ms("expires_ms") > ms("began_ms"), "{entry:?}");
    }
}

#[tokio::test]
async fn nobody_waits_for_the_stream_and_what_was_not_told_is_counted() {
    let (_origin, _redis, proxy, mut connection) = bed().await;
    let _: () = connection.set(STREAM, "something else").await.unwrap();
    let mut inside = Jar::default();
    inside.take(&proxy.page("/", "").await);
    assert_eq!(proxy.page("/", &inside.header()).await.status, 200);
    wait::until("it to be counted", PATIENCE, || async {
        proxy.look("/metrics").await.body.contains("waitroom_unannounced_total{room=\"concert\"} 1")
    })
    .await
    .unwrap();
    assert_eq!(proxy.look("/readyz").await.status, 200);
}
