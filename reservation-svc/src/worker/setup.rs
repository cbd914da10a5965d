//! Which tasks there are: reads the configuration and puts every task together with what it needs.

use std::sync::Arc;

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};
use secrecy::ExposeSecret;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::consumers::{Consumer, Consumers};
use super::dispatch::Dispatch;
use super::expiry::Expiry;
use super::housekeeping::Housekeeping;
#[cfg(feature = "kafka")]
use super::kafka::{KafkaSink, KafkaSource};
use super::partitions::Partitions;
use super::queue_events::QueueEvents;
use super::recovery::Recovery;
use super::relay::{self, Relay};
use super::retention::Retention;
use super::sink::Sink;
use super::task::Task;
use super::webhook::Webhook;
use crate::config::{Config, secrets};
use crate::ledger::{Ledger, LedgerSettings};
use crate::metrics::Metrics;
use crate::serve::{StartError, cards};
use crate::ticket::TicketKey;

/// What a worker runs.
pub(super) struct Parts {
    /// The tasks, in no order.
    pub(super) tasks: Vec<Arc<dyn Task>>,
    /// What rings for them.
    pub(super) listening: JoinSet<()>,
}

/// Everything that the configuration asks for. A new task is one more line here.
pub(super) async fn parts(config: &Config, ledger: &Ledger, metrics: &Metrics) -> Result<Parts, StartError> {
    let registry = metrics.registry();
    let bell = Arc::new(Notify::new());
    let mut listening = JoinSet::new();
    // Connections of its own: the relay keeps one for as long as the consumers need others.
    let own = LedgerSettings { max_connections: 2, replica_url: None, ..config.database.clone() };
    let own = Ledger::new(&own, metrics.clone())?;
    listening.spawn(relay::listen(own.clone(), Arc::clone(&bell)));
    let mut tasks: Vec<Arc<dyn Task>> = Vec::new();
    let sink = sink(config, ledger, consumers(config, ledger, registry).await?, &mut tasks)?;
    let relayed = counter(registry, "events_relayed_total", "Events brought from the outbox to the sink.", &["topic"])?;

    let expired = IntCounter::new("holds_expired_total", "Holds that ran out and were ended by this worker.")?;
    registry.register(Box::new(expired.clone()))?;
    tasks.push(Arc::new(Expiry::new(ledger.clone(), expired)));
    tasks.push(Arc::new(Housekeeping::new(ledger.clone(), config.events.keep_days, registry)?));
    tasks.push(Arc::new(Partitions::new(ledger.clone(), config.events.keep_reservation_months)));
    tasks.push(Arc::new(Retention::new(ledger.clone(), config.events.keep_days)));
    tasks.push(Arc::new(Relay::new(own, Arc::clone(&sink), bell, relayed)));
    if let Some(url) = &config.events.queue_redis_url {
        let queue = QueueEvents::new(url.expose_secret(), config.events.queue_rooms.clone(), sink);
        tasks.push(Arc::new(queue.map_err(StartError::QueueRedis)?));
    }
    if let Some(webhook) = &config.webhook {
        let secret = secrets::bytes("webhook.secret_file", "head -c 32 /dev/urandom", &webhook.secret_file)?;
        let deliveries =
            counter(registry, "webhook_deliveries_total", "Attempts to notify the webhook.", &["outcome"])?;
        let webhook = Webhook::new(ledger.clone(), webhook.settings.clone(), &secret, deliveries);
        tasks.push(Arc::new(webhook.map_err(StartError::Roots)?));
    }
    if let Some(gateway) = &config.gateway {
        tasks.push(Arc::new(Recovery::new(cards(gateway, ledger, metrics)?)));
    }
    Ok(Parts { tasks, listening })
}

/// The consumers directly, or a broker and the consumers as a task behind it.
#[cfg_attr(not(feature = "kafka"), expect(clippy::unnecessary_wraps, reason = "with Kafka it can fail"))]
#[cfg_attr(not(feature = "kafka"), expect(unused_variables, clippy::ptr_arg, reason = "with Kafka there is a task"))]
fn sink(
    config: &Config,
    ledger: &Ledger,
    consumers: Consumers,
    tasks: &mut Vec<Arc<dyn Task>>,
) -> Result<Arc<dyn Sink>, StartError> {
    #[cfg(feature = "kafka")]
    if let (Some(settings), Some(sink)) = (&config.events.kafka, kafka(config, ledger)?) {
        let source = KafkaSource::new(settings, consumers);
        tasks.push(Arc::new(source.map_err(|error| StartError::Kafka(error.to_string()))?));
        return Ok(Arc::new(sink));
    }
    Ok(Arc::new(consumers))
}

/// The way to the brokers, where there are some.
#[cfg(feature = "kafka")]
pub(super) fn kafka(config: &Config, ledger: &Ledger) -> Result<Option<KafkaSink>, StartError> {
    let sink = config.events.kafka.as_ref().map(|settings| KafkaSink::new(settings, ledger.clone())).transpose();
    sink.map_err(|error| StartError::Kafka(error.to_string()))
}

/// The consumers that the configuration asks for.
pub async fn consumers(config: &Config, ledger: &Ledger, registry: &Registry) -> Result<Consumers, StartError> {
    let time_zone = config.events.settlement_time_zone.clone();
    if !ledger.knows_time_zone(&time_zone).await? {
        return Err(StartError::TimeZone(time_zone));
    }
    let mut all = vec![Consumer::Statistics, Consumer::Settlement { time_zone }];
    if let Some(webhook) = &config.webhook {
        all.push(Consumer::Notification { topics: webhook.topics.clone() });
    }
    if let Some(path) = &config.tickets.key_file {
        all.push(Consumer::Dispatch(Dispatch::new(TicketKey::read(path)?)));
    }
    let help = "Events that came to a consumer: new, repeated, or laid aside.";
    let consumed = counter(registry, "events_consumed_total", help, &["consumer", "outcome"])?;
    Ok(Consumers::new(ledger.clone(), all, consumed))
}

fn counter(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
    let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(counter.clone()))?;
    Ok(counter)
}
