//! `[events]`, `[webhook]` and `[tickets]`: the worker, and what it does with events.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use super::reader::Reader;
use crate::server::is_server;
use crate::worker::webhook::WebhookSettings;

/// All topics that there are.
pub const TOPICS_OF_ALL: &[&str] = &[
    "hold.created",
    "hold.released",
    "reservation.created",
    "reservation.expired",
    "reservation.cancelled",
    "payment.completed",
    "payment.refunded",
    "ticket.issued",
    "queue.activated",
];

/// What a webhook is not told of unless it asks: something for every hold.
const NOT_UNASKED: &[&str] = &["hold.created", "hold.released"];

/// Where Kafka is.
#[derive(Debug, Clone)]
pub struct KafkaSettings {
    /// `host:port` of some of the brokers.
    pub brokers: Vec<String>,
    /// Further settings of librdkafka, by name.
    pub options: Vec<(String, String)>,
}

/// What the worker is to do.
#[derive(Debug, Clone)]
pub struct EventsSettings {
    /// Where the worker's health and metrics are.
    pub admin_listen: SocketAddr,
    /// How long relayed events, and the memory of having had them, are kept.
    pub keep_days: u32,
    /// When a month of reservations is detached: so many months after its end; 0: never.
    pub keep_reservation_months: u32,
    /// Whose midnight ends a day of the settlement.
    pub settlement_time_zone: String,
    /// The waiting room's Redis, where `queue.activated` comes from; `None`: it is not relayed.
    pub queue_redis_url: Option<SecretString>,
    /// The rooms whose visitors it is told of.
    pub queue_rooms: Vec<String>,
    /// Where events go and consumers get them from; `None`: directly.
    pub kafka: Option<KafkaSettings>,
}

/// Who is told of events, outside.
#[derive(Debug, Clone)]
pub struct WebhookConfig {
    /// Where and how.
    pub settings: WebhookSettings,
    /// The secret that signs.
    pub secret_file: PathBuf,
    /// Of what.
    pub topics: Vec<String>,
}

/// Reads `[events]`.
pub(super) fn events(reader: &mut Reader, rooms: &[String]) -> EventsSettings {
    let queue_redis_url = reader.text("events.queue_redis_url", "");
    if !queue_redis_url.is_empty() && !is_server(&queue_redis_url) {
        let what = format!("{} (leave it empty for no queue.activated)", super::A_SERVER);
        reader.mistake("events.queue_redis_url", &what);
    }
    if !queue_redis_url.is_empty() && rooms.is_empty() {
        reader.mistake(
            "events.queue_redis_url",
            "needs the rooms in queue_token.audiences: they are whose events are read",
        );
    }
    let kafka = kafka(reader);
    EventsSettings {
        admin_listen: reader.address("events.admin_listen", "127.0.0.1:9092"),
        keep_days: reader.whole("events.keep_days", 7, 1..=3_650),
        keep_reservation_months: reader.whole("events.keep_reservation_months", 36, 0..=1_200),
        settlement_time_zone: reader.text("events.settlement_time_zone", "UTC"),
        queue_redis_url: (!queue_redis_url.is_empty()).then(|| queue_redis_url.into()),
        queue_rooms: rooms.to_vec(),
        kafka,
    }
}

fn kafka(reader: &mut Reader) -> Option<KafkaSettings> {
    let brokers = reader.list("events.kafka_brokers");
    let given = reader.list("events.kafka_options");
    let options: Option<Vec<(String, String)>> = given
        .iter()
        .map(|option| option.split_once('=').map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())))
        .collect();
    if options.is_none() {
        reader.mistake("events.kafka_options", "must be settings of librdkafka such as \"security.protocol=ssl\"");
    }
    if !brokers.is_empty() && !cfg!(feature = "kafka") {
        reader.mistake(
            "events.kafka_brokers",
            "needs a build with Kafka: cargo build --release -p reservation-svc --features kafka",
        );
    }
    (!brokers.is_empty()).then(|| KafkaSettings { brokers, options: options.unwrap_or_default() })
}

/// Reads `[webhook]`; `None`: nobody is told.
pub(super) fn webhook(reader: &mut Reader) -> Option<WebhookConfig> {
    let url = reader.text("webhook.url", "");
    let secret_file = reader.text("webhook.secret_file", "");
    let timeout_ms = reader.whole("webhook.timeout_ms", 3_000, 100..=8_000);
    let max_attempts = reader.whole("webhook.max_attempts", 10, 1..=50);
    let mut topics = reader.list("webhook.topics");
    for topic in topics.clone() {
        if !TOPICS_OF_ALL.contains(&topic.as_str()) {
            let known = TOPICS_OF_ALL.join(", ");
            reader.mistake("webhook.topics", &format!("there is no topic {topic:?}; there are {known}"));
        }
    }
    if topics.is_empty() {
        let unasked = TOPICS_OF_ALL.iter().filter(|topic| !NOT_UNASKED.contains(topic));
        topics = unasked.map(|topic| (*topic).to_owned()).collect();
    }
    if url.is_empty() {
        if !secret_file.is_empty() {
            reader.mistake("webhook.url", "is missing: there is a webhook.secret_file, so somebody was to be told");
        }
        return None;
    }
    if secret_file.is_empty() {
        reader.mistake("webhook.secret_file", "is missing; name a file of at least 32 random bytes");
    }
    super::url(reader, "webhook.url", &url);
    let settings = WebhookSettings {
        url: url.parse().unwrap_or_default(),
        timeout: Duration::from_millis(u64::from(timeout_ms)),
        max_attempts: i32::try_from(max_attempts).unwrap_or(i32::MAX),
    };
    Some(WebhookConfig { settings, secret_file: secret_file.into(), topics })
}

/// Which keys tickets have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TicketKeys {
    /// The one that signs; `None`: there are no tickets.
    pub key_file: Option<PathBuf>,
    /// Those that signed before: what they signed is still shown at gates.
    pub old_key_files: Vec<PathBuf>,
}

/// Reads `[tickets]`.
pub(super) fn tickets(reader: &mut Reader) -> TicketKeys {
    let key_file = reader.text("tickets.key_file", "");
    let old_key_files: Vec<PathBuf> = reader.list("tickets.old_key_files").into_iter().map(PathBuf::from).collect();
    if key_file.is_empty() && !old_key_files.is_empty() {
        reader.mistake("tickets.key_file", "is missing: there are tickets.old_key_files, so something is to sign now");
    }
    TicketKeys { key_file: (!key_file.is_empty()).then(|| key_file.into()), old_key_files }
}
