//! When a session is extended, and for how long. Pure.

use std::time::Duration;

use crate::room::settings::RoomSettings;
use crate::session::Session;

/// How long the session may be extended for, if it is time: at most every quarter of its life, and
/// never past its end.
#[must_use]
pub(crate) fn due_for(session: &Session, settings: &RoomSettings, now_s: u64) -> Option<Duration> {
    if session.seq == 0 {
        return None;
    }
    let ttl_s = settings.session_ttl.as_secs();
    let last = match settings.session_renewal {
        true => session.began_s + settings.session_max.as_secs(),
        false => session.began_s + ttl_s,
    };
    let until = last.min(now_s + ttl_s);
    let fresh_enough = session.expires_s.saturating_sub(now_s) * 4 > ttl_s * 3;
    let due = session.provisional || (settings.session_renewal && !fresh_enough);
    (due && until > session.expires_s).then(|| Duration::from_secs(until - now_s))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Epoch, Limits, Vid};

    fn settings(renewal: bool) -> RoomSettings {
        RoomSettings {
            limits: Limits { rate_per_s: 1.0, burst: 2.0, max_active: 0 },
            session_ttl: Duration::from_secs(600),
            session_renewal: renewal,
            session_max: Duration::from_secs(3_600),
            claim_ttl: Duration::from_secs(120),
            ticket_max_age: Duration::from_secs(86_400),
            abandon_after: Duration::from_secs(90),
            max_streams: 1,
            pass_after: None,
        }
    }

    fn session(began_s: u64, expires_s: u64, provisional: bool) -> Session {
        Session { epoch: Epoch { generation: 1, life: 1 }, vid: Vid([0; 12]), seq: 5, began_s, expires_s, provisional }
    }

    #[test]
    fn sessions_are_renewed_every_quarter_and_never_past_their_end() {
        let due = |session: &Session, now| due_for(session, &settings(true), now).map(|d| d.as_secs());
        assert_eq!(due(&session(0, 600, false), 149), None, "younger than a quarter");
        assert_eq!(due(&session(0, 600, false), 150), Some(600));
        assert_eq!(due(&session(0, 3_500, false), 3_200), Some(400), "the end is at 3600");
        assert_eq!(due(&session(0, 3_600, false), 3_500), None, "nothing to add");
    }

    #[test]
    fn a_provisional_session_becomes_a_whole_one_also_without_renewal() {
        assert_eq!(due_for(&session(100, 115, true), &settings(false), 110), Some(Duration::from_secs(590)));
        assert_eq!(due_for(&session(100, 700, false), &settings(false), 600), None);
        assert_eq!(due_for(&session(100, 115, true), &settings(true), 110), Some(Duration::from_secs(600)));
        // Where every session is shorter than a provisional one, that one is as short.
        let short = RoomSettings { session_ttl: Duration::from_secs(4), ..settings(true) };
        assert_eq!(short.provisional(), Duration::from_secs(4));
        assert_eq!(due_for(&session(100, 104, true), &short, 101), Some(Duration::from_secs(4)));
        let bounded = RoomSettings { session_max: Duration::from_secs(6), ..settings(true) };
        assert_eq!(bounded.provisional(), Duration::from_secs(6));
        assert_eq!(settings(true).provisional(), Duration::from_secs(15));
    }
}
