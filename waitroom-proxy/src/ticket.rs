//! The ticket: a visitor's place in a room's line, as it travels in a cookie or header. Pure.

use std::time::Duration;

use crate::compact::{Reader, Writer};
use crate::seal::{Purpose, Sealer};
use crate::store::{Epoch, Vid};

/// A ticket without a number is good for this long: enough for a slow page and its first poll. While nobody can be
/// put in line it is renewed in time, see [`Ticket::kept_good`].
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
    /// When a pre-ticket was last renewed, milliseconds since the Unix epoch; 0: never, or it has a number.
    pub renewed_ms: u64,
}

impl Ticket {
    /// A ticket without a number.
    #[must_use]
    pub fn pre(vid: Vid, now_ms: u64) -> Self {
        Self { epoch: Epoch { generation: 0, life: 0 }, vid, seq: 0, arrived_ms: now_ms, renewed_ms: 0 }
    }

    /// The same, good for as long again when it is a pre-ticket in the second half of its life: whoever polls through
    /// an outage keeps the time of arrival, for as long as any ticket may last.
    #[must_use]
    pub fn kept_good(self, now_ms: u64) -> Self {
        let half_ms = u64::try_from(PRE_TICKET_AGE.as_millis() / 2).unwrap_or(u64::MAX);
        let due = self.is_pre() && now_ms.saturating_sub(self.arrived_ms.max(self.renewed_ms)) >= half_ms;
        if due { Self { renewed_ms: now_ms, ..self } } else { self }
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
        let body = Writer::new(self.epoch, self.vid, self.seq).number(self.arrived_ms);
        let body = if self.renewed_ms > 0 { body.number(self.renewed_ms) } else { body };
        sealer.seal(Purpose::Ticket, room, &body.finish())
    }

    /// The ticket, if we sealed it for this room and it is neither too old nor from the future.
    #[must_use]
    pub fn open(sealer: &Sealer, room: &str, sealed: &str, now_ms: u64, max_age: Duration) -> Option<Self> {
        let body = sealer.open(Purpose::Ticket, room, sealed)?;
        let (epoch, vid, seq, mut rest) = Reader::new(body)?;
        let mut ticket = Self { epoch, vid, seq, arrived_ms: rest.number()?, renewed_ms: 0 };
        if ticket.is_pre() && !rest.is_done() {
            ticket.renewed_ms = rest.number()?;
        }
        if !rest.is_done() {
            return None;
        }
        let renewed_ms = ticket.arrived_ms.max(ticket.renewed_ms);
        let younger = |since_ms: u64, age: Duration| u128::from(now_ms.saturating_sub(since_ms)) <= age.as_millis();
        let age_ok = match ticket.is_pre() {
            true => younger(renewed_ms, PRE_TICKET_AGE) && younger(ticket.arrived_ms, max_age.max(PRE_TICKET_AGE)),
            false => younger(ticket.arrived_ms, max_age),
        };
        let past = u128::from(renewed_ms.saturating_sub(now_ms)) <= CLOCK_SLACK.as_millis();
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
        Ticket {
            epoch: Epoch { generation: 3, life: 9 },
            vid: Vid([5; 12]),
            seq: 88_123,
            arrived_ms: NOW,
            renewed_ms: 0,
        }
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

    #[test]
    fn f26_a_pre_ticket_that_polls_through_an_outage_keeps_its_arrival_for_a_day() {
        let mut held = Ticket::pre(Vid([1; 12]), NOW);
        assert_eq!(held.kept_good(NOW + 299_999), held, "still young");
        let mut now_ms = NOW;
        while now_ms < NOW + 86_400_000 {
            let opened = Ticket::open(&sealer(), "r", &held.seal(&sealer(), "r"), now_ms, DAY).expect("still good");
            assert_eq!((opened.vid, opened.arrived_ms, opened.seq), (held.vid, NOW, 0));
            held = opened.kept_good(now_ms);
            now_ms += 36_000;
        }
        let sealed = held.seal(&sealer(), "r");
        assert_eq!(Ticket::open(&sealer(), "r", &sealed, NOW + 86_400_001, DAY), None, "not for ever");
        let early = Ticket::pre(Vid([1; 12]), NOW).kept_good(NOW + 300_000).seal(&sealer(), "r");
        assert_eq!(Ticket::open(&sealer(), "r", &early, NOW + 900_001, DAY), None, "only while it polls");
        assert_eq!(ticket().kept_good(NOW + 86_400_000), ticket(), "one with a number needs none");
    }
}
