//! Removing what is over: holds that came to nothing, and queue sessions that nobody can come back with.

use super::{Ledger, LedgerError};

/// Rows removed at a time: a bounded piece of work.
pub const PRUNE_ROWS: i64 = 5_000;

impl Ledger {
    /// Removes some holds that were released or ran out more than `keep_days` ago, [`PRUNE_ROWS`] at most; returns how
    /// many. Holds that were paid for stay, and so do those that somebody tried to pay for by card.
    pub async fn prune_holds(&self, keep_days: i32) -> Result<i64, LedgerError> {
        let (removed,): (i64,) = self
            .one(
                sqlx::query_as(
                    "WITH removed AS (DELETE FROM seat_holds WHERE id = ANY (ARRAY(
                         SELECT id FROM seat_holds h
                         WHERE status IN ('RELEASED', 'EXPIRED') AND ended_at < now() - make_interval(days => $2)
                           AND NOT EXISTS (SELECT FROM gateway_payments g WHERE g.hold_id = h.id)
                         ORDER BY ended_at LIMIT $1 FOR UPDATE SKIP LOCKED)) RETURNING 1)
                     SELECT count(*) FROM removed",
                )
                .bind(PRUNE_ROWS)
                .bind(keep_days),
            )
            .await?;
        Ok(removed)
    }

    /// Removes some queue sessions that were last used more than `keep_days` ago, [`PRUNE_ROWS`] at most; returns how
    /// many. Must be more than any session lasts, or its purchases would be forgotten while it can buy.
    pub async fn prune_queue_tokens(&self, keep_days: i32) -> Result<i64, LedgerError> {
        let (removed,): (i64,) = self
            .one(
                sqlx::query_as(
                    "WITH removed AS (DELETE FROM queue_tokens WHERE ctid = ANY (ARRAY(
                         SELECT ctid FROM queue_tokens WHERE last_used_at < now() - make_interval(days => $2)
                         ORDER BY last_used_at LIMIT $1 FOR UPDATE SKIP LOCKED)) RETURNING 1)
                     SELECT count(*) FROM removed",
                )
                .bind(PRUNE_ROWS)
                .bind(keep_days),
            )
            .await?;
        Ok(removed)
    }
}
