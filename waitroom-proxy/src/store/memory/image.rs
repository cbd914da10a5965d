//! Everything the store keeps of a room, for tests: to compare stores, to lose writes, to check the invariants.

use std::collections::BTreeMap;

use super::super::{RoomName, SEQ_MARGIN, Vid};
use super::state::{Place, Room};
use super::{MemoryStore, bits};

/// A copy of a room, as it was at one moment.
#[derive(Clone, Debug)]
pub struct RoomImage(Room);

impl RoomImage {
    /// Who waits, and at which number.
    #[must_use]
    pub fn waiting(&self) -> BTreeMap<Vid, u64> {
        self.visitors(|place| matches!(place, Place::Waiting(_)).then_some(0))
            .map(|(vid, (seq, _))| (vid, seq))
            .collect()
    }

    /// Who has a turn: number and claim deadline in ms.
    #[must_use]
    pub fn granted(&self) -> BTreeMap<Vid, (u64, u64)> {
        self.visitors(|place| if let Place::Granted { until_ms, .. } = place { Some(until_ms) } else { None }).collect()
    }

    /// Who has a session: number and expiry in ms.
    #[must_use]
    pub fn active(&self) -> BTreeMap<Vid, (u64, u64)> {
        self.visitors(|place| if let Place::Active { until_ms, .. } = place { Some(until_ms) } else { None }).collect()
    }

    /// When each session began, ms.
    #[must_use]
    pub fn began(&self) -> BTreeMap<Vid, u64> {
        self.visitors(|place| if let Place::Active { began_ms, .. } = place { Some(began_ms) } else { None })
            .map(|(vid, (_, began_ms))| (vid, began_ms))
            .collect()
    }

    /// The numbers whose waiting, spent and ended bits are set.
    #[must_use]
    pub fn bits(&self) -> [Vec<u64>; 3] {
        [&self.0.waiting, &self.0.spent, &self.0.ended]
            .map(|map| bits::set_bits(&map.tail(0)).map(|bit| self.0.base + bit).collect())
    }

    /// The tokens in the bucket, as of the last refill.
    #[must_use]
    pub fn tokens(&self) -> f64 {
        self.0.tokens
    }

    /// The numbers in line, first to last, by the ordered half of the index.
    #[must_use]
    pub fn line(&self) -> Vec<u64> {
        self.0.line.keys().copied().collect()
    }

    /// The same as a shared store makes of it that notices, by its replication id, that it may have lost writes:
    /// the next numbers are beyond all that can have been given out, and nobody gets a turn from what was saved up.
    #[must_use]
    pub fn fenced(mut self) -> Self {
        self.0.seq += SEQ_MARGIN;
        self.0.tokens = 0.0;
        self
    }

    fn visitors(&self, until: impl Fn(Place) -> Option<u64>) -> impl Iterator<Item = (Vid, (u64, u64))> {
        self.0.places.iter().filter_map(move |(vid, place)| Some((*vid, (place.seq(), until(*place)?))))
    }
}

impl MemoryStore {
    /// A copy of a room; `None` when it has no state.
    #[must_use]
    pub fn image(&self, room: &RoomName) -> Option<RoomImage> {
        self.rooms().get(room).cloned().map(RoomImage)
    }

    /// Puts a room back to an earlier copy, or forgets it: what a failover or a wipe does to a server.
    pub fn set_image(&self, room: &RoomName, image: Option<RoomImage>) {
        let mut rooms = self.rooms();
        match image {
            Some(image) => rooms.insert(room.clone(), image.0),
            None => rooms.remove(room),
        };
    }
}
