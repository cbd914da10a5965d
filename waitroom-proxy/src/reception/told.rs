//! What a held visitor is told: the status object, from what this node knows. Knows no HTTP; time and chance come in.

use std::time::Duration;

use super::Held;
use crate::admission;
use crate::room::Room;
use crate::status::{State, Status};

/// After an answer that could not be given, the next try comes this late (jittered), so that an
/// outage does not end in everybody polling at once (F26).
const AFTER_TROUBLE: Duration = Duration::from_secs(5);

/// What a waiting visitor is told. `jitter` is a random number in [0, 1).
#[must_use]
pub fn waiting(room: &Room, held: &Held, now_ms: u64, jitter: f64) -> Status {
    let (view, settings) = (room.view(), room.settings());
    let limits = settings.limits;
    let flow = view.flow(limits);
    let eta = held.position.and_then(|position| admission::estimate(position, &flow));
    let poll_after = match held.position {
        _ if held.blind => AFTER_TROUBLE.mul_f64(0.8 + 0.4 * jitter),
        None if held.ticket.is_pre() => Duration::ZERO,
        None => AFTER_TROUBLE.mul_f64(0.8 + 0.4 * jitter),
        Some(position) => admission::poll_after(eta, position, limits.rate_per_s, jitter),
    };
    Status {
        room: room.name().to_string(),
        state: State::Waiting,
        seq: (!held.ticket.is_pre()).then_some(held.ticket.seq),
        position: held.position,
        waiting: view.waiting.max(held.position.unwrap_or(0)),
        rate_per_s: limits.rate_per_s,
        eta_s: eta,
        poll_after_ms: u64::try_from(poll_after.as_millis()).unwrap_or(u64::MAX),
        paused: view.paused,
        stale: view.stale || held.blind,
        server_time_ms: now_ms,
        expires_at_ms: None,
        token: None,
    }
}

/// A status without a place.
#[must_use]
pub fn without_place(room: &Room, state: State, now_ms: u64) -> Status {
    let (view, settings) = (room.view(), room.settings());
    Status {
        room: room.name().to_string(),
        state,
        seq: None,
        position: None,
        waiting: view.waiting,
        rate_per_s: settings.limits.rate_per_s,
        eta_s: None,
        poll_after_ms: u64::try_from(AFTER_TROUBLE.as_millis()).unwrap_or(u64::MAX),
        paused: view.paused,
        stale: view.stale,
        server_time_ms: now_ms,
        expires_at_ms: None,
        token: None,
    }
}
