//! Kafka as the sink, and the consumers' way from there. Only in builds with the feature `kafka`.

mod source;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer, PurgeConfig};
use tokio::time::timeout;

use super::sink::Sink;
use super::task::TaskError;
use crate::config::events::{KafkaSettings, TOPICS_OF_ALL};
use crate::event::Event;

pub use source::KafkaSource;

/// How long a batch may take: a little less than the relay gives.
const PUBLISH_LIMIT: Duration = Duration::from_secs(3);

/// The producer itself gives up on nothing: one event given up among others that arrive would be out of order.
/// Far above [`PUBLISH_LIMIT`], after which all of a batch is given up at once.
const MESSAGE_LIMIT_MS: &str = "60000";

/// Events to Kafka: topic = topic, key = key, value = the event as JSON.
pub struct KafkaSink {
    config: ClientConfig,
    /// Made anew after each failure. A plain mutex: held to clone it.
    producer: Mutex<Option<FutureProducer>>,
}

/// What brokers and options say, for producers and consumers alike.
fn config(settings: &KafkaSettings) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", settings.brokers.join(",")).set("client.id", "reservation-svc");
    config
}

impl KafkaSink {
    /// To these brokers. Fails on options that librdkafka does not know.
    pub fn new(settings: &KafkaSettings) -> Result<Self, KafkaError> {
        let mut config = config(settings);
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("message.timeout.ms", MESSAGE_LIMIT_MS)
            .set("linger.ms", "5")
            // What Java's clients do with keys: the same schedule is in the same partition for everybody.
            .set("partitioner", "murmur2_random");
        for (name, value) in &settings.options {
            config.set(name, value);
        }
        let sink = Self { config, producer: Mutex::new(None) };
        sink.producer().map(drop)?;
        Ok(sink)
    }

    fn producer(&self) -> Result<FutureProducer, KafkaError> {
        let mut kept = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(producer) = &*kept {
            return Ok(producer.clone());
        }
        let producer: FutureProducer = self.config.create()?;
        *kept = Some(producer.clone());
        Ok(producer)
    }
}

/// A batch under way. Dropped before its end, nothing of it that waits is sent any more, and the producer is not used
/// again: what did get out is then the beginning of the batch, in order, and the whole batch comes again after it.
struct UnderWay<'s> {
    sink: &'s KafkaSink,
    producer: FutureProducer,
    whole: bool,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if !self.whole {
            self.sink.producer.lock().unwrap_or_else(PoisonError::into_inner).take();
            self.producer.purge(PurgeConfig::default().queue().inflight());
        }
    }
}

#[async_trait]
impl Sink for KafkaSink {
    async fn publish(&self, events: &[Event]) -> Result<(), TaskError> {
        let failed = |why: String| TaskError::Elsewhere { what: "Kafka", why };
        let producer = self.producer().map_err(|error| failed(error.to_string()))?;
        let mut under_way = UnderWay { sink: self, producer, whole: false };
        let mut answers = Vec::with_capacity(events.len());
        for event in events {
            let value = serde_json::to_vec(event).map_err(|error| failed(error.to_string()))?;
            let record = FutureRecord::to(&event.topic).key(&event.key).payload(&value);
            let answer = under_way.producer.send_result(record).map_err(|(error, _)| failed(error.to_string()))?;
            answers.push(answer);
        }
        let all = async {
            for answer in answers {
                answer.await.map_err(|error| error.to_string())?.map_err(|(error, _)| error.to_string())?;
            }
            Ok::<_, String>(())
        };
        let limit = || failed(format!("the brokers did not take a batch within {} s", PUBLISH_LIMIT.as_secs()));
        timeout(PUBLISH_LIMIT, all).await.map_err(|_| limit())?.map_err(failed)?;
        under_way.whole = true;
        Ok(())
    }
}

/// The topics that must exist.
pub fn topics() -> Vec<&'static str> {
    TOPICS_OF_ALL.to_vec()
}
