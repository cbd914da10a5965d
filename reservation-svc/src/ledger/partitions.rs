//! The months of reservations: made before they are needed, detached when nobody asks for them any more.

use chrono::{Months, NaiveDate};

use super::{Ledger, LedgerError};

/// How far ahead months are made. Beyond, reservations land in the default partition and still sell.
pub(super) const MONTHS_AHEAD: i32 = 24;

impl Ledger {
    /// Makes the months from `today`'s on that are missing; how many there were. Repeating it changes nothing.
    pub async fn make_partitions(&self, today: NaiveDate) -> Result<i32, LedgerError> {
        let (made,): (i32,) = self
            .one(sqlx::query_as("SELECT create_reservation_partitions($1, $2)").bind(today).bind(MONTHS_AHEAD))
            .await?;
        Ok(made)
    }

    /// Detaches the oldest month that ended more than `months` before `today`; its name, or none when all are younger.
    /// The table stays as it is, outside of what the service reads.
    pub async fn detach_partition(&self, today: NaiveDate, months: u32) -> Result<Option<String>, LedgerError> {
        let Some(before) = today.checked_sub_months(Months::new(months)) else { return Ok(None) };
        let (name,): (Option<String>,) =
            self.one(sqlx::query_as("SELECT detach_reservation_partition($1)").bind(before)).await?;
        Ok(name)
    }
}
