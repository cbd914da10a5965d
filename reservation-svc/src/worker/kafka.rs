//! Kafka as the sink, and the consumers' way from there. Only in builds with the feature `kafka`.

mod source;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer, PurgeConfig};
use tokio::time::timeout;

use super::sink::Sink;
use super::task::TaskError;
use crate::config::events::{KafkaSettings, TOPICS_OF_ALL};
use crate::event::Event;
use crate::ledger::Ledger;
use crate::ledger::consumers::DeadLetter;

pub use source::KafkaSource;

/// How long a batch may take: a little less than the relay gives.
const PUBLISH_LIMIT: Duration = Duration::from_secs(3);

/// The producer itself gives up on nothing: one event given up among others that arrive would be out of order.
/// Far above [`PUBLISH_LIMIT`], after which all of a batch is given up at once.
const MESSAGE_LIMIT_MS: &str = "60000";

/// Who gave up, in dead letters.
pub(super) const NAME: &str = "kafka";

/// Events to Kafka: topic = topic, key = key, value = the event as JSON.
pub struct KafkaSink {
    config: ClientConfig,
    /// Where events are laid aside that no broker will ever take.
    ledger: Ledger,
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
    /// To these brokers; what they will never take goes to the dead letters of `ledger`. Fails on options that librdkafka
    /// does not know.
    pub fn new(settings: &KafkaSettings, ledger: Ledger) -> Result<Self, KafkaError> {
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
        let sink = Self { config, ledger, producer: Mutex::new(None) };
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

/// Whether no other attempt with the same event can end otherwise.
fn for_ever(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::MessageSizeTooLarge
                | RDKafkaErrorCode::InvalidMessageSize
                | RDKafkaErrorCode::InvalidRecord
        )
    )
}

fn failed(why: impl ToString) -> TaskError {
    TaskError::Elsewhere { what: "Kafka", why: why.to_string() }
}

impl KafkaSink {
    /// Publishes them in order, but for those that Kafka will never take: these are returned, with the reason.
    async fn send<'e>(&self, events: &'e [Event]) -> Result<Vec<(&'e Event, String)>, TaskError> {
        let producer = self.producer().map_err(failed)?;
        let mut under_way = UnderWay { sink: self, producer, whole: false };
        let (mut answers, mut refused) = (Vec::with_capacity(events.len()), Vec::new());
        for event in events {
            let value = serde_json::to_vec(event).map_err(failed)?;
            let record = FutureRecord::to(&event.topic).key(&event.key).payload(&value);
            match under_way.producer.send_result(record) {
                Ok(answer) => answers.push((event, answer)),
                Err((error, _)) if for_ever(&error) => refused.push((event, error.to_string())),
                Err((error, _)) => return Err(failed(error)),
            }
        }
        let all = async {
            for (event, answer) in answers {
                match answer.await.map_err(failed)? {
                    Ok(_) => {}
                    // Brokers refuse messages together: which one it was is only known of one that came alone. The
                    // relay sees to that, since it takes fewer events after each failure.
                    Err((error, _)) if for_ever(&error) && events.len() == 1 => {
                        refused.push((event, error.to_string()));
                    }
                    Err((error, _)) => return Err(failed(error)),
                }
            }
            Ok(())
        };
        let limit = || failed(format!("the brokers did not take a batch within {} s", PUBLISH_LIMIT.as_secs()));
        timeout(PUBLISH_LIMIT, all).await.map_err(|_| limit())??;
        under_way.whole = true;
        Ok(refused)
    }

    /// Publishes an event that was laid aside. It stays there when Kafka still does not take it.
    pub(super) async fn replay(&self, letter: &DeadLetter) -> Result<(), TaskError> {
        let event: Event = serde_json::from_value(letter.event.clone()).map_err(failed)?;
        match self.send(std::slice::from_ref(&event)).await?.pop() {
            Some((_, why)) => Err(failed(why)),
            None => Ok(self.ledger.unbury(letter).await?),
        }
    }
}

#[async_trait]
impl Sink for KafkaSink {
    async fn publish(&self, events: &[Event]) -> Result<(), TaskError> {
        for (event, why) in self.send(events).await? {
            tracing::error!(event = %event.id, topic = event.topic, why, "Kafka never takes an event: it goes to the dead letters");
            self.ledger.bury(NAME, event, &why).await?;
        }
        Ok(())
    }
}

/// The topics that must exist.
pub fn topics() -> Vec<&'static str> {
    TOPICS_OF_ALL.to_vec()
}
