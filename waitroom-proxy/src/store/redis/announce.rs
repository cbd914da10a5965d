//! Telling whoever listens of sessions that began: a capped stream for each room. Over connections of its own, so that
//! nothing that goes wrong here is felt by the queue.

use redis::Script;

use super::super::{Begun, Epoch, RoomName, StoreError};
use super::RedisStore;
use super::link::Request;
use super::reply::name;

/// Entries kept in a room's stream: over a minute of a very busy room, some 15 MB. Who reads later than that has
/// missed something, and nothing depends on it.
const MOST: u32 = 100_000;

/// A stream into which nothing came for a week is removed.
const OUTLIVES_S: u32 = 7 * 24 * 3_600;

/// The stream of a room; in its hash slot.
fn key(room: &RoomName) -> String {
    format!("queue:{{{}}}:activated", room.as_str())
}

impl RedisStore {
    pub(super) async fn append_begun(&self, room: &RoomName, epoch: Epoch, begun: &[Begun]) -> Result<(), StoreError> {
        if begun.is_empty() {
            return Ok(());
        }
        let script: &Script = &self.announce;
        let mut call = script.key(key(room));
        call.arg(MOST).arg(OUTLIVES_S).arg(epoch.generation).arg(epoch.life);
        for one in begun {
            call.arg(name(one.vid)).arg(one.seq).arg(one.began_ms).arg(one.expires_ms);
        }
        let link = self.news.of(room);
        let live = link.connect().await?;
        link.exchange(live, Request::Script(call)).await.map(drop)
    }
}
