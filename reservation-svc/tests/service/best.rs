//! Best available: adjacent seats in one call, for one buyer and for a crowd.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::bed::{Bed, Wishes};
use crate::client::Answer;

async fn best(bed: &Bed, user: i64, count: u32, section: &str) -> Answer {
    let body = json!({ "count": count, "section": section });
    bed.as_user(user, "POST", "/schedules/1/holds").json(&body).send().await
}

/// Row and numbers, which must be without a gap.
fn adjacent(answer: &Answer) -> (String, Vec<u32>) {
    let seats: Vec<(&str, u32)> = answer
        .seats()
        .into_iter()
        .map(|seat| seat.rsplit_once('-').map(|(row, number)| (row, number.parse().unwrap())).unwrap())
        .collect();
    assert!(seats.windows(2).all(|pair| pair[0].0 == pair[1].0 && pair[0].1 + 1 == pair[1].1), "{seats:?}");
    (seats[0].0.to_owned(), seats.into_iter().map(|(_, number)| number).collect())
}

#[tokio::test]
async fn the_best_seats_are_in_front_near_the_middle_and_side_by_side() {
    let bed = Bed::start().await;
    let first = best(&bed, 1, 3, "R").await;
    assert_eq!(first.status, 201, "{}", first.text());
    let (row, numbers) = adjacent(&first);
    assert_eq!((row.as_str(), first.json["amount"].as_i64()), ("E", Some(429_000)));
    assert!(numbers.contains(&20) || numbers.contains(&21), "{numbers:?}");
    let (row, next) = adjacent(&best(&bed, 2, 3, "R").await);
    assert!(row == "E" && next.iter().all(|number| !numbers.contains(number)), "{row} {next:?}");
    bed.audit().await;
}

#[tokio::test]
async fn no_single_seat_is_left_behind_while_there_is_another_way() {
    let bed = Bed::start().await;
    // Row A keeps 10 to 13 and 30, 31: two at 10, 12 or 30 leave no single seat, two at 11 leave two.
    bed.sql(
        "UPDATE concert_seats SET status = 'TEMPORARILY_RESERVED', hold_id = gen_random_uuid(), version = version + 1,
         held_until = now() + interval '1 hour' WHERE schedule_id = 1 AND section = 'VIP'
         AND seat NOT IN ('A-10', 'A-11', 'A-12', 'A-13', 'A-30', 'A-31')",
    )
    .await;
    let mut found = Vec::new();
    for user in 1..=3 {
        found.extend(adjacent(&best(&bed, user, 2, "VIP").await).1);
    }
    found.sort_unstable();
    assert_eq!(found, [10, 11, 12, 13, 30, 31]);
    best(&bed, 4, 1, "VIP").await.assert_problem(409, "no-adjacent-seats");
}

#[tokio::test]
async fn what_ran_out_counts_as_free_and_its_end_is_told() {
    let bed = Bed::with(Wishes { holds: "max_seats = 40\nmax_per_user = 80".to_owned(), ..Wishes::default() }).await;
    for user in 1..=4 {
        assert_eq!(best(&bed, user, 40, "VIP").await.status, 201);
    }
    best(&bed, 5, 1, "VIP").await.assert_problem(409, "no-adjacent-seats");
    bed.run_out().await;
    assert_eq!(best(&bed, 5, 40, "VIP").await.status, 201);
    assert_eq!(bed.sql("SELECT count(*) FROM outbox WHERE topic = 'reservation.expired'").await, "1");
    bed.audit().await;
}

#[tokio::test]
async fn refused_wishes() {
    let bed = Bed::start().await;
    best(&bed, 1, 5, "R").await.assert_problem(422, "too-many-seats");
    best(&bed, 1, 0, "R").await.assert_problem(422, "invalid-seats");
    best(&bed, 1, 1, "").await.assert_problem(422, "invalid-seats");
    best(&bed, 1, 1, "R\0").await.assert_problem(422, "invalid-seats");
    best(&bed, 1, 1, "Q").await.assert_problem(404, "section-not-found");
    let elsewhere = bed.as_user(1, "POST", "/schedules/9/holds").json(&json!({ "count": 1, "section": "R" }));
    elsewhere.send().await.assert_problem(404, "schedule-not-found");
    for body in [
        json!({}),
        json!({ "count": 1 }),
        json!({ "section": "R" }),
        json!({ "seats": ["A-1"], "count": 1, "section": "R" }),
        json!({ "seats": ["A-1"], "section": "R" }),
        json!({ "count": -1, "section": "R" }),
        json!({ "count": 1.5, "section": "R" }),
        json!({ "count": 1, "section": 7 }),
        json!({ "count": 1, "section": "R", "row": "A" }),
    ] {
        let answer = bed.as_user(1, "POST", "/schedules/1/holds").json(&body).send().await;
        answer.assert_problem(422, "invalid-body");
    }
    best(&bed, 1, 4, "R").await;
    best(&bed, 1, 4, "R").await;
    best(&bed, 1, 1, "R").await.assert_problem(422, "seat-limit-reached");
}

#[tokio::test]
async fn the_same_key_gets_the_same_seats() {
    let bed = Bed::start().await;
    let ask = || {
        let body = json!({ "count": 2, "section": "S" });
        bed.as_user(1, "POST", "/schedules/1/holds").key("k").json(&body).send()
    };
    let (first, again) = (ask().await, ask().await);
    assert_eq!((first.status, &first.json), (again.status, &again.json));
    assert_eq!(bed.sql("SELECT count(*) FROM seat_holds").await, "1");
}

#[tokio::test]
async fn i14_64_buyers_of_two_adjacent_seats() {
    let bed = Bed::start().await;
    crowd(&bed).await;
}

#[tokio::test]
async fn i14_64_buyers_of_two_adjacent_seats_behind_the_seat_lock() {
    let redis = testbed::redis::PrivateRedis::start().await.unwrap();
    let bed = Bed::with(Wishes { redis_url: redis.url(), ..Wishes::default() }).await;
    crowd(&bed).await;
}

/// 64 buyers want two seats of 160 at the same moment, while others take seats there by name; then the rest goes.
async fn crowd(bed: &Bed) {
    let named = join_all((1..=20).map(|n| {
        let seats = [format!("A-{}", 2 * n), format!("B-{}", 2 * n)];
        async move { bed.hold(100 + n, &[&seats[1], &seats[0]]).await }
    }));
    let (answers, named) = tokio::join!(join_all((1..=64).map(|user| best(bed, user, 2, "VIP"))), named);
    let mut sold: Vec<String> = Vec::new();
    for answer in answers.iter().chain(&named) {
        if answer.status == 201 {
            sold.extend(answer.seats().into_iter().map(str::to_owned));
        } else {
            // Or in the hands of others each time that one looked: then nothing is known to be sold out.
            let kinds = ["/problems/no-adjacent-seats", "/problems/seat-taken", "/problems/busy"].map(Value::from);
            assert!(matches!(answer.status, 409 | 503) && kinds.contains(&answer.json["type"]), "{}", answer.text());
        }
    }
    for answer in answers.iter().filter(|answer| answer.status == 201) {
        adjacent(answer);
    }
    // One after the other, until nothing lies together any more.
    for user in 200.. {
        let answer = best(bed, user, 2, "VIP").await;
        if answer.status != 201 {
            answer.assert_problem(409, "no-adjacent-seats");
            break;
        }
        adjacent(&answer);
        sold.extend(answer.seats().into_iter().map(str::to_owned));
    }
    let told = sold.len();
    sold.sort_unstable();
    sold.dedup();
    assert_eq!(sold.len(), told, "a seat was given to two");
    let held = "SELECT count(*) FROM concert_seats WHERE schedule_id = 1 AND status = 'TEMPORARILY_RESERVED'";
    assert_eq!(bed.sql(held).await, told.to_string());
    let pairs = "SELECT count(*) FROM concert_seats a JOIN concert_seats b ON b.schedule_id = 1 AND b.section = 'VIP'
                 AND b.status = 'AVAILABLE' AND b.id = a.id + 1 AND left(a.seat, 1) = left(b.seat, 1)
                 WHERE a.schedule_id = 1 AND a.section = 'VIP' AND a.status = 'AVAILABLE'";
    assert_eq!(bed.sql(pairs).await, "0", "two free seats lie together and were not found");
    assert_eq!(bed.sql("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").await, "0");
    bed.audit().await;
}
