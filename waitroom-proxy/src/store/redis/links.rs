//! Which link a room's calls take: all the same one, or in a cluster one of its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::super::RoomName;
use super::cluster::{Cluster, slot_of};
use super::link::Link;
use super::route::Route;
use super::sentinel::Sentinels;
use super::target::Target;

/// The links of a store.
pub(super) enum Links {
    /// One server at a time for everything.
    One(Arc<Link>),
    /// In a cluster a room has a link of its own: one that cannot be reached holds up no other room.
    Cluster {
        cluster: Arc<Cluster>,
        /// Bounded by the rooms in the config.
        rooms: Mutex<HashMap<RoomName, Arc<Link>>>,
        limit: Duration,
    },
}

impl Links {
    pub(super) fn new(target: Target, limit: Duration) -> Self {
        let one = |route| Self::One(Arc::new(Link::new(route, limit)));
        match target {
            Target::One(info) => one(Route::Fixed(info)),
            Target::Sentinel { sentinels, name } => one(Route::Sentinel(Sentinels::new(sentinels, name))),
            Target::Cluster(seeds) => {
                Self::Cluster { cluster: Arc::new(Cluster::new(seeds)), rooms: Mutex::default(), limit }
            }
        }
    }

    /// The link of a room.
    pub(super) fn of(&self, room: &RoomName) -> Arc<Link> {
        match self {
            Self::One(link) => Arc::clone(link),
            Self::Cluster { cluster, rooms, limit } => {
                let mut rooms = rooms.lock().unwrap_or_else(PoisonError::into_inner);
                let link = rooms.entry(room.clone()).or_insert_with(|| {
                    Arc::new(Link::new(Route::Slot(Arc::clone(cluster), slot_of(room.as_str())), *limit))
                });
                Arc::clone(link)
            }
        }
    }

    /// Every link that is in use; in a cluster without any room, one to the first slot.
    pub(super) fn all(&self) -> Vec<Arc<Link>> {
        match self {
            Self::One(link) => vec![Arc::clone(link)],
            Self::Cluster { cluster, rooms, limit } => {
                let rooms: Vec<_> = rooms.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
                if rooms.is_empty() {
                    return vec![Arc::new(Link::new(Route::Slot(Arc::clone(cluster), 0), *limit))];
                }
                rooms
            }
        }
    }
}
