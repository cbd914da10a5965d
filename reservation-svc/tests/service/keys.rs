//! Idempotency keys: I17, I9.

use futures_util::future::join_all;
use serde_json::json;
use sqlx::Connection;

use crate::bed::Bed;
use crate::client::Request;

fn charge(bed: &Bed, user: i64, key: &str, amount: i64) -> Request {
    bed.as_user(user, "POST", "/wallet/charges").key(key).json(&json!({ "amount": amount }))
}

#[tokio::test]
async fn i17_one_idempotency_key_one_effect() {
    let bed = Bed::start().await;
    // All connections first, or the first request is done before the others have one.
    join_all((0..32).map(|_| bed.as_user(1, "GET", "/wallet").send())).await;
    for round in 1..=10 {
        let key = format!("once-{round}");
        let answers = join_all((0..32).map(|_| charge(&bed, 1, &key, 5_000).send())).await;
        let done: Vec<_> = answers.iter().filter(|answer| answer.status == 201).collect();
        assert!(!done.is_empty());
        for answer in &answers {
            match answer.status {
                201 => assert_eq!(answer.json, done[0].json),
                _ => answer.assert_problem(409, "idempotency-key-in-progress"),
            }
        }
        let later = charge(&bed, 1, &key, 5_000).send().await;
        assert_eq!((later.status, &later.json), (201, &done[0].json));
        let balance = bed.as_user(1, "GET", "/wallet").send().await.json["balance"].as_i64();
        assert_eq!(balance, Some(1_000_000 + 5_000 * round));
    }
    bed.audit().await;
}

#[tokio::test]
async fn i9_a_repeated_hold_and_payment_give_the_same_answer() {
    let redis = testbed::redis::PrivateRedis::start().await.unwrap();
    let bed = Bed::with(crate::bed::Wishes { redis_url: redis.url(), ..Default::default() }).await;
    let hold = |user: i64| {
        // Spelt differently, meant the same.
        bed.as_user(user, "POST", "/schedules/1/holds")
            .key("hold")
            .header("content-type", "application/json")
            .body(if user == 1 { r#"{"seats":["A-1"]}"# } else { r#"{ "seats" : [ "A-1" ] }"# })
            .send()
    };
    let first = hold(1).await;
    assert_eq!(first.status, 201);
    let again = hold(1).await;
    assert_eq!((again.status, &again.json), (201, &first.json), "though the seat lock is taken by then");

    // A refusal is an answer too: it stays, even when the seat is free later.
    hold(2).await.assert_problem(409, "seat-taken");
    let body = json!({ "hold_id": first.json["hold_id"], "payment": { "method": "wallet" } });
    let pay = || bed.as_user(1, "POST", "/reservations").key("pay").json(&body).send();
    let paid = pay().await;
    assert_eq!(paid.status, 201);
    assert_eq!(pay().await.json, paid.json);
    hold(2).await.assert_problem(409, "seat-taken");
    assert_eq!(bed.sql("SELECT count(*) FROM payments").await, "1");
    bed.audit().await;
}

#[tokio::test]
async fn refused_another_body_or_another_operation_under_a_key() {
    let bed = Bed::start().await;
    assert_eq!(charge(&bed, 1, "k", 1).send().await.status, 201);
    charge(&bed, 1, "k", 2).send().await.assert_problem(422, "idempotency-key-reused");
    let hold = bed.as_user(1, "POST", "/schedules/1/holds").key("k").json(&json!({ "seats": ["A-1"] }));
    hold.send().await.assert_problem(422, "idempotency-key-reused");
    // Keys belong to users.
    assert_eq!(charge(&bed, 2, "k", 2).send().await.status, 201);
}

#[tokio::test]
async fn a_key_at_work_is_answered_409_at_once() {
    let bed = Bed::start().await;
    let mut connection = bed.pool.acquire().await.unwrap();
    let mut at_work = connection.begin().await.unwrap();
    sqlx::query("SELECT idempotency_begin(1, 'busy', '')").execute(&mut *at_work).await.unwrap();
    let answer = charge(&bed, 1, "busy", 1).send().await;
    answer.assert_problem(409, "idempotency-key-in-progress");
    assert_eq!(answer.header("retry-after"), "1");
    at_work.rollback().await.unwrap();
    assert_eq!(charge(&bed, 1, "busy", 1).send().await.status, 201);
}

#[tokio::test]
async fn a_key_older_than_a_day_is_forgotten() {
    let bed = Bed::start().await;
    assert_eq!(charge(&bed, 1, "k", 1).send().await.status, 201);
    assert_eq!(bed.sql("SELECT date_trunc('minute', expires_at - created_at) FROM idempotency_keys").await, "1 day");
    bed.sql("UPDATE idempotency_keys SET expires_at = now()").await;
    assert_eq!(charge(&bed, 1, "k", 2).send().await.status, 201, "the key is free again");

    bed.sql("UPDATE idempotency_keys SET expires_at = now()").await;
    let ledger = crate::bed::ledger(&bed.database.url());
    assert_eq!(ledger.tidy_idempotency_keys().await.unwrap(), 1);
    assert_eq!(bed.sql("SELECT count(*) FROM idempotency_keys").await, "0");

    // As many as half a minute of a sale leaves behind, at once.
    bed.sql(
        "INSERT INTO idempotency_keys (user_id, key, request_hash, state, response, created_at, expires_at)
         SELECT 1, 'k' || n, '', 'DONE', '{}', now(), now() + CASE WHEN n <= 2500 THEN interval '0' ELSE interval '1 day' END
         FROM generate_series(1, 2510) AS n",
    )
    .await;
    assert_eq!(ledger.tidy_idempotency_keys().await.unwrap(), 2_500);
    assert_eq!(bed.sql("SELECT count(*) FROM idempotency_keys").await, "10", "these have their time");
}
