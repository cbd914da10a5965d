//! The reaper: reports whom this node heard, and takes out of the line who has gone silent.
//!
//! Runs inside the keeper's rounds and measures time by the store's clock. Must never take out anybody whose
//! heartbeat may have been lost: in doubt it waits for another bucket.

use std::collections::VecDeque;
use std::time::Duration;

use super::Room;
use super::beats::Marks;
use super::settings::LONGEST_POLL;
use crate::silence::{Due, Hearing, Pace, Rounds};
use crate::store::{Detail, Epoch, Lane, MAX_BATCH, NodeId, QueueStore, StoreError, Upload};
use crate::view::RoomView;

/// The longest pause between two polls, jitter included.
const LONGEST_SILENCE: Duration = LONGEST_POLL.saturating_add(Duration::from_secs(6));

/// How far from the front somebody belongs to those who are next: whose turn comes within this many times the
/// silence that is allowed …
const NEXT: f64 = 3.0;
/// … and never fewer numbers than this.
const NEXT_MIN: u64 = 1_000;

pub(super) struct Reaper {
    node: NodeId,
    abandon_after: Duration,
    epoch: Option<Epoch>,
    lanes: [LaneState; 2],
    /// Found silent and not taken out yet; the lowest first.
    silent: VecDeque<u64>,
    /// After an outage nobody is judged before this, ms by the store's clock.
    quiet_until_ms: u64,
    /// The store was away, or had lost the room: what was heard meanwhile is not the whole.
    disturbed: bool,
    /// A live node has not reported; said once.
    missing: bool,
}

struct LaneState {
    lane: Lane,
    rounds: Rounds,
    /// Heard and not reported yet.
    unsent: Marks,
    reported: Option<u64>,
    /// A bucket whose reports were not complete is looked at again then.
    again_ms: u64,
}

impl LaneState {
    fn new(lane: Lane, abandon_after: Duration, now_ms: u64) -> Self {
        let rounds = Rounds::new(Pace::new(lane, abandon_after), now_ms);
        Self { lane, rounds, unsent: Marks::default(), reported: None, again_ms: 0 }
    }
}

fn lanes(abandon_after: Duration, now_ms: u64) -> [LaneState; 2] {
    [Lane::Head, Lane::Line].map(|lane| LaneState::new(lane, abandon_after, now_ms))
}

impl Reaper {
    pub(super) fn new(node: NodeId) -> Self {
        Self {
            node,
            abandon_after: Duration::ZERO,
            epoch: None,
            lanes: lanes(Duration::from_secs(1), 0),
            silent: VecDeque::new(),
            quiet_until_ms: 0,
            disturbed: false,
            missing: false,
        }
    }

    /// The store did not answer, or had to be restored: nobody is judged until everybody had time to poll again.
    pub(super) fn disturb(&mut self) {
        self.disturbed = true;
    }

    /// One round: cheap unless a bucket has ended.
    pub(super) async fn round(&mut self, room: &Room, store: &dyn QueueStore) -> Result<(), StoreError> {
        let view = room.view.load_full();
        let now_ms = view.as_of_ms;
        self.keep_up(room, &view);
        if view.waiting == 0 {
            return Ok(());
        }
        for at in 0..self.lanes.len() {
            self.report(at, room, store, &view).await?;
            if now_ms >= self.quiet_until_ms {
                self.judge(at, room, store, now_ms).await?;
            }
        }
        self.take_out(room, store, view.epoch).await
    }

    /// Begins anew where what was heard so far proves nothing any more.
    fn keep_up(&mut self, room: &Room, view: &RoomView) {
        let (now_ms, abandon_after) = (view.as_of_ms, room.settings.load().abandon_after);
        if self.epoch != Some(view.epoch) {
            // Numbers of a former epoch meant others.
            room.beats.drain(u64::MAX, |_, _| {});
            self.lanes = lanes(abandon_after, now_ms);
            self.silent.clear();
        } else if self.disturbed || self.abandon_after != abandon_after {
            for state in &mut self.lanes {
                // What was heard and not reported is kept.
                let unsent = std::mem::take(&mut state.unsent);
                *state = LaneState { unsent, ..LaneState::new(state.lane, abandon_after, now_ms) };
            }
            self.silent.clear();
        }
        if self.disturbed {
            let slack = self.lanes[1].rounds.pace().period();
            // Where a shorter silence than a poll interval is enough, it is enough here as well.
            self.quiet_until_ms = now_ms + ms(LONGEST_SILENCE.min(abandon_after) + slack);
        }
        self.disturbed = false;
        self.epoch = Some(view.epoch);
        self.abandon_after = abandon_after;
    }

    /// Reports whom this node heard, once a bucket.
    async fn report(
        &mut self,
        at: usize,
        room: &Room,
        store: &dyn QueueStore,
        view: &RoomView,
    ) -> Result<(), StoreError> {
        let pace = self.lanes[at].rounds.pace();
        let Some(bucket) = pace.ended(view.as_of_ms).filter(|ended| self.lanes[at].reported < Some(*ended)) else {
            return Ok(());
        };
        let head = view.head.unwrap_or(view.seen.seq);
        let lanes = &mut self.lanes;
        room.beats.drain(head, |word, bits| lanes.iter_mut().for_each(|state| state.unsent.add(word, bits)));
        let state = &mut self.lanes[at];
        let line_end = view.seen.seq + 1;
        let to = match state.lane {
            Lane::Line => line_end,
            Lane::Head => line_end.min(head + next_few(room, self.abandon_after)),
        };
        let alive = self.abandon_after + 2 * Pace::new(Lane::Line, self.abandon_after).period();
        let upload = Upload {
            node: self.node,
            lane: state.lane,
            bucket,
            report: state.unsent.report(head, to),
            keep: pace.kept(),
            alive,
        };
        store.heartbeats(&room.name, view.epoch, &upload).await?;
        state.reported = Some(bucket);
        state.unsent.clear();
        Ok(())
    }

    /// Finds out who is silent, if this node has the lease and everybody has reported.
    async fn judge(&mut self, at: usize, room: &Room, store: &dyn QueueStore, now_ms: u64) -> Result<(), StoreError> {
        let state = &mut self.lanes[at];
        let Due::Fetch(buckets) = state.rounds.due(now_ms) else { return Ok(()) };
        let (Some(last), Some(epoch)) = (buckets.last().copied(), self.epoch) else { return Ok(()) };
        if now_ms < state.again_ms {
            return Ok(());
        }
        let period = state.rounds.pace().period();
        state.again_ms = now_ms + ms(period / 4);
        // Kept from one bucket to the next, in both lanes.
        let lease = 3 * Pace::new(Lane::Line, self.abandon_after).period();
        let Some(nodes) = store.live_nodes(&room.name, epoch, self.node, lease).await? else {
            state.rounds.pass(last);
            return Ok(());
        };
        let mut hearing = Hearing::Missing;
        for bucket in buckets {
            let reports = store.heard(&room.name, state.lane, bucket, &nodes).await?;
            hearing = state.rounds.hear(bucket, reports);
        }
        if hearing == Hearing::Missing {
            if !std::mem::replace(&mut self.missing, true) {
                tracing::warn!(room = %room.name, nodes = nodes.len(), "a live node's heartbeats are missing: nobody is taken out of the line until they are there");
            }
            return Ok(());
        }
        self.missing = false;
        let picture = store.snapshot(&room.name, Some(epoch), Detail::Polls).await?;
        let found = state.rounds.judge(last, &picture.waiting_bits);
        if !found.is_empty() {
            self.silent = merged(&self.silent, found);
        }
        Ok(())
    }

    /// Takes out one batch, so that turns are not kept waiting; the next round takes the next.
    async fn take_out(&mut self, room: &Room, store: &dyn QueueStore, epoch: Epoch) -> Result<(), StoreError> {
        let mut batch = Vec::new();
        while batch.len() < MAX_BATCH
            && let Some(seq) = self.silent.pop_front()
        {
            // Heard here since: of other nodes it is known with their next report, and a poll puts back in line.
            if !room.beats.contains(seq) && !self.lanes.iter().any(|state| state.unsent.contains(seq)) {
                batch.push(seq);
            }
        }
        if batch.is_empty() {
            return Ok(());
        }
        let reaped = store.reap(&room.name, epoch, &batch).await?;
        tracing::info!(room = %room.name, reaped, "out of the line: silent for too long");
        Ok(())
    }
}

/// How many numbers from the front on are those who are next.
fn next_few(room: &Room, abandon_after: Duration) -> u64 {
    // Finite and not negative: the config says so.
    ((room.settings.load().limits.rate_per_s * abandon_after.as_secs_f64() * NEXT) as u64).max(NEXT_MIN)
}

/// Both, in order, each once.
fn merged(old: &VecDeque<u64>, new: Vec<u64>) -> VecDeque<u64> {
    if old.is_empty() {
        return new.into();
    }
    old.iter().copied().chain(new).collect::<std::collections::BTreeSet<u64>>().into_iter().collect()
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
