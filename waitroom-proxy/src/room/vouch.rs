//! Sessions that a store has lost: this node tells it of each that still comes, once, so that its place counts as taken.
//! Costs an admitted request one look at memory; the store is told in the background.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::beats::Beats;
use super::{Clock, Room};
use crate::session::Session;
use crate::store::{MAX_BATCH, QueueStore, StoreError, TouchItem};

/// Sessions that may wait for the store to be told of them; whoever finds no place here tries with the next request.
const MOST: usize = 65_536;

/// Pause before the store is told again.
const RETRY: Duration = Duration::from_millis(500);

/// Of which sessions the store was told since the last loss.
#[derive(Debug)]
pub(super) struct Vouched {
    /// Sessions that began up to here may be lost, ms by the store's clock; 0: none was ever lost.
    lost_ms: AtomicU64,
    /// The numbers that the store was told of, or is about to be.
    told: Beats,
    queue: tokio::sync::mpsc::Sender<Session>,
}

/// The other end: sessions that the store is to be told of.
pub(super) type Vouches = tokio::sync::mpsc::Receiver<Session>;

impl Vouched {
    pub(super) fn new() -> (Self, Vouches) {
        let (queue, vouches) = tokio::sync::mpsc::channel(MOST);
        (Self { lost_ms: AtomicU64::new(0), told: Beats::default(), queue }, vouches)
    }

    /// Sessions that began up to this time may be lost: what the store was told of before counts no more.
    pub(super) fn begin(&self, lost_ms: u64) {
        self.lost_ms.store(lost_ms, Ordering::Relaxed);
        self.told.drain(u64::MAX, |_, _| {});
    }

    /// Has the store told of this session, unless it was or the session began later.
    pub(super) fn vouch_for(&self, session: &Session) {
        let may_be_lost = session.began_s.saturating_mul(1_000) <= self.lost_ms.load(Ordering::Relaxed);
        if session.seq > 0 && may_be_lost && !self.told.contains(session.seq) && self.queue.try_send(*session).is_ok() {
            self.told.beat(session.seq);
        }
    }
}

/// Tells the store of sessions, as often as it takes; none lasts longer for it.
pub(super) async fn tell_all(room: Arc<Room>, store: Arc<dyn QueueStore>, clock: Clock, mut vouches: Vouches) {
    let mut batch = Vec::new();
    while vouches.recv_many(&mut batch, MAX_BATCH).await > 0 {
        loop {
            let (epoch, now_ms) = (room.view().epoch, room.by_the_store(clock()));
            // What ended or ran out meanwhile is over.
            let current = batch.iter().filter(|session| session.epoch == epoch && !room.ended_here(epoch, session.seq));
            let items: Vec<TouchItem> = current.filter_map(|session| as_it_is(session, now_ms)).collect();
            if items.is_empty() {
                break;
            }
            match store.touch(&room.name, epoch, &items).await {
                Ok(_) => break,
                Err(StoreError::Refused(why)) => {
                    tracing::error!(room = %room.name, why, "the store refused to be told of sessions");
                    break;
                }
                Err(_) => {
                    room.nudge();
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
        batch.clear();
    }
}

/// The session for as long as it lasts anyway.
fn as_it_is(session: &Session, now_ms: u64) -> Option<TouchItem> {
    let left_ms = session.expires_s.saturating_mul(1_000).checked_sub(now_ms).filter(|left| *left > 0)?;
    let ttl = Duration::from_millis(left_ms);
    let began_ms = session.began_s.saturating_mul(1_000);
    Some(TouchItem { vid: session.vid, seq: session.seq, ttl, proof: true, began_ms })
}
