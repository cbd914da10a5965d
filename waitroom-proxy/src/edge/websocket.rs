//! WebSockets: checked at the upgrade; open, each keeps its session alive, may be idle for long, and ends with the
//! session.

use std::sync::Arc;
use std::time::Duration;

use pingora::proxy::Session as Request;
use pingora::upstreams::peer::HttpPeer;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::connection::{self, Connection};
use super::renewal::due_for;
use crate::room::{Patience, Room};
use crate::session::Session;
use crate::store::{TouchItem, Verdict};

/// Least pause between two attempts.
const RETRY: Duration = Duration::from_secs(1);

/// A tunnel in which nobody says anything for this long is closed: whoever uses one sends a ping now and then.
const IDLE: Duration = Duration::from_secs(3_600);

/// What runs beside a request that is to become a tunnel, or has; until dropped.
pub(super) struct Beside {
    task: tokio::task::JoinHandle<()>,
    heard: Option<Arc<Notify>>,
}

impl Beside {
    /// Ends a request that is not a tunnel yet when the upstream says nothing for this long.
    pub(super) fn upgrading(patience: Duration) -> Option<Self> {
        let connection = connection::current()?;
        connection.may_stop();
        let heard = Arc::new(Notify::new());
        let task = tokio::spawn(time_out(connection, patience, heard.clone()));
        Some(Self { task, heard: Some(heard) })
    }

    /// Keeps the session of an open tunnel alive, and closes the tunnel when the session is over.
    pub(super) fn open(room: Arc<Room>, session: Session, now_s: u64) -> Self {
        let connection = connection::current();
        let task = tokio::spawn(async move {
            keep(room, session, now_s).await;
            if let Some(connection) = connection {
                connection.stop();
            }
        });
        Self { task, heard: None }
    }

    /// The upstream has said something.
    pub(super) fn heard(&self) {
        if let Some(heard) = &self.heard {
            heard.notify_one();
        }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Pingora has one read timeout for an upstream's answer and for the tunnel after it, to be set beforehand. Here it
/// becomes the tunnel's; the answer's is returned, for [`Beside::upgrading`]. `None`: there is no connection that could
/// be stopped, and nothing changes.
pub(super) fn may_become_one(peer: &mut HttpPeer) -> Option<Duration> {
    connection::current()?;
    peer.options.read_timeout.replace(IDLE)
}

/// The client of a tunnel may say nothing for long.
pub(super) fn may_be_idle(request: &mut Request) {
    request.set_read_timeout(Some(IDLE));
}

/// Stops a request whose upstream says nothing.
async fn time_out(connection: Connection, patience: Duration, heard: Arc<Notify>) {
    while tokio::time::timeout(patience, heard.notified()).await.is_ok() {}
    connection.stop();
}

/// Keeps a session alive for as long as it can be.
async fn keep(room: Arc<Room>, mut session: Session, now_s: u64) {
    // Time passes by the runtime's clock here; the store's clock decides what an extension means.
    let mut time = Time::at(now_s);
    // A provisional session has come back with its token the moment its tunnel opens: make it whole
    // at once, before its slot is given to somebody else.
    let mut at_once = session.provisional;
    loop {
        if !at_once {
            let left = Duration::from_secs(session.expires_s.saturating_sub(time.now_s()));
            tokio::time::sleep((room.settings().session_ttl / 4).min(left).max(RETRY)).await;
        }
        at_once = false;
        let now_s = time.now_s();
        if is_over(&room, &session, now_s) {
            return;
        }
        // Nobody else asks for a tunnel, should the store have lost its session.
        room.vouch_for(&session);
        let settings = room.settings().clone();
        let Some(ttl) = due_for(&session, &settings, now_s) else { continue };
        // What has run out is not proved by a tunnel: its slot may be somebody else's (I2).
        let proof = session.live(now_s);
        let item = TouchItem { vid: session.vid, seq: session.seq, ttl, proof, began_ms: session.began_s * 1_000 };
        match room.touch(session.epoch, item, Patience::begins()).await {
            Ok(Verdict::Session { expires_at_ms, .. }) => {
                session.expires_s = expires_at_ms / 1_000;
                session.provisional = false;
                time = Time::at(session.expires_s.saturating_sub(ttl.as_secs()));
            }
            // A life that the store has not been told of yet has no sessions there.
            Ok(Verdict::No | Verdict::Waiting(_)) if session.epoch != room.view().epoch => {}
            // Ended, or run out and its slot taken: whoever has no session has no way in.
            Ok(Verdict::No | Verdict::Waiting(_)) => return,
            // The store is away: the next turn tries again, soon if there is little time.
            Err(_) => {
                tokio::time::sleep(RETRY).await;
                at_once = session.provisional;
            }
        }
    }
}

/// Whether a request with this session would be refused, whatever the store says of it. One that can still be extended
/// is not over before the store has said so.
fn is_over(room: &Room, session: &Session, now_s: u64) -> bool {
    let view = room.view();
    if !view.honours(session) || room.has_ended_here(session) {
        return true;
    }
    // While the store is away, whoever was let through for that reason stays.
    let stays = session.seq == 0 && view.stale;
    !session.live(now_s) && !stays && due_for(session, &room.settings(), now_s).is_none()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_tunnels_client_may_be_idle_for_longer_than_another() {
        let (_client, server) = tokio::io::duplex(64);
        let mut request = Request::new_h1(Box::new(server));
        request.set_read_timeout(Some(crate::edge::CLIENT_PAUSE));
        may_be_idle(&mut request);
        assert_eq!(request.as_downstream().get_read_timeout(), Some(IDLE));
    }
}
