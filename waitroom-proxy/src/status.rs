//! The status object of the public contract: what a visitor is told about their place. Pure.

use serde::Serialize;

/// The answer of `GET /queue/status`, also embedded in the waiting page and in problem documents.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// The room.
    pub room: String,
    /// `waiting`, `admitted` or `none`.
    pub state: State,
    /// The ticket's number; absent for a pre-ticket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Counts from 1; exact as of the last snapshot. Absent for a pre-ticket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// How many wait in all.
    pub waiting: u64,
    /// The configured rate.
    pub rate_per_s: f64,
    /// Seconds until the turn comes, as a range; absent when nobody can tell (paused, rate 0).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eta_s: Option<Eta>,
    /// When to ask again; 0: at once.
    pub poll_after_ms: u64,
    /// An operator has paused the room.
    pub paused: bool,
    /// The store did not answer the last time it was asked.
    pub stale: bool,
    /// The proxy's clock.
    pub server_time_ms: u64,
    /// When the session ends; only when admitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at_ms: Option<u64>,
    /// The queue token; only for clients that came with a ticket header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// Where the visitor stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// In line, or about to be.
    Waiting,
    /// Let in.
    Admitted,
    /// Just left, or the room is gone.
    None,
}

/// A range of whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Eta {
    /// At best.
    pub low: u64,
    /// At worst.
    pub high: u64,
}
