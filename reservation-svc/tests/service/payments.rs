//! Paying: I15, F14, repeated payments, too little money.

use sqlx::Connection;
use testbed::wait;

use crate::bed::{Bed, DEADLINE};

#[tokio::test]
async fn a_paid_hold_becomes_a_reservation_once() {
    let bed = Bed::start().await;
    let hold = bed.held(1, &["A-1", "A-2"]).await;
    let paid = bed.pay(1, &hold).await;
    assert_eq!(paid.status, 201, "{}", paid.text());
    assert_eq!((paid.json["amount"].as_i64(), paid.json["status"].as_str()), (Some(330_000), Some("paid")));
    assert_eq!(paid.json["payment"]["method"], "wallet");
    assert_eq!(paid.seats(), ["A-1", "A-2"]);

    let again = bed.pay(1, &hold).await;
    assert_eq!((again.status, &again.json), (201, &paid.json), "paying again gives the same and takes nothing");
    let path = format!("/reservations/{}", paid.json["reservation_id"].as_str().unwrap());
    assert_eq!(bed.as_user(1, "GET", &path).send().await.json, paid.json);
    bed.as_user(2, "GET", &path).send().await.assert_problem(404, "reservation-not-found");
    bed.as_user(1, "DELETE", &format!("/holds/{hold}")).send().await.assert_problem(409, "hold-paid");
    assert_eq!(bed.as_user(1, "GET", "/wallet").send().await.json["balance"], 670_000);
    bed.hold(2, &["A-1"]).await.assert_problem(409, "seat-taken");
    bed.audit().await;
}

#[tokio::test]
async fn own_reservations_are_listed_in_pages() {
    let bed = Bed::start().await;
    for seat in ["Y-1", "Y-2", "Y-3"] {
        let hold = bed.held(1, &[seat]).await;
        assert_eq!(bed.pay(1, &hold).await.status, 201);
    }
    let mut seen = Vec::new();
    let mut path = "/reservations?limit=2".to_owned();
    loop {
        let page = bed.as_user(1, "GET", &path).send().await;
        assert_eq!(page.status, 200, "{}", page.text());
        let rows = page.json["reservations"].as_array().unwrap();
        seen.extend(rows.iter().map(|row| row["seats"][0].as_str().unwrap().to_owned()));
        let Some(cursor) = page.json["next_cursor"].as_str() else { break };
        path = format!("/reservations?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, ["Y-3", "Y-2", "Y-1"]);
}

#[tokio::test]
async fn i15_no_payment_without_a_live_hold_of_that_user() {
    let bed = Bed::start().await;
    let hold = bed.held(1, &["A-1"]).await;
    bed.pay(2, &hold).await.assert_problem(404, "hold-not-found");
    bed.pay(1, "0190a2b0-0000-7000-8000-000000000000").await.assert_problem(404, "hold-not-found");

    bed.as_user(1, "DELETE", &format!("/holds/{hold}")).send().await;
    bed.pay(1, &hold).await.assert_problem(409, "hold-expired");

    let run_out = bed.held(1, &["A-2"]).await;
    bed.run_out().await;
    bed.pay(1, &run_out).await.assert_problem(409, "hold-expired");
    bed.held(3, &["A-2"]).await;
    bed.pay(1, &run_out).await.assert_problem(409, "hold-expired");

    // The fencing token: a seat whose version has moved on is not this hold's any more.
    let fenced = bed.held(1, &["A-3"]).await;
    bed.sql("UPDATE concert_seats SET version = version + 1 WHERE schedule_id = 1 AND seat = 'A-3'").await;
    bed.pay(1, &fenced).await.assert_problem(409, "hold-expired");

    assert_eq!(bed.sql("SELECT count(*) FROM payments").await, "0");
    assert_eq!(bed.as_user(1, "GET", "/wallet").send().await.json["balance"], 1_000_000);
    bed.audit().await;
}

#[tokio::test]
async fn too_little_money_changes_nothing_and_the_hold_stands() {
    let bed = Bed::start().await;
    let first = bed.held(1, &["A-1", "A-2", "A-3", "A-4"]).await;
    assert_eq!(bed.pay(1, &first).await.status, 201);
    let second = bed.held(1, &["A-5", "A-6", "A-7", "A-8"]).await;
    let refused = bed.pay(1, &second).await;
    refused.assert_problem(402, "insufficient-balance");
    assert_eq!((refused.json["amount"].as_i64(), refused.json["balance"].as_i64()), (Some(660_000), Some(340_000)));
    let charge = serde_json::json!({ "amount": 320_000 });
    assert_eq!(bed.as_user(1, "POST", "/wallet/charges").json(&charge).send().await.status, 201);
    assert_eq!(bed.pay(1, &second).await.status, 201);
    assert_eq!(bed.as_user(1, "GET", "/wallet").send().await.json["balance"], 0);
    bed.audit().await;
}

#[tokio::test]
async fn f14_a_hold_runs_out_during_payment() {
    let bed = Bed::start().await;
    let hold = bed.held(1, &["A-1"]).await;
    // Another transaction has the seat; the payment comes to wait behind it …
    let mut connection = bed.pool.acquire().await.unwrap();
    let mut other = connection.begin().await.unwrap();
    sqlx::query("UPDATE concert_seats SET held_until = clock_timestamp() WHERE hold_id IS NOT NULL")
        .execute(&mut *other)
        .await
        .unwrap();
    let paying = bed.pay(1, &hold);
    let let_go = async {
        let waiting = "SELECT count(*) > 0 OR (SELECT count(*) > 0 FROM outbox WHERE topic = 'payment.completed')
                       FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
        wait::until("the payment to wait for the seat", DEADLINE, || async { bed.sql(waiting).await == "t" })
            .await
            .unwrap();
        // … and by the time it gets the seat, the hold has run out.
        other.commit().await.unwrap();
    };
    let (paid, ()) = tokio::join!(paying, let_go);
    // On a machine so slow that the wait took longer than lock_timeout, it was told to come again.
    if paid.status == 503 {
        paid.assert_problem(503, "busy");
        bed.pay(1, &hold).await.assert_problem(409, "hold-expired");
    } else {
        paid.assert_problem(409, "hold-expired");
    }
    assert_eq!(bed.sql("SELECT count(*) FROM payments").await, "0");
    bed.audit().await;
}

#[tokio::test]
async fn f14_payment_against_takeover_at_the_last_moment() {
    let bed = Bed::start().await;
    for round in 1..=20 {
        let seat = format!("K-{round}");
        let seats = [seat.as_str()];
        let (owner, taker) = (round * 2, round * 2 + 1);
        let hold = bed.held(owner, &seats).await;
        bed.sql(&format!(
            "UPDATE concert_seats SET held_until = clock_timestamp() + interval '{} ms' WHERE seat = '{seat}' AND schedule_id = 1",
            round % 10
        ))
        .await;
        let (paid, held) = tokio::join!(bed.pay(owner, &hold), bed.hold(taker, &seats));
        assert!(matches!(paid.status, 201 | 409), "{}", paid.text());
        assert!(matches!(held.status, 201 | 409), "{}", held.text());
        assert!(!(paid.status == 201 && held.status == 201), "round {round}: both have {seat}");
    }
    bed.audit().await;
}
