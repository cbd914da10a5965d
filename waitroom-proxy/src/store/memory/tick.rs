//! The admission tick: refill, sweep, grant.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::{Limits, MAX_TICK, Seen, StoreError, Ticked, Vid};
use super::state::{Now, Room, check_limits, check_seen};

/// Most overdue turns, and most overdue sessions, dropped by one tick.
const SWEEP: usize = 5_000;

impl Room {
    /// See `tick` of the store.
    pub(super) fn tick(&mut self, seen: Seen, limits: Limits, claim_ms: u64, now: Now) -> Result<Ticked, StoreError> {
        check_limits(limits)?;
        check_seen(seen)?;
        let rolled_back = self.refill(seen, limits, now);
        self.watermark = self.watermark.max(seen.watermark);
        self.sweep(now);

        let occupied = self.occupied(now);
        let mut wanted = (self.tokens as u64).min(u64::from(MAX_TICK));
        if limits.max_active > 0 {
            wanted = wanted.min(limits.max_active.saturating_sub(occupied));
        }
        let mut granted_now = 0;
        if self.hold_until_us <= now.us && !self.paused() {
            while granted_now < wanted {
                let Some((seq, vid)) = self.line.pop_first() else { break };
                self.waiting.unset(seq - self.base);
                self.places.remove(&vid);
                self.grant(vid, seq, now.ms + claim_ms);
                self.watermark = self.watermark.max(seq);
                granted_now += 1;
            }
        }
        self.tokens -= granted_now as f64;
        self.admitted += granted_now;
        Ok(Ticked {
            granted_now,
            watermark: self.watermark,
            admitted: self.admitted,
            occupied: occupied + granted_now,
            waiting: self.line.len() as u64,
            head: self.head(),
            rolled_back,
            hold: self.hold_left(now),
            seq: self.seq,
            base: self.base,
            floor: self.floor,
            pause: self.pause,
            now_ms: now.ms,
        })
    }

    /// Drops the overdue, in slices, so that no tick takes long.
    fn sweep(&mut self, now: Now) {
        let overdue = |set: &BTreeSet<(u64, Vid)>| -> Vec<Vid> {
            set.range(..(now.ms, Vid([0; 12]))).take(SWEEP).map(|(_, vid)| *vid).collect()
        };
        for vid in overdue(&self.grants).into_iter().chain(overdue(&self.sessions)) {
            self.take_out(vid);
        }
    }

    /// How long nobody is granted a turn, in whole milliseconds, rounded up.
    pub(super) fn hold_left(&self, now: Now) -> Duration {
        Duration::from_millis(self.hold_until_us.saturating_sub(now.us).div_ceil(1_000))
    }
}
