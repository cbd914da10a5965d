//! The JSON that the site speaks, as far as a visitor reads it. Must not share types with the services:
//! this is the outside view. Unknown members are passed over.

use serde::{Deserialize, Serialize};

/// `GET /queue/status`.
#[derive(Debug, Clone, Deserialize)]
pub struct Status {
    /// The room it is about.
    pub room: String,
    /// Where the visitor stands.
    pub state: QueueState,
    /// The ticket's number; a pre-ticket has none.
    pub seq: Option<u64>,
    /// From 1.
    pub position: Option<u64>,
    /// When to ask again.
    #[serde(default)]
    pub poll_after_ms: u64,
}

/// Where a visitor stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum QueueState {
    /// In line.
    Waiting,
    /// Let in.
    Admitted,
    /// Not in line (any more).
    None,
}

/// `application/problem+json`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Problem {
    /// Stable, for programs.
    #[serde(rename = "type")]
    pub kind: String,
}

impl Problem {
    /// The last segment of the type: `seat-taken`.
    pub fn name(&self) -> &str {
        self.kind.rsplit('/').next().unwrap_or_default()
    }
}

/// `GET /concerts`.
#[derive(Debug, Deserialize)]
pub struct Concerts {
    /// All of them.
    pub concerts: Vec<Id>,
}

/// `GET /concerts/{id}/schedules`.
#[derive(Debug, Deserialize)]
pub struct Schedules {
    /// Of this concert.
    pub schedules: Vec<Id>,
}

/// Anything with an integer id.
#[derive(Debug, Deserialize)]
pub struct Id {
    /// Its id.
    pub id: i64,
}

/// `GET /schedules/{id}/seats`.
#[derive(Debug, Deserialize)]
pub struct SeatMap {
    /// Every seat.
    pub seats: Vec<Seat>,
}

/// One seat.
#[derive(Debug, Clone, Deserialize)]
pub struct Seat {
    /// Its number, as `A-12`.
    pub seat: String,
    /// Its section.
    pub section: String,
    /// `available`, `held`, `reserved`.
    pub status: String,
}

/// A hold.
#[derive(Debug, Deserialize)]
pub struct Hold {
    /// Its id.
    pub hold_id: String,
    /// What it costs.
    pub amount: i64,
}

/// A reservation, as answered to a payment and as listed.
#[derive(Debug, Clone, Deserialize)]
pub struct Reservation {
    /// Its id.
    pub reservation_id: String,
    /// Whose seats they are.
    pub schedule_id: i64,
    /// Which seats.
    pub seats: Vec<SeatName>,
    /// What was paid.
    pub amount: i64,
}

impl Reservation {
    /// The seats by name.
    pub fn seat_names(&self) -> impl Iterator<Item = &str> {
        self.seats.iter().map(|seat| match seat {
            SeatName::Plain(name) | SeatName::Detailed { seat: name } => name.as_str(),
        })
    }
}

/// A seat in a reservation: just its name, or more about it.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum SeatName {
    /// `"A-12"`.
    Plain(String),
    /// `{"seat": "A-12", …}`.
    Detailed {
        /// The name.
        seat: String,
    },
}

/// `GET /reservations`.
#[derive(Debug, Deserialize)]
pub struct Reservations {
    /// Of this user, or one page of them.
    pub reservations: Vec<Reservation>,
    /// Where the next page begins; nothing on the last.
    #[serde(default)]
    pub next_cursor: Option<String>,
}

/// `GET /wallet`.
#[derive(Debug, Deserialize)]
pub struct Wallet {
    /// In the smallest unit.
    pub balance: i64,
}

/// `GET /wallet/transactions`.
#[derive(Debug, Deserialize)]
pub struct Transactions {
    /// One page of the ledger.
    pub transactions: Vec<Transaction>,
    /// Where the next page begins; nothing on the last.
    #[serde(default)]
    pub next_cursor: Option<String>,
}

/// One row of the ledger.
#[derive(Debug, Deserialize)]
pub struct Transaction {
    /// Signed.
    pub amount: i64,
}
