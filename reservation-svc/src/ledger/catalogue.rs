//! What is on, when, and which seats are free: reads only.

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use super::{Ledger, LedgerError};
use crate::seat::{ScheduleId, SeatState};

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

/// A seat as a buyer sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// Its number.
    pub seat: String,
    /// The priced section.
    pub section: String,
    /// In the smallest unit.
    pub price: i64,
    /// Free, held or sold.
    pub state: SeatState,
    /// Rises with every change.
    pub version: i64,
}

/// Names one state of a schedule's seats. Versions only rise, so their sum never comes back; and as long
/// as they stand still, holds only run out, so the number that have tells the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapVersion {
    /// The sum of the versions of all seats.
    pub versions: i64,
    /// Held seats whose hold has run out.
    pub run_out: i64,
}

impl Ledger {
    /// All concerts.
    pub async fn concerts(&self) -> Result<Vec<Concert>, LedgerError> {
        self.all(sqlx::query_as("SELECT id, title, artist, venue FROM concerts ORDER BY id LIMIT $1").bind(MAX_LISTED))
            .await
    }

    /// The evenings of a concert; `None` when there is no such concert.
    pub async fn schedules(&self, concert: i64) -> Result<Option<Vec<Schedule>>, LedgerError> {
        let found: Vec<Schedule> = self
            .all(
                sqlx::query_as(
                    "SELECT id, concert_id, starts_at, currency::text AS currency, sales_start, sales_end
                     FROM concert_schedules
                     WHERE concert_id = $1 ORDER BY starts_at, id LIMIT $2",
                )
                .bind(concert)
                .bind(MAX_LISTED),
            )
            .await?;
        if !found.is_empty() {
            return Ok(Some(found));
        }
        let (exists,): (bool,) =
            self.one(sqlx::query_as("SELECT EXISTS (SELECT 1 FROM concerts WHERE id = $1)").bind(concert)).await?;
        Ok(exists.then_some(found))
    }

    /// Which state the seats are in, without reading them; `None` when there is no such schedule.
    pub async fn map_version(&self, schedule: ScheduleId) -> Result<Option<MapVersion>, LedgerError> {
        let row: Option<(i64, i64)> = self
            .optional(
                sqlx::query_as(
                    "SELECT coalesce(sum(s.version), 0)::bigint,
                            count(*) FILTER (WHERE s.held_until <= clock_timestamp())
                     FROM concert_schedules c LEFT JOIN concert_seats s ON s.schedule_id = c.id
                     WHERE c.id = $1 GROUP BY c.id",
                )
                .bind(schedule.0),
            )
            .await?;
        Ok(row.map(|(versions, run_out)| MapVersion { versions, run_out }))
    }

    /// All seats of a schedule and the version of what was read; `None` when there is no such schedule.
    pub async fn seats(&self, schedule: ScheduleId) -> Result<Option<(MapVersion, Vec<Seat>)>, LedgerError> {
        let rows: Vec<SeatRow> = self
            .all(
                sqlx::query_as(
                    "SELECT s.seat, s.section, s.price, s.version, s.status = 'RESERVED' AS sold,
                            s.held_until IS NOT NULL AS held,
                            coalesce(s.held_until <= clock_timestamp(), false) AS run_out
                     FROM concert_schedules c LEFT JOIN concert_seats s ON s.schedule_id = c.id
                     WHERE c.id = $1 ORDER BY s.id",
                )
                .bind(schedule.0),
            )
            .await?;
        if rows.is_empty() {
            return Ok(None);
        }
        let mut version = MapVersion { versions: 0, run_out: 0 };
        let mut seats = Vec::with_capacity(rows.len());
        for row in rows {
            // A schedule without seats is one row of nulls.
            let SeatRow {
                seat: Some(seat), section: Some(section), price: Some(price), version: Some(of_seat), ..
            } = row
            else {
                continue;
            };
            let state = match (row.sold, row.held) {
                (Some(true), _) => SeatState::Reserved,
                (_, true) if !row.run_out => SeatState::Held,
                _ => SeatState::Available,
            };
            version.versions += of_seat;
            version.run_out += i64::from(row.run_out);
            seats.push(Seat { seat, section, price, state, version: of_seat });
        }
        Ok(Some((version, seats)))
    }
}

#[derive(FromRow)]
struct SeatRow {
    seat: Option<String>,
    section: Option<String>,
    price: Option<i64>,
    version: Option<i64>,
    sold: Option<bool>,
    held: bool,
    run_out: bool,
}
