//! Holding and releasing seats: I14, F16, F17, limits, lazy expiry.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use sqlx::Connection;

use crate::bed::{Bed, Wishes};
use crate::client::Answer;

#[tokio::test]
async fn a_hold_keeps_seats_and_a_release_frees_them_at_once() {
    let bed = Bed::start().await;
    let held = bed.hold(1, &["A-13", "A-12"]).await;
    assert_eq!(held.status, 201);
    assert_eq!(held.seats(), ["A-12", "A-13"]);
    assert_eq!((held.json["amount"].as_i64(), held.json["currency"].as_str()), (Some(330_000), Some("KRW")));
    assert!(held.json["expires_at"].as_str().unwrap().ends_with('Z'));
    let path = format!("/holds/{}", held.json["hold_id"].as_str().unwrap());

    bed.hold(2, &["A-12"]).await.assert_problem(409, "seat-taken");
    assert_eq!(bed.as_user(1, "GET", &path).send().await.json["status"], "active");
    bed.as_user(2, "GET", &path).send().await.assert_problem(404, "hold-not-found");
    bed.as_user(2, "DELETE", &path).send().await.assert_problem(404, "hold-not-found");

    assert_eq!(bed.as_user(1, "DELETE", &path).send().await.status, 204);
    assert_eq!(bed.as_user(1, "DELETE", &path).send().await.status, 204, "released stays released");
    assert_eq!(bed.as_user(1, "GET", &path).send().await.json["status"], "released");
    bed.held(2, &["A-12", "A-13"]).await;
    bed.audit().await;
}

#[tokio::test]
async fn a_hold_is_all_or_nothing_and_names_what_is_taken() {
    let bed = Bed::start().await;
    bed.held(1, &["B-2"]).await;
    let refused = bed.hold(2, &["B-1", "B-2", "B-3"]).await;
    refused.assert_problem(409, "seat-taken");
    assert_eq!(refused.seats(), ["B-2"]);
    let unknown = bed.hold(2, &["B-1", "ZZ-1"]).await;
    unknown.assert_problem(404, "seat-not-found");
    assert_eq!(unknown.seats(), ["ZZ-1"]);
    bed.held(3, &["B-1", "B-3"]).await;
}

#[tokio::test]
async fn i14_one_live_reservation_per_seat() {
    f16_64_buyers_one_seat(Wishes::default()).await;
}

#[tokio::test]
async fn f16_64_buyers_one_seat_behind_the_seat_lock() {
    let redis = testbed::redis::PrivateRedis::start().await.unwrap();
    f16_64_buyers_one_seat(Wishes { redis_url: redis.url(), ..Wishes::default() }).await;
}

/// Taken, or on a slow machine still in the winner's hands.
fn assert_refused(answer: &Answer) {
    if answer.status == 503 {
        answer.assert_problem(503, "busy");
    } else {
        answer.assert_problem(409, "seat-taken");
    }
}

/// 64 users want one seat at the same moment, several times over; all who get a hold pay for it.
async fn f16_64_buyers_one_seat(wishes: Wishes) {
    let bed = Bed::with(wishes).await;
    for seat in ["A-1", "M-20", "Y-40"] {
        let answers = join_all((1..=64).map(|user| bed.hold(user, std::slice::from_ref(&seat)))).await;
        let holds: Vec<_> = (1..=64).zip(&answers).filter(|(_, answer)| answer.status == 201).collect();
        assert_eq!(holds.len(), 1, "seat {seat}");
        for answer in answers.iter().filter(|answer| answer.status != 201) {
            assert_refused(answer);
        }
        let (winner, hold) = holds[0];
        let hold = hold.json["hold_id"].as_str().unwrap();
        let paid = join_all((1..=64).map(|user| bed.pay(user, hold))).await;
        for (user, answer) in (1..=64).zip(&paid) {
            if user == winner {
                assert_eq!(answer.status, 201, "{}", answer.text());
            } else {
                answer.assert_problem(404, "hold-not-found");
            }
        }
    }
    assert_eq!(bed.sql("SELECT count(*) FROM reservation_seats").await, "3");
    bed.audit().await;
}

#[tokio::test]
async fn i9_seats_that_only_wait_for_somebody_are_not_called_taken() {
    let bed = Bed::start().await;
    let named = || {
        let body = serde_json::json!({ "seats": ["A-1"] });
        bed.as_user(1, "POST", "/schedules/1/holds").key("named").json(&body).send()
    };
    let best = || {
        let body = serde_json::json!({ "count": 2, "section": "R" });
        bed.as_user(2, "POST", "/schedules/1/holds").key("best").json(&body).send()
    };
    let mut connection = bed.pool.acquire().await.unwrap();
    for work in [
        // The seats are in somebody's hands, who may let them go …
        "SELECT 1 FROM concert_seats WHERE schedule_id = 1 FOR UPDATE",
        // … or another hold of these users is under way.
        "SELECT pg_advisory_xact_lock(hashtextextended('hold:' || u || ':1', 0)) FROM generate_series(1, 2) AS u",
    ] {
        let mut at_work = connection.begin().await.unwrap();
        sqlx::query(work).execute(&mut *at_work).await.unwrap();
        let (named, best) = tokio::join!(named(), best());
        for answer in [named, best] {
            answer.assert_problem(503, "busy");
            assert_eq!(answer.header("retry-after"), "1");
        }
        at_work.rollback().await.unwrap();
    }
    // No answer was given, so none stands in the way of the same request now.
    for answer in [named().await, best().await] {
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
    bed.audit().await;
}

#[tokio::test]
async fn f17_opposite_seat_order() {
    let bed = Bed::start().await;
    for round in 1..=10 {
        let seats = [format!("C-{round}"), format!("D-{round}"), format!("E-{round}"), format!("F-{round}")];
        let there: Vec<&str> = seats.iter().map(String::as_str).collect();
        let back: Vec<&str> = there.iter().rev().copied().collect();
        let answers = join_all((1..=8).map(|n| {
            let seats = if n % 2 == 0 { &there } else { &back };
            // Another user each time, so that nobody meets their limit.
            bed.hold(round * 8 + n, seats)
        }))
        .await;
        let held = answers.iter().filter(|answer| answer.status == 201).count();
        assert_eq!(held, 1, "round {round}: {:?}", answers.iter().map(|a| a.status).collect::<Vec<_>>());
        answers.iter().filter(|answer| answer.status != 201).for_each(assert_refused);
    }
    assert_eq!(bed.sql("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").await, "0");
    bed.audit().await;
}

#[tokio::test]
async fn a_hold_that_ran_out_is_taken_over_and_told_once() {
    let bed = Bed::start().await;
    let old = bed.held(1, &["A-1", "A-2"]).await;
    bed.run_out().await;
    let old_path = format!("/holds/{old}");
    assert_eq!(bed.as_user(1, "GET", &old_path).send().await.json["status"], "expired");

    let (one, two) = tokio::join!(bed.hold(2, &["A-1"]), bed.hold(3, &["A-2"]));
    assert_eq!((one.status, two.status), (201, 201), "{} {}", one.text(), two.text());
    assert_eq!(bed.sql("SELECT status FROM seat_holds ORDER BY id LIMIT 1").await, "EXPIRED");
    assert_eq!(bed.sql("SELECT count(*) FROM outbox WHERE topic = 'reservation.expired'").await, "1");
    assert_eq!(bed.as_user(1, "DELETE", &old_path).send().await.status, 204, "nothing is left to release");
    bed.hold(4, &["A-1"]).await.assert_problem(409, "seat-taken");
    bed.audit().await;
}

#[tokio::test]
async fn limits_hold_per_request_and_per_user() {
    let bed = Bed::with(Wishes { holds: "max_seats = 2\nmax_per_user = 3".to_owned(), ..Wishes::default() }).await;
    bed.hold(1, &["A-1", "A-2", "A-3"]).await.assert_problem(422, "too-many-seats");
    // Two at once, each within the limit alone.
    let (one, two) = tokio::join!(bed.hold(1, &["A-1", "A-2"]), bed.hold(1, &["A-3", "A-4"]));
    let statuses: BTreeSet<u16> = [one.status, two.status].into();
    assert_eq!(statuses, [201, 422].into(), "{} {}", one.text(), two.text());
    bed.held(1, &["B-1"]).await;
    bed.hold(1, &["B-2"]).await.assert_problem(422, "seat-limit-reached");
    // Another schedule has a limit of its own, and what ran out counts no more.
    let other =
        bed.as_user(1, "POST", "/schedules/2/holds").json(&serde_json::json!({ "seats": ["B-2"] })).send().await;
    assert_eq!(other.status, 201);
    bed.run_out().await;
    bed.held(1, &["B-2"]).await;
}
