//! What is on, when, and which seats are free: reads only.

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use super::{Ledger, LedgerError, ReadFrom};
use crate::seat::{ScheduleId, Seat, Standing};

/// Lists are short by nature; this keeps them so whatever is in the tables.
const MAX_LISTED: i64 = 1_000;

/// A concert.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Concert {
    /// Its id.
    pub id: i64,
    /// What it is called.
    pub title: String,
    /// Who plays.
    pub artist: String,
    /// Where.
    pub venue: String,
}

/// One evening of a concert.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Schedule {
    /// Its id.
    pub id: i64,
    /// The concert's.
    pub concert_id: i64,
    /// When it begins.
    pub starts_at: DateTime<Utc>,
    /// In which currency its seats are sold.
    pub currency: String,
    /// When its seats can first be held; `None`: at once.
    pub sales_start: Option<DateTime<Utc>>,
    /// From when on they can not be held any more; `None`: never.
    pub sales_end: Option<DateTime<Utc>>,
}

impl Ledger {
    /// All concerts.
    pub async fn concerts(&self) -> Result<Vec<Concert>, LedgerError> {
        self.read(ReadFrom::Replica, || {
            sqlx::query_as("SELECT id, title, artist, venue FROM concerts ORDER BY id LIMIT $1").bind(MAX_LISTED)
        })
        .await
    }

    /// The evenings of a concert; `None` when there is no such concert.
    pub async fn schedules(&self, concert: i64) -> Result<Option<Vec<Schedule>>, LedgerError> {
        let found: Vec<Schedule> = self
            .read(ReadFrom::Replica, || {
                sqlx::query_as(
                    "SELECT id, concert_id, starts_at, currency::text AS currency, sales_start, sales_end
                     FROM concert_schedules
                     WHERE concert_id = $1 ORDER BY starts_at, id LIMIT $2",
                )
                .bind(concert)
                .bind(MAX_LISTED)
            })
            .await?;
        if !found.is_empty() {
            return Ok(Some(found));
        }
        let exists: Vec<(i64,)> = self
            .read(ReadFrom::Replica, || sqlx::query_as("SELECT id FROM concerts WHERE id = $1").bind(concert))
            .await?;
        Ok((!exists.is_empty()).then_some(found))
    }

    /// All seats of a schedule, from the stage to the back; `None` when there is no such schedule.
    pub async fn seats(&self, schedule: ScheduleId, from: ReadFrom) -> Result<Option<Vec<Seat>>, LedgerError> {
        let rows: Vec<SeatRow> = self
            .read(from, || {
                sqlx::query_as(
                    "SELECT s.seat, s.section, s.price, s.version, s.status = 'RESERVED' AS sold,
                            (extract(epoch FROM CASE WHEN isfinite(s.held_until) THEN s.held_until END) * 1000)::bigint AS held_until_ms,
                            s.held_until IS NOT NULL AS held
                     FROM concert_schedules c LEFT JOIN concert_seats s ON s.schedule_id = c.id
                     WHERE c.id = $1 ORDER BY s.id",
                )
                .bind(schedule.0)
            })
            .await?;
        if rows.is_empty() {
            return Ok(None);
        }
        // A schedule without seats is one row of nulls.
        Ok(Some(rows.into_iter().filter_map(SeatRow::seat).collect()))
    }
}

#[derive(FromRow)]
struct SeatRow {
    seat: Option<String>,
    section: Option<String>,
    price: Option<i64>,
    version: Option<i64>,
    sold: Option<bool>,
    held_until_ms: Option<i64>,
    held: bool,
}

impl SeatRow {
    fn seat(self) -> Option<Seat> {
        let standing = match (self.sold?, self.held) {
            (true, _) => Standing::Sold,
            // Nobody but an operator holds a seat for ever; no number is that large.
            (false, true) => Standing::HeldUntil(self.held_until_ms.unwrap_or(i64::MAX)),
            (false, false) => Standing::Free,
        };
        Some(Seat { seat: self.seat?, section: self.section?, price: self.price?, version: self.version?, standing })
    }
}
