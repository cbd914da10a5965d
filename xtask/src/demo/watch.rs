//! Looks at the room four times a second, draws the admissions, and measures how well they keep the rate.

mod accuracy;
mod line;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::time::Instant;

use super::crowd::Crowd;
use super::site::Site;
use crate::http;

pub(crate) use accuracy::of as accuracy_of;

/// How often the room is looked at: often enough to find the ends of a wait, cheap for the store.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Looks for each line of the graph.
const LOOKS_A_LINE: usize = 4;

/// Looks that may fail in a row before the demo gives up: five seconds.
const FAILURES: u32 = 20;

/// The room at one moment, as the admin listener tells it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Look {
    /// The store's clock.
    pub(crate) as_of_ms: u64,
    pub(crate) admitted_total: u64,
    pub(crate) waiting: u64,
    pub(crate) granted: u64,
    pub(crate) active: u64,
    pub(crate) rate_per_s: f64,
}

impl Look {
    fn parse(rooms: &Value) -> Option<Self> {
        let room = rooms["rooms"].get(0)?;
        let number = |key: &str| room[key].as_u64();
        Some(Self {
            as_of_ms: number("as_of_ms")?,
            admitted_total: number("admitted_total")?,
            waiting: number("waiting")?,
            granted: number("granted")?,
            active: number("active")?,
            rate_per_s: room["rate_per_s"].as_f64()?,
        })
    }
}

/// All that was seen.
#[derive(Debug)]
pub(crate) struct Watch {
    admin: SocketAddr,
    began: Instant,
    looks: Vec<Look>,
}

impl Watch {
    /// Nothing seen yet.
    pub(crate) fn new(admin: SocketAddr, began: Instant) -> Self {
        Self { admin, began, looks: Vec::new() }
    }

    /// All looks, oldest first.
    pub(crate) fn looks(&self) -> &[Look] {
        &self.looks
    }

    /// Looks and draws until `end`, or for ever without one.
    pub(crate) async fn follow(
        &mut self,
        site: &Site,
        mut crowd: Option<&mut Crowd>,
        end: Option<Instant>,
    ) -> Result<()> {
        let mut failures = 0;
        let mut drawer = line::Drawer::default();
        let mut next = Instant::now();
        while end.is_none_or(|end| Instant::now() < end) {
            next += LOOK_EVERY;
            tokio::time::sleep_until(end.map_or(next, |end| end.min(next))).await;
            site.check()?;
            match self.look().await {
                Ok(look) => {
                    failures = 0;
                    self.looks.push(look);
                }
                Err(error) if failures >= FAILURES => return Err(error.context("the admin listener is gone")),
                Err(_) => failures += 1,
            }
            if self.looks.len().is_multiple_of(LOOKS_A_LINE) {
                let since = self.looks.len().saturating_sub(LOOKS_A_LINE + 1);
                drawer.draw(self.began.elapsed(), &self.looks[since..]);
            }
            if let Some(crowd) = crowd.as_deref_mut() {
                crowd.tell_when_gone();
            }
        }
        Ok(())
    }

    async fn look(&self) -> Result<Look> {
        let rooms = http::json(self.admin, "/admin/rooms").await?;
        Look::parse(&rooms).with_context(|| format!("the admin listener told of no room: {rooms}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_read_as_the_contract_has_it() {
        let rooms = serde_json::json!({"rooms": [{
            "room": "concert", "generation": 1, "admitted_total": 7, "as_of_ms": 1000, "waiting": 3, "granted": 1,
            "active": 2, "rate_per_s": 50.0, "rate_measured": 49.0, "max_active": 10, "paused": false, "stale": false
        }]});
        let look = Look { as_of_ms: 1000, admitted_total: 7, waiting: 3, granted: 1, active: 2, rate_per_s: 50.0 };
        assert_eq!(Look::parse(&rooms), Some(look));
        assert_eq!(Look::parse(&serde_json::json!({"rooms": []})), None);
    }
}
