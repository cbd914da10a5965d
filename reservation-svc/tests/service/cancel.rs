//! Cancelling: I14–I16 with seats and money going back, once, whoever races.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::bed::{Bed, Wishes};
use crate::client::Answer;

/// Buys seats; the reservation's id.
async fn bought(bed: &Bed, user: i64, seats: &[&str]) -> String {
    let hold = bed.held(user, seats).await;
    let paid = bed.pay(user, &hold).await;
    assert_eq!(paid.status, 201, "{}", paid.text());
    assert_eq!(paid.json["cancelled_at"], Value::Null);
    paid.json["reservation_id"].as_str().unwrap().to_owned()
}

async fn cancel(bed: &Bed, user: i64, reservation: &str) -> Answer {
    bed.as_user(user, "POST", &format!("/reservations/{reservation}/cancel")).send().await
}

async fn balance(bed: &Bed, user: i64) -> i64 {
    bed.as_user(user, "GET", "/wallet").send().await.json["balance"].as_i64().unwrap()
}

#[tokio::test]
async fn i16_a_cancelled_reservation_gives_seats_and_money_back_once() {
    let bed = Bed::start().await;
    let reservation = bought(&bed, 1, &["A-1", "A-2"]).await;
    assert_eq!(balance(&bed, 1).await, 670_000);
    let cancelled = cancel(&bed, 1, &reservation).await;
    assert_eq!((cancelled.status, &cancelled.json["status"]), (200, &json!("cancelled")), "{}", cancelled.text());
    assert!(cancelled.json["cancelled_at"].is_string());
    let again = cancel(&bed, 1, &reservation).await;
    assert_eq!((again.status, &again.json), (200, &cancelled.json));
    assert_eq!(balance(&bed, 1).await, 1_000_000);
    let ledger = bed.as_user(1, "GET", "/wallet/transactions").send().await;
    assert_eq!(
        (&ledger.json["transactions"][0]["kind"], &ledger.json["transactions"][0]["reservation_id"]),
        (&json!("refund"), &json!(reservation))
    );
    let path = format!("/reservations/{reservation}");
    assert_eq!(bed.as_user(1, "GET", &path).send().await.json, cancelled.json);
    assert_eq!(bed.sql("SELECT count(*) FROM reservation_seats").await, "0");
    bed.audit().await;

    // The seats are anybody's again, and the old hold buys nothing.
    let hold = cancelled.json["hold_id"].as_str().unwrap();
    bed.pay(1, hold).await.assert_problem(409, "hold-expired");
    assert_eq!(bed.as_user(1, "GET", &format!("/holds/{hold}")).send().await.json["status"], "cancelled");
    assert_eq!(bed.as_user(1, "DELETE", &format!("/holds/{hold}")).send().await.status, 204);
    bought(&bed, 2, &["A-1", "A-2"]).await;
    assert_eq!(cancel(&bed, 1, &reservation).await.json, cancelled.json);
    assert_eq!((balance(&bed, 1).await, balance(&bed, 2).await), (1_000_000, 670_000));
    bed.audit().await;
}

#[tokio::test]
async fn refused_bodies_of_a_cancellation() {
    let bed = Bed::start().await;
    let reservation = bought(&bed, 1, &["A-1"]).await;
    let ask = || bed.as_user(1, "POST", &format!("/reservations/{reservation}/cancel"));
    for (body, status, kind) in [
        (r#"{"seats": ["A-1"]}"#, 422, "invalid-body"),
        ("[]", 422, "invalid-body"),
        ("null", 422, "invalid-body"),
        ("{", 400, "malformed-json"),
    ] {
        let answer = ask().header("content-type", "application/json").body(body).send().await;
        answer.assert_problem(status, kind);
    }
    ask().body("reason=none").send().await.assert_problem(415, "unsupported-media-type");
    assert_eq!(bed.sql("SELECT count(*) FROM refunds").await, "0");
    assert_eq!(ask().json(&json!({})).send().await.status, 200, "an empty object says nothing");
}

#[tokio::test]
async fn refused_cancellations() {
    let bed = Bed::start().await;
    let reservation = bought(&bed, 1, &["A-1"]).await;
    cancel(&bed, 2, &reservation).await.assert_problem(404, "reservation-not-found");
    cancel(&bed, 1, "0190a2b0-0000-7000-8000-000000000000").await.assert_problem(404, "reservation-not-found");
    cancel(&bed, 1, "x").await.assert_problem(404, "not-found");
    let path = format!("/reservations/{reservation}/cancel");
    bed.client.request("POST", &path).send().await.assert_problem(403, "queue-token-required");
    bed.sql("UPDATE concert_schedules SET starts_at = now() - interval '1 minute' WHERE id = 1").await;
    cancel(&bed, 1, &reservation).await.assert_problem(409, "cancellation-closed");
    assert_eq!(balance(&bed, 1).await, 835_000);
    bed.audit().await;
}

#[tokio::test]
async fn cancelled_seats_do_not_count_for_the_limit() {
    let bed = Bed::with(Wishes { holds: "max_per_user = 2".to_owned(), ..Wishes::default() }).await;
    let reservation = bought(&bed, 1, &["A-1", "A-2"]).await;
    bed.hold(1, &["A-3"]).await.assert_problem(422, "seat-limit-reached");
    assert_eq!(cancel(&bed, 1, &reservation).await.status, 200);
    bed.held(1, &["A-3", "A-4"]).await;
    bed.audit().await;
}

#[tokio::test]
async fn the_same_key_gets_the_same_answer() {
    let bed = Bed::start().await;
    let (one, two) = (bought(&bed, 1, &["A-1"]).await, bought(&bed, 1, &["A-2"]).await);
    let ask =
        |reservation: &str| bed.as_user(1, "POST", &format!("/reservations/{reservation}/cancel")).key("k").send();
    let first = ask(&one).await;
    assert_eq!(first.status, 200, "{}", first.text());
    assert_eq!(ask(&one).await.json, first.json);
    ask(&two).await.assert_problem(422, "idempotency-key-reused");
    assert_eq!(balance(&bed, 1).await, 835_000);
    bed.audit().await;
}

#[tokio::test]
async fn i15_a_crowd_of_cancellations_pays_back_once_and_the_seats_are_sold_once() {
    let bed = Bed::start().await;
    let mut mine = bought(&bed, 1, &["A-1", "A-2"]).await;
    for round in 1..=5 {
        let (cancels, holds) = tokio::join!(
            join_all((0..8).map(|_| cancel(&bed, 1, &mine))),
            join_all((2..=17).map(|user| bed.hold(user + 20 * round, &["A-2", "A-1"])))
        );
        // 503: waited longer for the seats' rows than anybody should; then nothing was done.
        assert!(cancels.iter().all(|answer| matches!(answer.status, 200 | 503)), "round {round}");
        assert!(cancels.iter().any(|answer| answer.status == 200), "round {round}");
        let held = holds.iter().filter(|answer| answer.status == 201).count();
        assert!(held <= 1, "round {round}: {held} have the seats");
        assert_eq!(balance(&bed, 1).await, 1_000_000, "round {round}");
        bed.audit().await;
        bed.run_out().await;
        mine = bought(&bed, 1, &["A-1", "A-2"]).await;
    }
    assert_eq!(bed.sql("SELECT count(*) FROM refunds").await, "5");
    assert_eq!(bed.sql("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").await, "0");
}

#[tokio::test]
async fn i14_no_reserved_seat_becomes_free_while_a_reservation_has_it() {
    let bed = Bed::start().await;
    bought(&bed, 1, &["A-1"]).await;
    let free = "UPDATE concert_seats SET status = 'AVAILABLE', hold_id = NULL, version = version + 1 WHERE status = 'RESERVED'";
    let refused = bed.database.sql(free).await.unwrap_err().to_string();
    assert!(refused.contains("can not go from RESERVED to AVAILABLE"), "{refused}");
}
