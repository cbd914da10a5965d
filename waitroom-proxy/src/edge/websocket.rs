//! An open WebSocket keeps its session alive: checked at the upgrade, touched while it is open.

use std::sync::Arc;
use std::time::Duration;

use super::renewal::due_for;
use crate::room::Room;
use crate::room::settings::PROVISIONAL;
use crate::session::Session;
use crate::store::{TouchItem, Verdict};

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
    let mut now_s = session.expires_s.saturating_sub(lasts.as_secs());
    loop {
        // A provisional session has come back with its token the moment its tunnel opens: make it whole
        // at once, before its slot is given to somebody else.
        if !session.provisional {
            let pause = (room.settings().session_ttl / 4).max(Duration::from_secs(1));
            tokio::time::sleep(pause).await;
            now_s += pause.as_secs();
        }
        let settings = room.settings().clone();
        let Some(ttl) = due_for(&session, &settings, now_s) else { continue };
        // What has run out is not proved by a tunnel: its slot may be somebody else's (I2).
        let proof = session.live(now_s);
        let item = TouchItem { vid: session.vid, seq: session.seq, ttl, proof };
        match room.touch(session.epoch, item).await {
            Ok(Verdict::Session { expires_at_ms, .. }) => {
                session.expires_s = expires_at_ms / 1_000;
                session.provisional = false;
                now_s = session.expires_s.saturating_sub(ttl.as_secs());
            }
            // Ended: the tunnel stays, as a page already loaded does, but its slot is free.
            Ok(Verdict::No | Verdict::Waiting(_)) => return,
            // The store is away: the next turn tries again.
            Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    }
}
