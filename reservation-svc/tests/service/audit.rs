//! What must be true whatever happened: every seat, every won, every event, and the gateway's book. The one audit of
//! all tests here.

use std::collections::BTreeSet;

use testbed::gateway::{Gateway, Status};
use testbed::wait;

use crate::bed::{Bed, DEADLINE};

/// What is wrong, and a query that counts it.
const CHECKS: &[(&str, &str)] = &[
(
    "seats sold twice",
    "SELECT count(*) FROM (SELECT FROM reservation_seats GROUP BY schedule_id, seat_id HAVING count(*) > 1) x",
),
(
    "wallets that differ from their ledger",
    "SELECT count(*) FROM wallets w WHERE balance < 0 OR balance <> (SELECT coalesce(sum(amount), 0) FROM wallet_transactions t WHERE t.wallet_id = w.id)",
),
(
    "reserved seats without a reservation, or the other way",
    "SELECT count(*) FROM (SELECT id FROM concert_seats WHERE status = 'RESERVED') s FULL JOIN reservation_seats r ON r.seat_id = s.id WHERE s.id IS NULL OR r.seat_id IS NULL",
),
(
    "payments that differ from their seats",
    "SELECT count(*) FROM payments p WHERE (SELECT CASE WHEN EXISTS (SELECT FROM refunds f WHERE f.payment_id = p.id) THEN 0 ELSE p.amount END) <> (SELECT coalesce(sum(price), 0) FROM reservation_seats s WHERE s.reservation_id = p.reservation_id)",
),
(
    "payments without their ledger line",
    "SELECT count(*) FROM payments p WHERE (p.method = 'wallet')::integer <> (SELECT count(*) FROM wallet_transactions t WHERE t.payment_id = p.id AND t.kind = 'payment' AND t.amount = -p.amount)",
),
(
    "payments by card without their attempt, or the other way",
    "SELECT count(*) FROM (SELECT * FROM payments WHERE method = 'card') p
         FULL JOIN (SELECT * FROM gateway_payments WHERE state IN ('COMMITTED', 'CAPTURED', 'REFUND_DUE', 'REFUNDED')) g ON g.id = p.id
         LEFT JOIN refunds f ON f.payment_id = p.id
     WHERE p.id IS NULL OR g.id IS NULL OR p.amount <> g.amount OR p.reservation_id <> g.reservation_id
         OR (f.payment_id IS NULL) <> (g.state IN ('COMMITTED', 'CAPTURED'))",
),
(
    "paid holds without a payment",
    "SELECT (SELECT count(*) FROM seat_holds WHERE status IN ('PAID', 'CANCELLED')) - (SELECT count(*) FROM payments)",
),
(
    "refunds without their ledger line, their payment's amount or their cancelled hold, or the other way",
    "SELECT count(*) FROM refunds f JOIN payments p ON p.id = f.payment_id
         JOIN reservations r ON r.id = f.reservation_id AND r.id = p.reservation_id
         FULL JOIN (SELECT id FROM seat_holds WHERE status = 'CANCELLED') h ON h.id = r.hold_id
         FULL JOIN (SELECT * FROM wallet_transactions WHERE kind = 'refund') t ON t.payment_id = p.id
     WHERE f.amount IS DISTINCT FROM p.amount OR h.id IS NULL
         OR t.amount IS DISTINCT FROM CASE p.method WHEN 'wallet' THEN f.amount END",
),
(
    "refunds without their events",
    "SELECT 2 * (SELECT count(*) FROM refunds) - (SELECT count(*) FROM outbox WHERE topic IN ('payment.refunded', 'reservation.cancelled'))",
),
(
    "payments without their event",
    "SELECT (SELECT count(*) FROM payments) - (SELECT count(*) FROM outbox WHERE topic = 'payment.completed')",
),
(
    "reservations without their event",
    "SELECT (SELECT count(*) FROM reservations) - (SELECT count(*) FROM outbox WHERE topic = 'reservation.created')",
),
(
    "holds without their event",
    "SELECT (SELECT count(*) FROM seat_holds) - (SELECT count(*) FROM outbox WHERE topic = 'hold.created')",
),
(
    "expired holds without their event",
    "SELECT (SELECT count(*) FROM seat_holds WHERE status = 'EXPIRED') - (SELECT count(*) FROM outbox WHERE topic = 'reservation.expired')",
),
(
    "released holds without their event",
    "SELECT (SELECT count(*) FROM seat_holds WHERE status = 'RELEASED') - (SELECT count(*) FROM outbox WHERE topic = 'hold.released')",
),
];

impl Bed {
    /// Every invariant that can be seen in the tables: I14, I16, I18, and that money went where seats did.
    pub(crate) async fn audit(&self) {
        for (what, sql) in CHECKS {
            assert_eq!(self.sql(sql).await, "0", "{what}");
        }
    }
}

/// What every payment came to, in the ledger and at the gateway: the same, once nothing is owed any more.
pub(crate) async fn assert_settled(bed: &Bed, gateway: &Gateway) {
    let owed =
        "SELECT count(*) FROM gateway_payments WHERE state IN ('STARTED', 'COMMITTED', 'VOID_DUE', 'REFUND_DUE')";
    wait::until("what is owed to be settled", DEADLINE, || async { bed.sql(owed).await == "0" }).await.unwrap();
    bed.audit().await;
    let ours = bed.sql("SELECT id, lower(state::text), amount FROM gateway_payments ORDER BY id").await;
    let ours: BTreeSet<String> = ours.lines().map(str::to_owned).collect();
    let mut theirs = BTreeSet::new();
    for payment in gateway.payments() {
        let row = |status: &str, amount: i64| format!("{}|{status}|{amount}", payment.id);
        let status = format!("{:?}", payment.status).to_lowercase();
        theirs.insert(if payment.status == Status::Voided && ours.contains(&row("refunded", payment.amount)) {
            // Cancelled before the capture: there was nothing to give back but the authorisation.
            row("refunded", payment.amount)
        } else if payment.status == Status::Declined && ours.contains(&row("voided", payment.amount)) {
            // The decline never reached us: there was nothing to let go.
            row("voided", payment.amount)
        } else if payment.currency.is_empty() {
            // Voided before it came: the gateway never learned of the money.
            let amount = bed.sql(&format!("SELECT amount FROM gateway_payments WHERE id = '{}'", payment.id)).await;
            row(&status, amount.parse().unwrap())
        } else {
            row(&status, payment.amount)
        });
    }
    assert_eq!(ours, theirs, "ours, and the gateway's");
}
