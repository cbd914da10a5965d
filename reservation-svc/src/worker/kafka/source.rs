//! Kafka to the consumers of this service: the group shares the partitions among all workers.

use std::time::Duration;

use async_trait::async_trait;
use rdkafka::Message;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::error::KafkaError;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::super::consumers::Consumers;
use super::super::sink::Sink;
use super::super::task::{Ran, Task, TaskError};
use crate::config::events::KafkaSettings;
use crate::event::Event;

/// The consumer group.
const GROUP: &str = "reservation-svc";

/// Events at a time.
const BATCH: usize = 500;

/// How long a run waits for the first event.
const FIRST: Duration = Duration::from_millis(500);

/// How long it then waits for more.
const NEXT: Duration = Duration::from_millis(5);

/// Topics to consumers.
pub struct KafkaSource {
    kafka: StreamConsumer,
    consumers: Consumers,
    /// Read and not taken by the consumers yet: first of all in the next run. Held for a run; there is one at a time.
    untaken: Mutex<Vec<Event>>,
}

impl KafkaSource {
    /// From these brokers, beginning with the oldest event that the group has not had.
    pub fn new(settings: &KafkaSettings, consumers: Consumers) -> Result<Self, KafkaError> {
        let mut config = super::config(settings);
        config
            .set("group.id", GROUP)
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest")
            .set("allow.auto.create.topics", "true");
        for (name, value) in &settings.options {
            config.set(name, value);
        }
        let kafka: StreamConsumer = config.create()?;
        kafka.subscribe(&super::topics())?;
        Ok(Self { kafka, consumers, untaken: Mutex::default() })
    }

    async fn read(&self) -> Result<Vec<Event>, KafkaError> {
        let (mut events, mut patience, mut trouble) = (Vec::new(), FIRST, None);
        while events.len() < BATCH {
            let Ok(message) = timeout(patience, self.kafka.recv()).await else { break };
            let message = match message {
                Ok(message) => message,
                // An outage leaves an error for each attempt to connect, in a queue with the messages: all of them at
                // once, or the messages behind them would come one pause after a failure each. librdkafka mends
                // itself, and what was read before counts as read there, so it must not be lost with an error.
                Err(error) => {
                    patience = NEXT;
                    trouble = Some(error);
                    continue;
                }
            };
            patience = NEXT;
            match serde_json::from_slice::<Event>(message.payload().unwrap_or_default()) {
                Ok(event) => events.push(event),
                // Somebody else's: no use in stopping for it.
                Err(error) => tracing::error!(
                    topic = message.topic(),
                    partition = message.partition(),
                    offset = message.offset(),
                    %error,
                    "a message that is no event of ours is passed over"
                ),
            }
        }
        match trouble {
            Some(error) if events.is_empty() => Err(error),
            _ => Ok(events),
        }
    }
}

#[async_trait]
impl Task for KafkaSource {
    fn name(&self) -> &'static str {
        "kafka_source"
    }

    fn period(&self) -> Duration {
        // A run waits by itself.
        Duration::ZERO
    }

    async fn run_once(&self) -> Result<Ran, TaskError> {
        let failed = |error: KafkaError| TaskError::Elsewhere { what: "Kafka", why: error.to_string() };
        let mut untaken = self.untaken.lock().await;
        if untaken.is_empty() {
            *untaken = self.read().await.map_err(failed)?;
        }
        if untaken.is_empty() {
            return Ok(Ran::Idle);
        }
        self.consumers.publish(&untaken).await?;
        untaken.clear();
        // After the effect, never before it: who dies in between has the events again, and counts them once.
        self.kafka.commit_consumer_state(CommitMode::Async).map_err(failed)?;
        Ok(Ran::More)
    }
}
