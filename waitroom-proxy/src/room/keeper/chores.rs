//! What the keeper does beside its work: silent visitors are taken out of the line, bitmaps are shortened. A chore that
//! fails is no outage: turns are given and pictures taken all the same.

use std::time::Duration;

use tokio::time::Instant;

use super::Keeper;
use crate::store::{RoomPicture, SEQ_MARGIN, StoreError};

/// The bitmaps are shortened when this many numbers (64 KiB of each) can go.
const TRIM_AT_LEAST: u64 = 524_288;

/// Pause after a chore that failed.
const REST: Duration = Duration::from_secs(1);

impl Keeper {
    pub(super) async fn reap(&mut self) {
        if self.last_tick < self.chores_rest_until {
            return;
        }
        match self.reaper.round(&self.work.room, self.work.store.as_ref()).await {
            Ok(()) => self.chore_trouble = None,
            Err(error) => self.leave_it(&error),
        }
    }

    /// Shortens the bitmaps as far as nobody up to there can have a session any more.
    pub(super) async fn trim(&mut self, picture: &RoomPicture) {
        let life = self.room().settings.load().life_of_a_number();
        let Some(over) = self.horizon.note(picture.epoch, picture.now_ms, picture.watermark, life) else { return };
        // Kept below the present watermark; the margin is more than the turns that are given between look and trim.
        let keep = picture.watermark.saturating_sub(over) + SEQ_MARGIN;
        if let Err(error) = self.work.store.trim(&self.room().name, picture.epoch, keep, TRIM_AT_LEAST).await {
            self.leave_it(&error);
        }
    }

    /// Says so, once for each reason. Whom the reaper heard meanwhile is not the whole.
    fn leave_it(&mut self, error: &StoreError) {
        if matches!(error, StoreError::Lost | StoreError::Superseded(_)) {
            // The next tick finds out what has happened to the room.
            return;
        }
        self.reaper.disturb();
        self.chores_rest_until = Instant::now() + REST;
        let why = error.to_string();
        if self.chore_trouble.as_ref() != Some(&why) {
            tracing::error!(room = %self.room().name, why, "heartbeats could not be kept or bitmaps not shortened; nobody is taken out of the line, turns go on");
            self.chore_trouble = Some(why);
        }
    }
}
