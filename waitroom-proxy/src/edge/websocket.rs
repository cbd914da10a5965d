//! An open WebSocket keeps its session alive: checked at the upgrade, touched while it is open.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::renewal::due_for;
use crate::room::Room;
use crate::room::settings::PROVISIONAL;
use crate::session::Session;
use crate::store::{TouchItem, Verdict};

/// Least pause between two attempts.
const RETRY: Duration = Duration::from_secs(1);

/// Touches a session until dropped.
pub(super) struct Keeping(tokio::task::JoinHandle<()>);

impl Keeping {
    /// Starts on the current runtime.
    pub(super) fn start(room: Arc<Room>, session: Session) -> Self {
        Self(tokio::spawn(keep(room, session)))
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn keep(room: Arc<Room>, mut session: Session) {
    // Time passes by the runtime's clock here; the store's clock decides what an extension means.
    let lasts = if session.provisional { PROVISIONAL } else { room.settings().session_ttl };
    let mut time = Time::at(session.expires_s.saturating_sub(lasts.as_secs()));
    // A provisional session has come back with its token the moment its tunnel opens: make it whole
    // at once, before its slot is given to somebody else.
    let mut at_once = session.provisional;
    loop {
        if !at_once {
            tokio::time::sleep((room.settings().session_ttl / 4).max(RETRY)).await;
        }
        at_once = false;
        let settings = room.settings().clone();
        let now_s = time.now_s();
        let Some(ttl) = due_for(&session, &settings, now_s) else { continue };
        // What has run out is not proved by a tunnel: its slot may be somebody else's (I2).
        let proof = session.live(now_s);
        let item = TouchItem { vid: session.vid, seq: session.seq, ttl, proof, began_ms: session.began_s * 1_000 };
        match room.touch(session.epoch, item).await {
            Ok(Verdict::Session { expires_at_ms, .. }) => {
                session.expires_s = expires_at_ms / 1_000;
                session.provisional = false;
                time = Time::at(session.expires_s.saturating_sub(ttl.as_secs()));
            }
            // Ended: the tunnel stays, as a page already loaded does, but its slot is free.
            Ok(Verdict::No | Verdict::Waiting(_)) => return,
            // The store is away: the next turn tries again, soon if there is little time.
            Err(_) => {
                tokio::time::sleep(RETRY).await;
                at_once = session.provisional;
            }
        }
    }
}

/// A moment that was known, and how long ago that is.
struct Time {
    then_s: u64,
    since: Instant,
}

impl Time {
    fn at(then_s: u64) -> Self {
        Self { then_s, since: Instant::now() }
    }

    fn now_s(&self) -> u64 {
        self.then_s + self.since.elapsed().as_secs()
    }
}
