//! The relay to Kafka, on librdkafka's own brokers: they speak the protocol over sockets, inside this process.
//! F19: brokers down; consumers through Kafka; order of each key.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::Message;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::mocking::MockCluster;
use rdkafka::types::RDKafkaRespErr;
use reservation_svc::event::Event;
use reservation_svc::worker::Worker;
use reservation_svc::worker::kafka::topics;
use reservation_svc::worker::operator;
use serde_json::json;
use testbed::wait;

use crate::bed::{Bed, DEADLINE};
use crate::client::Client;

const PENDING: &str = "SELECT count(*) FROM outbox WHERE relayed_at IS NULL";

/// Events that the consumers have not counted yet.
const MISSING: &str = "SELECT (SELECT count(*) FROM outbox) - (SELECT coalesce(sum(events), 0) FROM concert_minutes)";

/// After an outage everybody finds each other again, one after the other.
const AFTERWARDS: Duration = Duration::from_secs(60);

fn cluster() -> MockCluster<'static, rdkafka::producer::DefaultProducerContext> {
    let cluster = MockCluster::new(1).unwrap();
    for topic in topics() {
        cluster.create_topic(topic, 3, 1).unwrap();
    }
    cluster
}

/// Everything in the topics, as it lies there: `count` different events at least.
async fn lies_there(brokers: &str, count: usize) -> Vec<Event> {
    let consumer: StreamConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        // Of its own, or it would go on behind what was read before.
        .set("group.id", format!("test-{}", uuid::Uuid::now_v7()))
        .set("auto.offset.reset", "earliest")
        .create()
        .unwrap();
    consumer.subscribe(&topics()).unwrap();
    let (mut events, mut ids) = (Vec::new(), HashSet::new());
    while ids.len() < count {
        let message = tokio::time::timeout(DEADLINE, consumer.recv()).await.unwrap().unwrap();
        let event: Event = serde_json::from_slice(message.payload().unwrap()).unwrap();
        assert_eq!(message.topic(), event.topic);
        assert_eq!(message.key(), Some(event.key.as_bytes()));
        ids.insert(event.id);
        events.push(event);
    }
    events
}

async fn some_happen(bed: &Bed, users: std::ops::RangeInclusive<i64>) {
    for user in users {
        let schedule = user % 3 + 1;
        let body = json!({ "seats": [format!("A-{user}")] });
        let hold = bed.as_user(user, "POST", &format!("/schedules/{schedule}/holds")).json(&body).send().await;
        assert_eq!(hold.status, 201, "{}", hold.text());
        if user % 2 == 0 {
            assert_eq!(bed.pay(user, hold.json["hold_id"].as_str().unwrap()).await.status, 201);
        }
    }
}

#[tokio::test]
async fn f19_brokers_that_are_down_lose_nothing_and_keep_the_order() {
    let bed = Bed::start().await;
    let cluster = cluster();
    let brokers = cluster.bootstrap_servers();
    let section = format!("kafka_brokers = [{brokers:?}]\nkafka_options = [\"reconnect.backoff.max.ms=200\"]\n");
    let worker = Worker::start(bed.worker_config(&section)).await.unwrap();
    some_happen(&bed, 1..=10).await;
    wait::until("the first to be relayed", DEADLINE, || async { bed.sql(PENDING).await == "0" }).await.unwrap();

    cluster.broker_down(1).unwrap();
    some_happen(&bed, 11..=25).await;
    failing(&worker, "relay").await;
    assert_ne!(bed.sql(PENDING).await, "0", "what no broker has is not marked");
    some_happen(&bed, 26..=40).await;
    cluster.broker_up(1).unwrap();
    wait::until("the rest to be relayed", AFTERWARDS, || async { bed.sql(PENDING).await == "0" }).await.unwrap();

    assert_all_lies_there_in_order(&bed, &brokers, "true").await;
    // The consumers have them by way of Kafka.
    wait::until("the statistics", AFTERWARDS, || async { bed.sql(MISSING).await == "0" }).await.unwrap();
    assert_eq!(worker.stop().await, 0);
}

/// That the topics have every event for which `which` is true, in the order of each topic and schedule.
async fn assert_all_lies_there_in_order(bed: &Bed, brokers: &str, which: &str) {
    let count: usize = bed.sql(&format!("SELECT count(*) FROM outbox WHERE {which}")).await.parse().unwrap();
    let events = lies_there(brokers, count).await;
    let mut had = HashSet::new();
    let mut read: HashMap<(String, String), Vec<String>> = HashMap::new();
    for event in events.into_iter().filter(|event| had.insert(event.id)) {
        read.entry((event.topic, event.key)).or_default().push(event.id.to_string());
    }
    for ((topic, key), ids) in read {
        let written = format!(
            "SELECT string_agg(event_id::text, ' ' ORDER BY id) FROM outbox
             WHERE topic = '{topic}' AND schedule_id = {key} AND {which}"
        );
        assert_eq!(bed.sql(&written).await, ids.join(" "), "{topic} of {key}");
    }
}

/// The outage of ten minutes that F19 means is one that is longer than the client's patience: its time for a message
/// (`message.timeout.ms`) and for a consumer that does not ask (`max.poll.interval.ms`). Both are five minutes and more
/// as shipped; here they are two and six seconds, and the outage is longer than either.
#[tokio::test]
async fn f19_an_outage_longer_than_the_patience_of_the_client() {
    const OUTAGE: Duration = Duration::from_secs(8);
    let bed = Bed::start().await;
    let cluster = cluster();
    let brokers = cluster.bootstrap_servers();
    let options = ["message.timeout.ms=2000", "session.timeout.ms=6000", "max.poll.interval.ms=6000"];
    let section = format!(
        "kafka_brokers = [{brokers:?}]\nkafka_options = {:?}\n",
        [&options[..], &["heartbeat.interval.ms=1000", "reconnect.backoff.max.ms=200"]].concat()
    );
    let worker = Worker::start(bed.worker_config(&section)).await.unwrap();
    some_happen(&bed, 1..=10).await;
    wait::until("the statistics", AFTERWARDS, || async { bed.sql(MISSING).await == "0" }).await.unwrap();

    // The consumers have some in hand that they can not write: they do not ask Kafka meanwhile.
    let mut lock = bed.pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE concert_minutes IN EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
    some_happen(&bed, 11..=20).await;
    wait::until("them to be relayed", DEADLINE, || async { bed.sql(PENDING).await == "0" }).await.unwrap();
    failing(&worker, "kafka_source").await;
    cluster.broker_down(1).unwrap();
    let down = Instant::now();
    some_happen(&bed, 21..=30).await;
    failing(&worker, "relay").await;
    wait::until("the outage to be long", DEADLINE, || async { down.elapsed() > OUTAGE }).await.unwrap();
    assert_ne!(bed.sql(PENDING).await, "0", "what no broker has is not marked");
    some_happen(&bed, 31..=40).await;
    cluster.broker_up(1).unwrap();
    lock.rollback().await.unwrap();

    wait::until("the rest to be relayed", AFTERWARDS, || async { bed.sql(PENDING).await == "0" }).await.unwrap();
    assert_all_lies_there_in_order(&bed, &brokers, "true").await;
    wait::until("the statistics", AFTERWARDS, || async { bed.sql(MISSING).await == "0" }).await.unwrap();
    assert_eq!(worker.stop().await, 0);
}

/// Waits until a task of the worker fails; says why it does.
async fn failing(worker: &Worker, task: &str) -> String {
    let admin = Client::to(worker.admin_addr());
    wait::until_some(&format!("{task} to fail"), DEADLINE, || async {
        let ready = admin.request("GET", "/readyz").send().await;
        ready.json["failing"][task].as_str().map(str::to_owned)
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn an_event_that_is_too_large_is_laid_aside_and_the_others_go_on() {
    let bed = Bed::start().await;
    let cluster = cluster();
    let brokers = cluster.bootstrap_servers();
    let large = "INSERT INTO outbox (topic, schedule_id, payload)
                 VALUES ('hold.created', 1, jsonb_build_object('lines', '[]'::jsonb, 'note', repeat('x', 5000)))";
    some_happen(&bed, 1..=5).await;
    bed.sql(large).await;
    some_happen(&bed, 6..=10).await;
    let section = format!("kafka_brokers = [{brokers:?}]\nkafka_options = [\"message.max.bytes=4000\"]\n");
    let worker = Worker::start(bed.worker_config(&section)).await.unwrap();
    wait::until("all to be dealt with", AFTERWARDS, || async { bed.sql(PENDING).await == "0" }).await.unwrap();
    assert_all_lies_there_in_order(&bed, &brokers, "payload -> 'note' IS NULL").await;
    let dead = "SELECT consumer, event -> 'payload' ? 'note', reason LIKE '%too large%' FROM dead_letters";
    assert_eq!(bed.sql(dead).await, "kafka|t|t");
    assert_eq!(worker.stop().await, 0);

    // With the same limit it stays; with a larger one it goes.
    let ledger = crate::bed::ledger(&bed.database.url());
    let replay = async |options: &str| {
        let section = format!("kafka_brokers = [{brokers:?}]\nkafka_options = [{options}]\n");
        operator::replay_dead_letters(&bed.worker_config(&section), &ledger, None).await.unwrap()
    };
    assert!(replay("\"message.max.bytes=4000\"").await.ends_with("0 replayed"));
    assert_eq!(bed.sql("SELECT count(*) FROM dead_letters").await, "1");
    assert_eq!(replay("").await, "1 replayed");
    assert_eq!(bed.sql("SELECT count(*) FROM dead_letters").await, "0");
    lies_there(&brokers, bed.sql("SELECT count(*) FROM outbox").await.parse().unwrap()).await;
}

#[tokio::test]
async fn a_topic_that_is_missing_holds_up_only_those_who_need_it() {
    let bed = Bed::start().await;
    let cluster = cluster();
    let brokers = cluster.bootstrap_servers();
    cluster.topic_error("payment.completed", RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED).unwrap();
    // The oldest event of all is behind a payment of its schedule, and the others only hold.
    let hold = bed.held(1, &["A-1"]).await;
    assert_eq!(bed.pay(1, &hold).await.status, 201);
    for (user, schedule) in [(2, 2), (3, 3), (4, 2)] {
        let body = json!({ "seats": [format!("A-{user}")] });
        let hold = bed.as_user(user, "POST", &format!("/schedules/{schedule}/holds")).json(&body).send().await;
        assert_eq!(hold.status, 201, "{}", hold.text());
    }
    let worker = Worker::start(bed.worker_config(&format!("kafka_brokers = [{brokers:?}]\n"))).await.unwrap();
    let others = "SELECT count(*) FROM outbox WHERE relayed_at IS NULL AND schedule_id <> 1";
    wait::until("the others to be relayed", AFTERWARDS, || async { bed.sql(others).await == "0" }).await.unwrap();
    failing(&worker, "relay").await;
    assert_ne!(bed.sql(PENDING).await, "0", "nothing is lost of who waits");
    cluster.topic_error("payment.completed", RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).unwrap();
    wait::until("the rest to be relayed", AFTERWARDS, || async { bed.sql(PENDING).await == "0" }).await.unwrap();
    assert_all_lies_there_in_order(&bed, &brokers, "true").await;
    assert_eq!(bed.sql("SELECT count(*) FROM dead_letters").await, "0");
    assert_eq!(worker.stop().await, 0);
}

#[tokio::test]
async fn refused_kafka_options() {
    let bed = Bed::start().await;
    let section = "kafka_brokers = [\"127.0.0.1:9\"]\nkafka_options = [\"no.such=thing\"]\n";
    let refused = Worker::start(bed.worker_config(section)).await.err().unwrap();
    assert!(refused.to_string().contains("no.such"), "{refused}");
}
