//! An event as everybody outside sees it: the envelope around what was written into the outbox. Pure.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// Something that happened. Comes at least once: whoever takes it remembers the `id`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The same however often it comes.
    pub id: Uuid,
    /// What happened, such as `reservation.created`.
    pub topic: String,
    /// Events of one key come in order: the schedule's id, or the room of `queue.activated`.
    pub key: String,
    /// The schedule, where there is one.
    pub schedule_id: Option<i64>,
    /// When.
    pub occurred_at: DateTime<Utc>,
    /// What else there is to say, by topic.
    pub payload: Value,
}
