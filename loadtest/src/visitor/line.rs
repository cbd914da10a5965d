//! Standing in line: poll as told, until let in, out of patience, or sent back to the door.

use std::time::Duration;

use super::{Outcome, Stage, Visitor};
use crate::{
    audit::PlaceInLine,
    contract::{QueueState, Status},
    site::Ask,
};

/// Longest pause between two polls, whatever the site says: a visitor would reload the page.
const LONGEST_POLL: Duration = Duration::from_secs(60);

/// Told to poll at once, a second time in a row: still not in a tight loop.
const SHORTEST_POLL: Duration = Duration::from_millis(100);

impl Visitor {
    pub(super) async fn line(&mut self) -> Stage {
        let mut pause = Duration::ZERO;
        loop {
            let looked = self.world.now();
            if !self.world.sleep(pause).await {
                return Stage::Leaving(Outcome::Stopped);
            }
            if self.world.now().saturating_sub(self.visit.arrived) > self.world.habits.patience {
                return Stage::Leaving(Outcome::GaveUp);
            }
            let status = match self.poll().await {
                Ok(status) => status,
                Err(outcome) => return Stage::Leaving(outcome),
            };
            self.look_at(&status);
            match status.state {
                QueueState::Waiting => {}
                QueueState::Admitted => {
                    self.visit.poll_gap = self.world.now().saturating_sub(looked);
                    self.entered();
                    return Stage::Door;
                }
                // The line was emptied, or the room is new: a browser reloads.
                QueueState::None => {
                    self.place = PlaceInLine::default();
                    return self.back_to_the_door();
                }
            }
            let told = Duration::from_millis(status.poll_after_ms).min(LONGEST_POLL);
            pause = if pause.is_zero() { told } else { told.max(SHORTEST_POLL) };
        }
    }

    fn back_to_the_door(&mut self) -> Stage {
        self.visit.returns += 1;
        if self.visit.returns > super::MAX_RETURNS {
            return Stage::Leaving(Outcome::Failed("sent back to the door again and again".to_owned()));
        }
        Stage::Door
    }

    async fn poll(&mut self) -> Result<Status, Outcome> {
        let path = match self.jar.room() {
            Some(room) => format!("/queue/status?room={room}"),
            None => "/queue/status".to_owned(),
        };
        let answer =
            self.ask(Ask::get("status", &path)).await.map_err(|failure| Outcome::Failed(failure.to_string()))?;
        if !answer.status.is_success() {
            return Err(Outcome::Failed(format!("status: {} {}", answer.status.as_u16(), answer.problem())));
        }
        answer.json().ok_or_else(|| Outcome::Failed("status: not the JSON of the contract".to_owned()))
    }

    /// Checks what was told against what was told before, and against all others.
    fn look_at(&mut self, status: &Status) {
        for (invariant, what) in self.place.see(status) {
            self.world.audit.broken(invariant, self.number, what);
        }
        if let Some(seq) = self.place.seq() {
            self.world.audit.ticket(self.number, &status.room, seq);
            self.visit.seq.get_or_insert(seq);
        }
        if let Some(seen) = self.seen.last_mut() {
            (seen.state, seen.seq, seen.position) = (Some(status.state), status.seq, status.position);
        }
    }
}
