//! What a room's runtime needs of the config. Must not name the config itself.

use std::time::Duration;

use crate::admission;
use crate::store::Limits;

/// The longest that a visitor waits between two polls; people re-insert themselves within it after a loss.
pub const LONGEST_POLL: Duration = Duration::from_secs(30);

/// The settings of a room that can change while it runs.
#[derive(Clone, Debug, PartialEq)]
pub struct RoomSettings {
    /// Rate, burst and cap.
    pub limits: Limits,
    /// How long a session lasts, or lasts after its last request when renewed.
    pub session_ttl: Duration,
    /// Requests keep the session alive.
    pub session_renewal: bool,
    /// No session outlives this.
    pub session_max: Duration,
    /// Time to take up a turn.
    pub claim_ttl: Duration,
    /// How long a ticket is good.
    pub ticket_max_age: Duration,
    /// Silent for this long: out of the line; the ticket stays good.
    pub abandon_after: Duration,
    /// Most event streams at once, at this node.
    pub max_streams: usize,
    /// After this long without the store everybody passes; `None`: never.
    pub pass_after: Option<Duration>,
}

/// A session that came in by the fast lane lasts this long at most, unless a request comes back with its
/// token: a client that drops cookies frees its slot soon.
const PROVISIONAL: Duration = Duration::from_secs(15);

impl RoomSettings {
    /// How long a session lasts that came in by the fast lane: no longer than any other.
    #[must_use]
    pub fn provisional(&self) -> Duration {
        PROVISIONAL.min(self.session_ttl).min(self.session_max)
    }

    /// How often to tick while somebody waits.
    #[must_use]
    pub fn tick_period(&self) -> Duration {
        admission::tick_period(self.limits.rate_per_s, self.limits.burst)
    }

    /// How long nobody is given a turn after a loss, so that everybody has time to come back in order.
    #[must_use]
    pub fn recovery_hold(&self) -> Duration {
        (2 * LONGEST_POLL).max(self.session_ttl / 4)
    }

    /// How long a number may be of use after its turn: until the turn is taken up, and then for as long as a session.
    #[must_use]
    pub fn life_of_a_number(&self) -> Duration {
        let session = if self.session_renewal { self.session_max.max(self.session_ttl) } else { self.session_ttl };
        self.claim_ttl.saturating_add(session)
    }
}
