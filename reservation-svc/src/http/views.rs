//! The JSON of the answers and of the bodies that clients send. Shapes only.

pub mod catalogue;
pub mod money;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::object::Object;
use crate::ledger::holds::{Hold, Line};
use crate::ledger::payments::Reservation;

/// The number of a seat, such as A-12.
#[derive(Debug, ToSchema)]
#[schema(as = SeatName, min_length = 1, max_length = 32, pattern = "^[A-Za-z0-9-]+$", example = "A-12")]
pub struct SeatName(#[expect(dead_code, reason = "only described: what comes in is checked by `Seats`")] String);

/// Seats to hold: named ones, or so many adjacent ones of a section, which the service chooses.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "seats": ["A-12", "A-13"] }))]
pub struct HoldBody {
    /// Their numbers, distinct. Not together with `count` and `section`.
    // Left out when absent: the digest of a request that names seats stays what it was before there were others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    // What is said here is the form; how many a hold has at most is configured.
    #[schema(value_type = Option<Vec<SeatName>>, min_items = 1, max_items = 100)]
    pub seats: Option<Vec<String>>,
    /// How many, next to each other in one row. Together with `section`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100)]
    pub count: Option<u32>,
    /// In which priced section.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 32)]
    pub section: Option<String>,
}

/// Seats kept for the user.
#[derive(Debug, Serialize, ToSchema)]
pub struct HoldView {
    /// Its id, a UUID v7.
    pub hold_id: Uuid,
    /// The evening.
    pub schedule_id: i64,
    /// The numbers of the seats.
    pub seats: Vec<String>,
    /// The seats with their prices.
    pub lines: Vec<LineView>,
    /// What they cost together.
    pub amount: i64,
    /// In which currency.
    pub currency: String,
    /// `active`, `expired`, `released`, `paid` or `cancelled` (paid, and the reservation was cancelled).
    pub status: String,
    /// When it runs out.
    pub expires_at: DateTime<Utc>,
}

impl From<Hold> for HoldView {
    fn from(hold: Hold) -> Self {
        Self {
            hold_id: hold.hold_id,
            schedule_id: hold.schedule_id,
            seats: hold.lines.iter().map(|line| line.seat.clone()).collect(),
            lines: hold.lines.into_iter().map(LineView::from).collect(),
            amount: hold.amount,
            currency: hold.currency,
            status: hold.status,
            expires_at: hold.expires_at,
        }
    }
}

/// One seat of a hold or reservation.
#[derive(Debug, Serialize, ToSchema)]
pub struct LineView {
    /// Its number.
    pub seat: String,
    /// The priced section.
    pub section: String,
    /// In the smallest unit.
    pub price: i64,
    /// The seat's version when it was taken.
    pub version: i64,
}

impl From<Line> for LineView {
    fn from(Line { seat, section, price, version }: Line) -> Self {
        Self { seat, section, price, version }
    }
}

/// Nothing more to say: an empty object, or no body.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NothingBody {}

/// A hold to pay for.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReservationBody {
    /// The hold.
    pub hold_id: Uuid,
    /// How.
    #[schema(value_type = PaymentBody)]
    pub payment: Object<PaymentBody>,
}

/// How to pay.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PaymentBody {
    /// From where the money comes.
    pub method: MethodBody,
    /// With `card`: the means of payment, as the gateway's own front end named it. Without: the one that the gateway
    /// knows the user by. Never a card's number.
    // Left out when absent: the digest of a request stays what it was before there was such a thing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255, pattern = "^[!-~]+$")]
    pub source: Option<String>,
}

/// Ways to pay.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum MethodBody {
    /// The user's wallet.
    Wallet,
    /// The external payment gateway.
    Card,
}

/// By hand, because a derived one takes `{"wallet":null}` as well.
impl TryFrom<String> for MethodBody {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        match name.as_str() {
            "wallet" => Ok(Self::Wallet),
            "card" => Ok(Self::Card),
            _ => Err("method must be `wallet` or `card`"),
        }
    }
}

/// Seats that were paid for.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReservationView {
    /// Its id, a UUID v7.
    pub reservation_id: Uuid,
    /// The hold that it was.
    pub hold_id: Uuid,
    /// The evening.
    pub schedule_id: i64,
    /// `paid`, or `cancelled` when seats and money were given back.
    #[schema(value_type = String, pattern = "^(paid|cancelled)$")]
    pub status: &'static str,
    /// The numbers of the seats.
    pub seats: Vec<String>,
    /// The seats with their prices.
    pub lines: Vec<LineView>,
    /// What was paid.
    pub amount: i64,
    /// In which currency.
    pub currency: String,
    /// The payment.
    pub payment: PaymentView,
    /// When.
    pub created_at: DateTime<Utc>,
    /// When it was cancelled; null while it stands.
    pub cancelled_at: Option<DateTime<Utc>>,
}

/// A payment that succeeded.
#[derive(Debug, Serialize, ToSchema)]
pub struct PaymentView {
    /// Its id.
    pub payment_id: Uuid,
    /// How it was paid.
    pub method: String,
    /// What was paid.
    pub amount: i64,
}

impl From<Reservation> for ReservationView {
    fn from(paid: Reservation) -> Self {
        Self {
            reservation_id: paid.reservation_id,
            hold_id: paid.hold_id,
            schedule_id: paid.schedule_id,
            status: if paid.cancelled_at.is_some() { "cancelled" } else { "paid" },
            seats: paid.lines.iter().map(|line| line.seat.clone()).collect(),
            lines: paid.lines.into_iter().map(LineView::from).collect(),
            amount: paid.amount,
            currency: paid.currency,
            payment: PaymentView { payment_id: paid.payment_id, method: paid.method, amount: paid.amount },
            created_at: paid.created_at,
            cancelled_at: paid.cancelled_at,
        }
    }
}

/// A page of reservations.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReservationsView {
    /// The newest first.
    pub reservations: Vec<ReservationView>,
    /// `cursor` of the next page; null on the last.
    pub next_cursor: Option<String>,
}

/// A ticket.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Ticket)]
pub struct TicketView {
    /// The reservation that it is for.
    pub reservation_id: Uuid,
    /// The evening.
    pub schedule_id: i64,
    /// When it begins.
    pub starts_at: DateTime<Utc>,
    /// The seats that it admits to.
    pub seats: Vec<String>,
    /// The ticket itself: a JWT signed with EdDSA. Whoever has it gets in.
    pub token: String,
    /// The token as a QR code, an SVG document.
    pub qr_svg: String,
}
