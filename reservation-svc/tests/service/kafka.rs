//! The relay to Kafka, on librdkafka's own brokers: they speak the protocol over sockets, inside this process.
//! F19: brokers down; consumers through Kafka; order of each key.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::Message;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::mocking::MockCluster;
use reservation_svc::event::Event;
use reservation_svc::worker::Worker;
use reservation_svc::worker::kafka::topics;
use serde_json::json;
use testbed::wait;

use crate::bed::{Bed, DEADLINE};
use crate::client::Client;

const PENDING: &str = "SELECT count(*) FROM outbox WHERE relayed_at IS NULL";

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
        .set("group.id", "test")
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
    let admin = Client::to(worker.admin_addr());
    wait::until("a batch to be given up", DEADLINE, || async {
        admin.request("GET", "/readyz").send().await.json["failing"]["relay"].is_string()
    })
    .await
    .unwrap();
    assert_ne!(bed.sql(PENDING).await, "0", "what no broker has is not marked");
    some_happen(&bed, 26..=40).await;
    cluster.broker_up(1).unwrap();
    wait::until("the rest to be relayed", Duration::from_secs(60), || async { bed.sql(PENDING).await == "0" })
        .await
        .unwrap();

    let count: usize = bed.sql("SELECT count(*) FROM outbox").await.parse().unwrap();
    let events = lies_there(&brokers, count).await;
    let mut had = HashSet::new();
    let mut read: HashMap<(String, String), Vec<String>> = HashMap::new();
    for event in events.into_iter().filter(|event| had.insert(event.id)) {
        read.entry((event.topic, event.key)).or_default().push(event.id.to_string());
    }
    for ((topic, key), ids) in read {
        let written = format!(
            "SELECT string_agg(event_id::text, ' ' ORDER BY id) FROM outbox WHERE topic = '{topic}' AND schedule_id = {key}"
        );
        assert_eq!(bed.sql(&written).await, ids.join(" "), "{topic} of {key}");
    }

    // The consumers have them by way of Kafka.
    let missing = "SELECT (SELECT count(*) FROM outbox) - (SELECT coalesce(sum(events), 0) FROM concert_minutes)";
    wait::until("the statistics", Duration::from_secs(60), || async { bed.sql(missing).await == "0" }).await.unwrap();
    assert_eq!(worker.stop().await, 0);
}

#[tokio::test]
async fn refused_kafka_options() {
    let bed = Bed::start().await;
    let section = "kafka_brokers = [\"127.0.0.1:9\"]\nkafka_options = [\"no.such=thing\"]\n";
    let refused = Worker::start(bed.worker_config(section)).await.err().unwrap();
    assert!(refused.to_string().contains("no.such"), "{refused}");
}
