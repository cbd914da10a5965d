//! The ticket: a visitor's place in a room's line, as it travels in a cookie or header. Pure.

use std::time::Duration;

use crate::compact::{Reader, Writer};
use crate::seal::{Purpose, Sealer};
use crate::store::{Epoch, Vid};

/// A ticket without a number is good for this long: enough for a slow page and its first poll.
pub const PRE_TICKET_AGE: Duration = Duration::from_secs(600);

/// A clock of another proxy may run ahead by this much (F7); later than that is "from the future".
const CLOCK_SLACK: Duration = Duration::from_secs(120);

/// A place in line, or (with `seq` 0) the promise of one for whoever comes back with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The incarnation of the room that gave the number; of no meaning in a pre-ticket.
    pub epoch: Epoch,
    /// Who.
    pub vid: Vid,
    /// The number; 0 in a pre-ticket.
    pub seq: u64,
    /// When the visitor was first seen, milliseconds since the Unix epoch.
    pub arrived_ms: u64,
}

impl Ticket {
    /// A ticket without a number.
    #[must_use]
    pub fn pre(vid: Vid, now_ms: u64) -> Self {
        Self { epoch: Epoch { generation: 0, life: 0 }, vid, seq: 0, arrived_ms: now_ms }
    }

    /// Whether it still has to join.
    #[must_use]
    pub fn is_pre(&self) -> bool {
        self.seq == 0
    }

    /// When a ticket without a number is too old, milliseconds since the Unix epoch.
    #[must_use]
    pub fn good_until_ms(&self) -> u64 {
        self.arrived_ms.saturating_add(u64::try_from(PRE_TICKET_AGE.as_millis()).unwrap_or(u64::MAX))
    }

    /// The sealed text.
    #[must_use]
    pub fn seal(&self, sealer: &Sealer, room: &str) -> String {
        let body = Writer::new(self.epoch, self.vid, self.seq).number(self.arrived_ms).finish();
        sealer.seal(Purpose::Ticket, room, &body)
    }

    /// The ticket, if we sealed it for this room and it is neither too old nor from the future.
    #[must_use]
    pub fn open(sealer: &Sealer, room: &str, sealed: &str, now_ms: u64, max_age: Duration) -> Option<Self> {
        let body = sealer.open(Purpose::Ticket, room, sealed)?;
        let (epoch, vid, seq, mut rest) = Reader::new(body)?;
        let ticket = Self { epoch, vid, seq, arrived_ms: rest.number()? };
        if !rest.is_done() {
            return None;
        }
        let max_age = if ticket.is_pre() { PRE_TICKET_AGE } else { max_age };
        let age_ok = u128::from(now_ms.saturating_sub(ticket.arrived_ms)) <= max_age.as_millis();
        let past = u128::from(ticket.arrived_ms.saturating_sub(now_ms)) <= CLOCK_SLACK.as_millis();
        (age_ok && past).then_some(ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);
    const NOW: u64 = 1_795_161_600_000;

    fn sealer() -> Sealer {
        Sealer::new([[7; 32].as_slice()]).unwrap()
    }

    fn ticket() -> Ticket {
        Ticket { epoch: Epoch { generation: 3, life: 9 }, vid: Vid([5; 12]), seq: 88_123, arrived_ms: NOW }
    }

    #[test]
    fn survives_the_journey() {
        let sealed = ticket().seal(&sealer(), "concert");
        assert_eq!(Ticket::open(&sealer(), "concert", &sealed, NOW + 5, DAY), Some(ticket()));
        assert!(sealed.len() < 128, "a cookie of {} bytes with every request", sealed.len());
    }

    #[test]
    fn refused_another_seq() {
        let sealed = ticket().seal(&sealer(), "concert");
        let forged = Ticket { seq: 1, ..ticket() }.seal(&sealer(), "concert");
        let (body, _) = forged.rsplit_once('.').unwrap();
        let (_, mac) = sealed.rsplit_once('.').unwrap();
        assert_eq!(Ticket::open(&sealer(), "concert", &format!("{body}.{mac}"), NOW, DAY), None);
    }

    #[test]
    fn refused_too_old_and_from_the_future() {
        let sealed = ticket().seal(&sealer(), "concert");
        assert!(Ticket::open(&sealer(), "concert", &sealed, NOW + 86_400_000, DAY).is_some());
        assert!(Ticket::open(&sealer(), "concert", &sealed, NOW + 86_400_001, DAY).is_none());
        assert!(Ticket::open(&sealer(), "concert", &sealed, NOW - 60_000, DAY).is_some(), "f7: a clock a minute off");
        assert!(Ticket::open(&sealer(), "concert", &sealed, NOW - 120_001, DAY).is_none());
    }

    #[test]
    fn a_pre_ticket_lives_ten_minutes() {
        let sealed = Ticket::pre(Vid([1; 12]), NOW).seal(&sealer(), "r");
        assert!(Ticket::open(&sealer(), "r", &sealed, NOW + 600_000, DAY).is_some_and(|t| t.is_pre()));
        assert!(Ticket::open(&sealer(), "r", &sealed, NOW + 600_001, DAY).is_none());
    }
}
