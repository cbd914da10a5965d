//! The JSON of concerts, evenings and seat maps. Shapes only.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::ledger::catalogue::{Concert, Listed, Schedule};
use crate::seat::Seat;

/// All concerts.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConcertsView {
    /// In order of their ids.
    pub concerts: Vec<ConcertView>,
    /// `cursor` of the next page; null on the last.
    pub next_cursor: Option<String>,
}

/// A page of concerts as JSON.
pub fn concerts(listed: Listed<Concert>) -> Result<Vec<u8>, serde_json::Error> {
    let concerts = listed.rows.into_iter().map(ConcertView::from).collect();
    serde_json::to_vec(&ConcertsView { concerts, next_cursor: listed.next.map(|id| id.to_string()) })
}

/// A concert.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConcertView {
    /// Its id.
    pub id: i64,
    /// What it is called.
    pub title: String,
    /// Who plays.
    pub artist: String,
    /// Where.
    pub venue: String,
}

impl From<Concert> for ConcertView {
    fn from(Concert { id, title, artist, venue }: Concert) -> Self {
        Self { id, title, artist, venue }
    }
}

/// The evenings of a concert.
#[derive(Debug, Serialize, ToSchema)]
pub struct SchedulesView {
    /// The earliest first.
    pub schedules: Vec<ScheduleView>,
    /// `cursor` of the next page; null on the last.
    pub next_cursor: Option<String>,
}

/// A page of evenings as JSON.
pub fn schedules(listed: Listed<Schedule>) -> Result<Vec<u8>, serde_json::Error> {
    let schedules = listed.rows.into_iter().map(ScheduleView::from).collect();
    serde_json::to_vec(&SchedulesView { schedules, next_cursor: listed.next.map(|id| id.to_string()) })
}

/// One evening.
#[derive(Debug, Serialize, ToSchema)]
pub struct ScheduleView {
    /// Its id.
    pub id: i64,
    /// The concert's id.
    pub concert_id: i64,
    /// When it begins.
    pub starts_at: DateTime<Utc>,
    /// In which currency its seats are sold.
    pub currency: String,
    /// When its seats can first be held; null: at once.
    pub sales_start: Option<DateTime<Utc>>,
    /// From when on they can not be held any more; null: when it begins.
    pub sales_end: Option<DateTime<Utc>>,
}

impl From<Schedule> for ScheduleView {
    fn from(Schedule { id, concert_id, starts_at, currency, sales_start, sales_end }: Schedule) -> Self {
        Self { id, concert_id, starts_at, currency, sales_start, sales_end }
    }
}

/// The seats of an evening.
#[derive(Debug, Serialize, ToSchema)]
pub struct SeatsView {
    /// From the stage to the back.
    pub seats: Vec<SeatView>,
}

/// A seat.
#[derive(Debug, Serialize, ToSchema)]
pub struct SeatView {
    /// Its number, such as A-12.
    pub seat: String,
    /// The priced section.
    pub section: String,
    /// In the smallest unit.
    pub price: i64,
    /// `available`, `held` or `reserved`.
    #[schema(value_type = String, pattern = "^(available|held|reserved)$")]
    pub status: &'static str,
    /// Rises with every change.
    pub version: i64,
}

/// A seat map as JSON, as it is at a time (ms since 1970).
pub fn seat_map(seats: &[Seat], now_ms: i64) -> Result<Vec<u8>, serde_json::Error> {
    let view = |seat: &Seat| SeatView {
        seat: seat.seat.clone(),
        section: seat.section.clone(),
        price: seat.price,
        status: seat.standing.at(now_ms).as_str(),
        version: seat.version,
    };
    serde_json::to_vec(&SeatsView { seats: seats.iter().map(view).collect() })
}
