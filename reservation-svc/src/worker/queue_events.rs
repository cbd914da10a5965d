//! Relays `queue.activated` from the waiting room's streams in Redis to the sink. An entry counts as taken only when
//! the sink has it, so it comes at least once; what the stream's cap has dropped meanwhile is lost, and may be.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::DateTime;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{FromRedisValue, RedisError, Value, cmd};
use ring::digest;
use serde_json::json;
use tokio::time::timeout;

use super::sink::Sink;
use super::task::{Ran, Task, TaskError};
use crate::event::Event;
use crate::server::{NotAServer, Server};

/// The topic.
pub const TOPIC: &str = "queue.activated";

/// Who reads: all workers together.
const GROUP: &str = "reservation-svc";

/// Entries at a time.
const BATCH: usize = 500;

const PERIOD: Duration = Duration::from_millis(250);

/// An entry that was handed out and not taken for this long is handed out again: the worker that had it is dead, or
/// its sink was away. Longer than any batch takes.
const FORGOTTEN_MS: u32 = 10_000;

/// How long one command may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long the sink may take for a batch.
const PUBLISH_LIMIT: Duration = Duration::from_secs(4);

/// How long a run may take in all: finding the primary has no limit of its own.
const RUN_LIMIT: Duration = Duration::from_secs(8);

/// An entry: its id and its fields. The fields of one that was trimmed away are gone.
type Entry = (String, Option<HashMap<String, String>>);

/// Streams to sink.
pub struct QueueEvents {
    redis: Server,
    rooms: Vec<String>,
    sink: Arc<dyn Sink>,
}

impl QueueEvents {
    /// Of these rooms, from the Redis at `url`. Connects at the first use. Fails on a URL that is none.
    pub fn new(url: &str, rooms: Vec<String>, sink: Arc<dyn Sink>) -> Result<Self, NotAServer> {
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(1)
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        Ok(Self { redis: Server::at(url, config)?, rooms, sink })
    }

    async fn relay_all(&self) -> Result<Ran, TaskError> {
        let mut ran = Ran::Idle;
        for room in &self.rooms {
            if self.relay(room).await? == BATCH {
                ran = Ran::More;
            }
        }
        Ok(ran)
    }

    /// Takes some entries of a room; says how many there were.
    async fn relay(&self, room: &str) -> Result<usize, TaskError> {
        let stream = format!("queue:{{{room}}}:activated");
        let entries = match self.read(&stream).await {
            // The first ever to read, or the stream has been removed since.
            Err(error) if error.code() == Some("NOGROUP") => {
                let create = cmd("XGROUP").arg(&["CREATE", &stream, GROUP, "0", "MKSTREAM"]).take();
                match create.exec_async(&mut self.connection().await?).await {
                    Err(error) if error.code() != Some("BUSYGROUP") => return Err(away(&error)),
                    _ => self.read(&stream).await,
                }
            }
            other => other,
        };
        let entries = entries.map_err(|error| away(&error))?;
        if entries.is_empty() {
            return Ok(0);
        }
        let events: Vec<Event> = entries
            .iter()
            .filter_map(|(id, fields)| {
                let event = event_of(room, fields.as_ref()?);
                if event.is_none() {
                    tracing::warn!(room, entry = id, "an entry of the waiting room's stream is not understood");
                }
                event
            })
            .collect();
        let published = timeout(PUBLISH_LIMIT, self.sink.publish(&events)).await;
        published.map_err(|_| TaskError::Elsewhere { what: "the sink", why: "took too long".to_owned() })??;
        let mut taken = cmd("XACK").arg(&stream).arg(GROUP).take();
        for (id, _) in &entries {
            taken.arg(id);
        }
        taken.exec_async(&mut self.connection().await?).await.map_err(|error| away(&error))?;
        Ok(entries.len())
    }

    async fn connection(&self) -> Result<ConnectionManager, TaskError> {
        self.redis.connection().await.map_err(|error| away(&error))
    }

    /// What others have forgotten, else what is new.
    async fn read(&self, stream: &str) -> Result<Vec<Entry>, RedisError> {
        let mut redis = self.redis.connection().await?;
        let forgotten: Vec<Value> = cmd("XAUTOCLAIM")
            .arg(&[stream, GROUP, GROUP])
            .arg(FORGOTTEN_MS)
            .arg(&["0-0", "COUNT"])
            .arg(BATCH)
            .query_async(&mut redis)
            .await?;
        let forgotten = forgotten.into_iter().nth(1).map(Vec::<Entry>::from_redis_value).transpose()?;
        match forgotten {
            Some(entries) if !entries.is_empty() => return Ok(entries),
            _ => {}
        }
        let new: Option<Vec<(String, Vec<Entry>)>> = cmd("XREADGROUP")
            .arg(&["GROUP", GROUP, GROUP, "COUNT"])
            .arg(BATCH)
            .arg(&["STREAMS", stream, ">"])
            .query_async(&mut redis)
            .await?;
        Ok(new.into_iter().flatten().flat_map(|(_, entries)| entries).collect())
    }
}

fn away(error: &RedisError) -> TaskError {
    TaskError::Elsewhere { what: "events.queue_redis_url", why: error.to_string() }
}

/// The event of an entry; `None` when it is not one that the proxy writes.
fn event_of(room: &str, fields: &HashMap<String, String>) -> Option<Event> {
    let number = |name: &str| fields.get(name)?.parse::<u64>().ok();
    let (generation, life, seq) = (number("generation")?, number("life")?, number("seq")?);
    let began_ms = i64::try_from(number("began_ms")?).ok()?;
    let expires_ms = i64::try_from(number("expires_ms")?).ok()?;
    // A session has one number in its room's life. Whoever tells of it again, the event is the same.
    let name = format!("{TOPIC}/{room}/{generation}/{life}/{seq}");
    let mut id = [0; 16];
    id.copy_from_slice(digest::digest(&digest::SHA256, name.as_bytes()).as_ref().get(..16)?);
    Some(Event {
        id: uuid::Builder::from_custom_bytes(id).into_uuid(),
        topic: TOPIC.to_owned(),
        key: room.to_owned(),
        schedule_id: None,
        occurred_at: DateTime::from_timestamp_millis(began_ms)?,
        payload: json!({
            "room": room,
            "visitor": fields.get("vid")?,
            "generation": generation,
            "seq": seq,
            "expires_at": DateTime::from_timestamp_millis(expires_ms)?,
        }),
    })
}

#[async_trait]
impl Task for QueueEvents {
    fn name(&self) -> &'static str {
        "queue_events"
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    async fn run_once(&self) -> Result<Ran, TaskError> {
        let ran = timeout(RUN_LIMIT, self.relay_all()).await;
        let ran = ran.unwrap_or_else(|_| {
            Err(TaskError::Elsewhere { what: "events.queue_redis_url", why: "took too long".to_owned() })
        });
        if ran.is_err() {
            // The next run finds out where the primary is by then.
            self.redis.leave();
        }
        ran
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(changes: &[(&str, &str)]) -> HashMap<String, String> {
        let usual = [
            ("generation", "1"),
            ("life", "7"),
            ("vid", "v"),
            ("seq", "9"),
            ("began_ms", "1000"),
            ("expires_ms", "2000"),
        ];
        usual.iter().chain(changes).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_same_session_is_the_same_event() {
        let event = |changes: &[(&str, &str)]| event_of("concert", &fields(changes)).unwrap();
        assert_eq!(event(&[]).id, event(&[("began_ms", "1234")]).id, "told by another proxy a moment later");
        assert_ne!(event(&[]).id, event(&[("seq", "10")]).id);
        assert_ne!(event(&[]).id, event(&[("life", "8")]).id);
        assert_ne!(event(&[]).id, event_of("shop", &fields(&[])).unwrap().id);
        assert_eq!(event(&[]).id.get_version_num(), 8);
    }

    #[test]
    fn refused_entries() {
        for (name, value) in [("seq", "x"), ("generation", "-1"), ("began_ms", "99999999999999999999")] {
            assert_eq!(event_of("concert", &fields(&[(name, value)])), None, "{name}={value}");
        }
    }
}
