//! What is on, when, and which seats are free: reads only.

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use super::{Ledger, LedgerError, ReadFrom};
use crate::seat::{ScheduleId, Seat, Standing};

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<T> {
    /// Its rows.
    pub rows: Vec<T>,
    /// The last of them, when there are more behind it.
    pub next: Option<i64>,
}

impl<T> Listed<T> {
    /// Of `limit` rows and one more, if there is one, which only tells that there is.
    fn of(mut rows: Vec<T>, limit: i64, id: impl Fn(&T) -> i64) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(id);
        Self { rows, next }
    }
}

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
    /// From when on they can not be held any more; `None`: when it begins.
    pub sales_end: Option<DateTime<Utc>>,
}

impl Ledger {
    /// Concerts in order of their ids, behind the one named by `after`.
    pub async fn concerts(&self, after: Option<i64>, limit: i64) -> Result<Listed<Concert>, LedgerError> {
        let rows = self
            .read(ReadFrom::Replica, || {
                sqlx::query_as("SELECT id, title, artist, venue FROM concerts WHERE id > $1 ORDER BY id LIMIT $2")
                    .bind(after.unwrap_or(i64::MIN))
                    .bind(limit.saturating_add(1))
            })
            .await?;
        Ok(Listed::of(rows, limit, |concert: &Concert| concert.id))
    }

    /// The evenings of a concert, the earliest first, behind the one named by `after`; `None` when there is no such
    /// concert.
    pub async fn schedules(
        &self,
        concert: i64,
        after: Option<i64>,
        limit: i64,
    ) -> Result<Option<Listed<Schedule>>, LedgerError> {
        let found: Vec<Schedule> = self
            .read(ReadFrom::Replica, || {
                sqlx::query_as(
                    "SELECT id, concert_id, starts_at, currency::text AS currency, sales_start, sales_end
                     FROM concert_schedules
                     WHERE concert_id = $1 AND ($2::bigint IS NULL OR (starts_at, id) > (
                         SELECT starts_at, id FROM concert_schedules WHERE id = $2))
                     ORDER BY starts_at, id LIMIT $3",
                )
                .bind(concert)
                .bind(after)
                .bind(limit.saturating_add(1))
            })
            .await?;
        if !found.is_empty() {
            return Ok(Some(Listed::of(found, limit, |schedule| schedule.id)));
        }
        let exists: Vec<(i64,)> = self
            .read(ReadFrom::Replica, || sqlx::query_as("SELECT id FROM concerts WHERE id = $1").bind(concert))
            .await?;
        Ok((!exists.is_empty()).then_some(Listed { rows: Vec::new(), next: None }))
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
