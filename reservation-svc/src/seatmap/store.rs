//! The seat map's copy in Redis: one hash a schedule, seats merged by their version. Must not know SQL or HTTP.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use redis::Script;

use crate::link::Link;
use crate::seat::{ScheduleId, Seat, Standing};

/// How long a map counts without being read from the database again: the net under writers that could not tell.
pub const COUNTS_FOR: Duration = Duration::from_secs(2);

/// The same for a schedule that is sold out: only a cancellation can change it, and that is told.
pub const SOLD_OUT_COUNTS_FOR: Duration = Duration::from_secs(30);

/// A writer's word goes before what the database said for so long: longer than any reading takes, on a replica
/// that may be late (`LAG_LIMIT` of the ledger) included.
const WORD_FOR: Duration = Duration::from_secs(10);

/// After this long without a reader the map goes.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// What Redis knows of a map.
pub enum Stored {
    /// The revision asked with is the current one.
    Same,
    /// The map, and its revision.
    Map(String, Vec<Seat>),
    /// It has to be read from the database, and put here.
    Missing,
    /// Redis is off, down or slow.
    Unknown,
}

/// What came of putting a reading into Redis.
pub enum Filled {
    /// All seats as read, under this revision.
    AsRead(String),
    /// Writers knew better of some: the map, and its revision.
    Newer(String, Vec<Seat>),
    /// Redis is off, down or slow, or what it has can not be read.
    Unknown,
}

/// What a writer made of a seat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its number.
    pub seat: String,
    /// Its version since.
    pub version: i64,
    /// Who has it.
    pub standing: Standing,
}

/// Maps in one Redis, or nowhere.
pub struct MapStore(Option<Connected>);

struct Connected {
    link: Arc<Link>,
    read: Script,
    fill: Script,
    tell: Script,
}

impl MapStore {
    /// Keeps nothing.
    pub fn off() -> Self {
        Self(None)
    }

    /// Maps in the Redis behind `link`.
    pub fn over(link: Arc<Link>) -> Self {
        Self(Some(Connected {
            link,
            read: Script::new(include_str!("read.lua")),
            fill: Script::new(include_str!("fill.lua")),
            tell: Script::new(include_str!("tell.lua")),
        }))
    }

    /// Whether maps are kept at all.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// The map, unless the caller has it (`known`: its revision).
    pub async fn read(&self, schedule: ScheduleId, known: Option<&str>) -> Stored {
        let Some(redis) = &self.0 else { return Stored::Unknown };
        let mut call = redis.read.key(key(schedule));
        call.arg(known.unwrap_or_default());
        let answer: Option<(String, Vec<String>)> = redis.link.call("map_read", &call).await;
        match answer {
            None => Stored::Unknown,
            Some((revision, _)) if revision.is_empty() => Stored::Missing,
            Some((_, fields)) if fields.is_empty() => Stored::Same,
            Some((revision, fields)) => seats(fields).map_or(Stored::Missing, |seats| Stored::Map(revision, seats)),
        }
    }

    /// Puts what the database said into the map.
    pub async fn fill(&self, schedule: ScheduleId, read: &[Seat]) -> Filled {
        let Some(redis) = &self.0 else { return Filled::Unknown };
        let plan: Vec<(&str, &str, i64)> =
            read.iter().map(|seat| (seat.seat.as_str(), seat.section.as_str(), seat.price)).collect();
        let Ok(plan) = serde_json::to_string(&plan) else { return Filled::Unknown };
        let sold_out = !read.is_empty() && read.iter().all(|seat| seat.standing == Standing::Sold);
        let mut call = redis.fill.key(key(schedule));
        call.arg(plan)
            .arg(millis(if sold_out { SOLD_OUT_COUNTS_FOR } else { COUNTS_FOR }))
            .arg(millis(WORD_FOR))
            .arg(millis(KEPT_FOR));
        for seat in read {
            call.arg(seat.seat.as_str()).arg(seat.version).arg(spell(seat.standing));
        }
        let answer: Option<(String, Vec<String>)> = redis.link.call("map_fill", &call).await;
        match answer {
            None => Filled::Unknown,
            Some((revision, fields)) if fields.is_empty() => Filled::AsRead(revision),
            Some((revision, fields)) => seats(fields).map_or(Filled::Unknown, |seats| Filled::Newer(revision, seats)),
        }
    }

    /// Tells of a change, after its commit.
    pub async fn tell(&self, schedule: ScheduleId, changes: &[Change]) {
        let (Some(redis), false) = (&self.0, changes.is_empty()) else { return };
        let mut call = redis.tell.key(key(schedule));
        call.arg(millis(COUNTS_FOR)).arg(millis(KEPT_FOR));
        for change in changes {
            call.arg(change.seat.as_str()).arg(change.version).arg(spell(change.standing));
        }
        let _: Option<i64> = redis.link.call("map_tell", &call).await;
    }
}

fn key(schedule: ScheduleId) -> String {
    format!("seats:{}", schedule.0)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// As the hash has it: `A`, `R`, or until when it is held, ms since 1970.
fn spell(standing: Standing) -> String {
    match standing {
        Standing::Free => "A".to_owned(),
        Standing::Sold => "R".to_owned(),
        Standing::HeldUntil(ms) => ms.max(0).to_string(),
    }
}

/// The map that a hash's fields are; `None` when they do not fit, which is as good as no map.
fn seats(fields: Vec<String>) -> Option<Vec<Seat>> {
    let mut by_name = HashMap::with_capacity(fields.len() / 2);
    let mut fields = fields.into_iter();
    while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
        by_name.insert(name, value);
    }
    let plan: Vec<(String, String, i64)> = serde_json::from_str(by_name.get("#plan")?).ok()?;
    plan.into_iter()
        .map(|(seat, section, price)| {
            let mut parts = by_name.get(&seat)?.split(':');
            let version = parts.next()?.parse().ok()?;
            let standing = match parts.next()? {
                "A" => Standing::Free,
                "R" => Standing::Sold,
                held => Standing::HeldUntil(held.parse().ok()?),
            };
            Some(Seat { seat, section, price, version, standing })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_do_not_fit_are_no_map() {
        let owned = |fields: &[&str]| fields.iter().map(|field| (*field).to_owned()).collect::<Vec<_>>();
        let plan = r#"[["A-1","VIP",5],["A-2","R",4]]"#;
        let good = owned(&["#plan", plan, "A-1", "7:R:1", "A-2", "2:1234:1", "#rev", "9"]);
        let read = seats(good).unwrap();
        assert_eq!(
            (read[0].version, read[0].standing, read[1].standing),
            (7, Standing::Sold, Standing::HeldUntil(1234))
        );
        for bad in [&["#plan", plan, "A-1", "7:R:1"][..], &["A-1", "7:R:1"], &["#plan", "[", "A-1", "1:A:1"]] {
            assert_eq!(seats(owned(bad)), None, "{bad:?}");
        }
    }
}
