//! What the database and the counters of the services say at the end, asked past all services.

use std::time::Duration;

use anyhow::{Context, Result};

use super::site::Site;
use crate::http;

/// The counter of the service for refused queue tokens, a missing one included.
const REFUSED: &str = "queue_tokens_refused_total";

/// The worker is behind by milliseconds; on a machine that is busy otherwise by more.
const RELAYED_WITHIN: Duration = Duration::from_secs(10);

/// Events that no consumer has had yet.
const PENDING: &str = "SELECT count(*) FROM outbox WHERE relayed_at IS NULL";

/// One account: a name, what was counted, and what is wrong with it (0: nothing).
const ACCOUNTS: [(&str, &str, &str); 8] = [
    (
        "seats sold twice",
        "SELECT count(*) FROM reservation_seats",
        // Counted over what was ever reserved and not given back, not over the table whose key forbids it.
        "SELECT count(*) FROM (SELECT r.schedule_id, l.line ->> 'seat' FROM reservations r, \
         jsonb_array_elements(r.lines) AS l (line) \
         WHERE NOT EXISTS (SELECT FROM refunds f WHERE f.reservation_id = r.id) GROUP BY 1, 2 HAVING count(*) > 1) AS twice",
    ),
    (
        "seats reserved without a sale, or sold and not reserved",
        "SELECT count(*) FROM concert_seats WHERE status = 'RESERVED'",
        "SELECT count(*) FROM concert_seats s FULL JOIN reservation_seats r \
         ON r.seat_id = s.id AND r.schedule_id = s.schedule_id \
         WHERE (s.status = 'RESERVED') IS DISTINCT FROM (r.seat_id IS NOT NULL)",
    ),
    (
        "holds without exactly one fate",
        "SELECT count(*) FROM seat_holds",
        "SELECT count(*) FROM seat_holds h WHERE (h.status IN ('PAID', 'CANCELLED')) <> \
         ((SELECT count(*) FROM reservations r WHERE r.hold_id = h.id) = 1) \
         OR (SELECT count(*) FROM reservations r WHERE r.hold_id = h.id) > 1",
    ),
    (
        "payments without their reservation, or of another amount",
        "SELECT count(*) FROM payments",
        "SELECT count(*) FROM payments p FULL JOIN reservations r ON r.id = p.reservation_id \
         WHERE p.amount IS DISTINCT FROM r.amount OR p.user_id IS DISTINCT FROM r.user_id",
    ),
    (
        "cancelled without exactly one refund of what was paid, or the other way",
        "SELECT count(*) FROM refunds",
        "SELECT count(*) FROM refunds f JOIN payments p ON p.id = f.payment_id \
         JOIN reservations r ON r.id = f.reservation_id AND r.id = p.reservation_id \
         FULL JOIN (SELECT id FROM seat_holds WHERE status = 'CANCELLED') h ON h.id = r.hold_id \
         FULL JOIN (SELECT * FROM wallet_transactions WHERE kind = 'refund') t ON t.payment_id = p.id \
         WHERE f.amount IS DISTINCT FROM p.amount OR t.amount IS DISTINCT FROM f.amount OR h.id IS NULL",
    ),
    (
        "wallets that are negative or differ from their ledger",
        "SELECT count(*) FROM wallets",
        "SELECT count(*) FROM wallets w WHERE w.balance < 0 OR w.balance <> \
         (SELECT coalesce(sum(t.amount), 0) FROM wallet_transactions t WHERE t.wallet_id = w.id)",
    ),
    (
        "events left over by the worker",
        "SELECT count(*) FROM outbox WHERE relayed_at IS NOT NULL",
        // There is always one from this moment; who waited for a second was forgotten.
        "SELECT count(*) FROM outbox WHERE relayed_at IS NULL AND created_at < clock_timestamp() - interval '1 second'",
    ),
    (
        "reservations told of that stand without a ticket",
        "SELECT count(*) FROM tickets",
        "SELECT count(*) FROM reservations r JOIN outbox o ON o.topic = 'reservation.created' \
         AND o.relayed_at IS NOT NULL AND o.payload ->> 'reservation_id' = r.id::text \
         WHERE NOT EXISTS (SELECT FROM tickets t WHERE t.reservation_id = r.id) \
         AND NOT EXISTS (SELECT FROM refunds f WHERE f.reservation_id = r.id)",
    ),
];

/// One line of the audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    /// What is wrong when `wrong` is not 0.
    pub(crate) name: &'static str,
    pub(crate) counted: u64,
    pub(crate) wrong: u64,
}

/// The audit.
#[derive(Debug)]
pub(crate) struct Audit {
    pub(crate) accounts: Result<Vec<Account>>,
    /// Requests of protected paths that reached the service without a valid token.
    pub(crate) unproven: Result<u64>,
}

/// Asks the database and the service.
pub(crate) async fn of(site: &Site) -> Audit {
    Audit { accounts: accounts(site).await, unproven: unproven(site).await }
}

async fn accounts(site: &Site) -> Result<Vec<Account>> {
    // What is left over then is told by its account.
    let none_pending = async || number(site, PENDING).await.is_ok_and(|pending| pending == 0);
    let _ = testbed::wait::until("the worker to have relayed all events", RELAYED_WITHIN, none_pending).await;
    let mut accounts = Vec::new();
    for (name, counted, wrong) in ACCOUNTS {
        accounts.push(Account { name, counted: number(site, counted).await?, wrong: number(site, wrong).await? });
    }
    Ok(accounts)
}

async fn number(site: &Site, sql: &str) -> Result<u64> {
    let answer = site.sql(sql).await?;
    answer.trim().parse().with_context(|| format!("`{sql}` gave no number: {answer}"))
}

async fn unproven(site: &Site) -> Result<u64> {
    let metrics = http::text(site.addresses().service_admin, "/metrics").await?;
    Ok(sum(&metrics, REFUSED))
}

/// The sum of a counter over all its labels; 0 when it was never counted up.
fn sum(metrics: &str, counter: &str) -> u64 {
    let of_this = metrics.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let (name, value) = line.rsplit_once(' ')?;
        (name.split('{').next()? == counter).then(|| value.parse::<f64>().ok())?
    });
    of_this.sum::<f64>() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_summed_over_its_labels_and_not_over_others() {
        let metrics = "# TYPE queue_tokens_refused_total counter\nqueue_tokens_refused_total{reason=\"a\"} 2\n\
                       queue_tokens_refused_total{reason=\"b c\"} 3\nqueue_tokens_refused_total_more 9\nother 1\n";
        assert_eq!(sum(metrics, REFUSED), 5);
        assert_eq!(sum("", REFUSED), 0);
    }
}
