//! What a held visitor is told: the status object, from what this node knows. Knows no HTTP; time and chance come in.

use std::time::Duration;

use super::Held;
use crate::admission;
use crate::room::Room;
use crate::status::{State, Status};

/// Where there is no place, the next try comes this late.
const WITHOUT_PLACE: Duration = Duration::from_secs(5);

/// What a waiting visitor is told. `jitter` is a random number in [0, 1).
#[must_use]
pub fn waiting(room: &Room, held: &Held, now_ms: u64, jitter: f64) -> Status {
    let (view, settings) = (room.view(), room.settings());
    let limits = settings.limits;
    let flow = view.flow(limits);
    let eta = held.position.and_then(|position| admission::estimate(position, &flow));
    let poll_after = match held.position {
        Some(position) if !held.blind => admission::poll_after(eta, position, limits.rate_per_s, jitter),
        None if !held.blind && held.ticket.is_pre() => Duration::ZERO,
        _ => after_trouble(room, held, now_ms, jitter),
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

/// When to ask again after an answer that could not be given.
fn after_trouble(room: &Room, held: &Held, now_ms: u64, jitter: f64) -> Duration {
    let silent = room.silent_for(now_ms).unwrap_or_default();
    if held.ticket.is_pre() {
        // Its age tells as much, where the store answers others and takes nobody in.
        let waited = Duration::from_millis(now_ms.saturating_sub(held.ticket.arrived_ms));
        return admission::poll_after_trouble(silent.max(waited), jitter);
    }
    let (view, limits) = (room.view(), room.settings().limits);
    let after = admission::poll_after_trouble(silent, jitter);
    if held.ticket.epoch != view.epoch {
        return after;
    }
    // Whoever would not have asked before, had all been well, asks no earlier now.
    let position = view.position_of_joined(held.ticket.seq);
    after.max(admission::poll_after(
        admission::estimate(position, &view.flow(limits)),
        position,
        limits.rate_per_s,
        jitter,
    ))
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
        poll_after_ms: u64::try_from(WITHOUT_PLACE.as_millis()).unwrap_or(u64::MAX),
        paused: view.paused,
        stale: view.stale,
        server_time_ms: now_ms,
        expires_at_ms: None,
        token: None,
    }
}
