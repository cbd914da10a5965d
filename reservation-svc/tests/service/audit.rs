//! What must be true whatever happened: every seat, every won, every event, and the gateway's book. The one audit of
//! all tests here.

use std::collections::BTreeSet;

use testbed::gateway::{Gateway, Status};
use testbed::wait;

use crate::bed::{self, Bed, DEADLINE, Wishes};

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
];

/// I18: what was committed, by id, and the event that tells of it: its topic, and where it names the id. Not by
/// number: one event doubled and another missing would come out even.
const EVENTS: &[(&str, &str, &str)] = &[
    ("hold.created", "hold_id", "SELECT id FROM seat_holds"),
    ("hold.released", "hold_id", "SELECT id FROM seat_holds WHERE status = 'RELEASED'"),
    ("reservation.expired", "hold_id", "SELECT id FROM seat_holds WHERE status = 'EXPIRED'"),
    ("reservation.created", "reservation_id", "SELECT id FROM reservations"),
    ("reservation.cancelled", "reservation_id", "SELECT reservation_id AS id FROM refunds"),
    ("payment.completed", "payment_id", "SELECT id FROM payments"),
    ("payment.refunded", "payment_id", "SELECT payment_id AS id FROM refunds"),
    ("ticket.issued", "reservation_id", "SELECT reservation_id AS id FROM tickets"),
];

impl Bed {
    /// The topics of which an event is missing, comes twice, or tells of nothing that was committed.
    pub(crate) async fn wrong_events(&self) -> Vec<&'static str> {
        let mut wrong = Vec::new();
        for (topic, names, changes) in EVENTS {
            let sql = format!(
                "SELECT count(*) FROM (SELECT FROM ({changes}) c
                     FULL JOIN (SELECT (payload ->> '{names}')::uuid AS id FROM outbox WHERE topic = '{topic}') e ON e.id = c.id
                 GROUP BY coalesce(c.id, e.id) HAVING count(c.id) <> 1 OR count(e.id) <> 1) x"
            );
            if self.sql(&sql).await != "0" {
                wrong.push(*topic);
            }
        }
        wrong
    }

    /// Every invariant that can be seen in the tables: I14, I16, I18, and that money went where seats did.
    pub(crate) async fn audit(&self) {
        for (what, sql) in CHECKS {
            assert_eq!(self.sql(sql).await, "0", "{what}");
        }
        assert_eq!(self.wrong_events().await, [""; 0], "not exactly one event for each");
    }
}

/// What every payment came to, in the ledger and at the gateway: the same, once nothing is owed any more.
pub(crate) async fn assert_settled(bed: &Bed, gateway: &Gateway) {
    let owed =
        "SELECT count(*) FROM gateway_payments WHERE state IN ('STARTED', 'COMMITTED', 'VOID_DUE', 'REFUND_DUE')";
    wait::until("what is owed to be settled", DEADLINE, || async { bed.sql(owed).await == "0" }).await.unwrap();
    bed.audit().await;
    // Those that the gateway refused outright are not in its book.
    let heard_of = "state <> 'DECLINED' OR reason <> 'refused'";
    let ours = format!("SELECT id, lower(state::text), amount FROM gateway_payments WHERE {heard_of} ORDER BY id");
    let ours = bed.sql(&ours).await;
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

#[tokio::test]
async fn i18_exactly_one_event_for_each_committed_change_and_none_without() {
    let bed = Bed::with(Wishes { tickets: true, ..Wishes::default() }).await;
    for user in 1..=2 {
        let seats: Vec<String> = ["A", "B", "C", "D"].map(|row| format!("{row}-{user}")).into();
        let released = bed.held(user, &[&seats[0]]).await;
        bed.as_user(user, "DELETE", &format!("/holds/{released}")).send().await;
        bed.hold(9, &["NO-1"]).await.assert_problem(404, "seat-not-found");
        bed.held(user, &[&seats[1]]).await;
        bed.run_out().await;
        assert_eq!(bed::ledger(&bed.database.url()).sweep_holds(10).await.unwrap().expired, 1);
        let hold = bed.held(user, &[&seats[2], &seats[3]]).await;
        let paid = bed.pay(user, &hold).await;
        let reservation = paid.json["reservation_id"].as_str().unwrap();
        assert_eq!(bed.as_user(user, "GET", &format!("/reservations/{reservation}/ticket")).send().await.status, 200);
        let cancel = bed.as_user(user, "POST", &format!("/reservations/{reservation}/cancel"));
        assert_eq!(cancel.send().await.status, 200);
    }
    bed.audit().await;
    // The audit itself sees what a sum would not: one event twice in the place of another, and one of nothing.
    for (topic, _, _) in EVENTS {
        let of_topic = format!("SELECT count(*) FROM outbox WHERE topic = '{topic}'");
        assert_ne!(bed.sql(&of_topic).await, "0", "{topic}: nothing was tested");
        let events = format!("(SELECT id, payload FROM outbox WHERE topic = '{topic}' ORDER BY id)");
        let whole = bed.sql(&format!("SELECT payload FROM {events} e LIMIT 1")).await;
        let first = format!("id = (SELECT min(id) FROM outbox WHERE topic = '{topic}')");
        bed.sql(&format!(
            "UPDATE outbox SET payload = (SELECT payload FROM {events} e ORDER BY id DESC LIMIT 1) WHERE {first}"
        ))
        .await;
        assert_eq!(bed.wrong_events().await, [*topic]);
        bed.sql(&format!("UPDATE outbox SET payload = '{whole}' WHERE {first}")).await;
        assert_eq!(bed.wrong_events().await, [""; 0]);
    }
}
