//! Requests that meet their own twins: sent again while the first is under way, after a crash, behind a crowd. I9, I17.

use futures_util::future::join_all;
use redis::AsyncCommands;
use reservation_svc::ledger::LedgerError;
use reservation_svc::ledger::holds::HoldAnswer;
use reservation_svc::ledger::idempotency::IdempotencyKey;
use reservation_svc::seat::{SeatNumber, UserId};
use serde_json::json;
use sqlx::Connection;
use testbed::ports::Reserved;
use testbed::process::Program;
use testbed::redis::PrivateRedis;
use testbed::wait;
use testbed::wire::Wire;

use crate::bed::{self, Bed, DEADLINE, Wishes, bearer};
use crate::client::{Client, Request};

/// A keyed hold of a seat of schedule 1, at whichever instance.
fn hold(bed: &Bed, client: &Client, user: i64, seat: &str) -> Request {
    client
        .request("POST", "/schedules/1/holds")
        .header("authorization", &bearer(user))
        .header("x-queue-token", &bed.token("v1"))
        .key("k")
        .json(&json!({ "seats": [seat] }))
}

async fn with_lock(more: Wishes) -> (PrivateRedis, Bed) {
    let redis = PrivateRedis::start().await.unwrap();
    let bed = Bed::with(Wishes { redis_url: redis.url(), ..more }).await;
    (redis, bed)
}

async fn connection(redis: &PrivateRedis) -> redis::aio::MultiplexedConnection {
    redis::Client::open(redis.url()).unwrap().get_multiplexed_async_connection().await.unwrap()
}

#[tokio::test]
async fn i9_a_hold_cut_off_by_a_crash_is_not_refused_to_its_own_retry() {
    let (redis, bed) = with_lock(Wishes::default()).await;
    // A second instance whose way to the database can be blocked, so that it dies with the seat lock in its hands.
    let wire = Wire::to(testbed::postgres::shared().await.addr()).await.unwrap();
    let reserved = Reserved::new().unwrap();
    let config = bed
        .config
        .replacen("listen = \"127.0.0.1:0\"", &format!("listen = \"{}\"", reserved.addr()), 1)
        .replace(&bed.database.url(), &bed.database.url_via(wire.addr()));
    let folder = tempfile::TempDir::new().unwrap();
    std::fs::write(folder.path().join("r.toml"), config).unwrap();
    let child = Program::new(env!("CARGO_BIN_EXE_reservation-svc"))
        .args(["serve", "--config", "r.toml"])
        .folder(folder.path())
        .without_env("RESERVATION_DATABASE_URL")
        .start()
        .unwrap();
    child.wait_for_port(reserved.addr(), DEADLINE).await.unwrap();
    let other = Client::to(reserved.addr());
    let ready = || async { other.request("GET", "/concerts").send().await.status == 200 };
    wait::until("the other instance", DEADLINE, ready).await.unwrap();
    wire.blackhole().await.unwrap();
    let cut_off = tokio::spawn(hold(&bed, &other, 1, "A-1").try_send());
    let keys = connection(&redis).await;
    wait::until("its seat lock", DEADLINE, || {
        let mut keys = keys.clone();
        async move { keys.exists::<_, bool>("seat:lock:1:A-1").await.unwrap() }
    })
    .await
    .unwrap();
    child.kill().await.unwrap();
    assert!(cut_off.await.unwrap().is_err(), "nobody answers any more");

    let others = hold(&bed, &bed.client, 2, "A-1").send().await;
    others.assert_problem(409, "seat-taken");
    let again = hold(&bed, &bed.client, 1, "A-1").send().await;
    assert_eq!(again.status, 201, "the seat is free, and the lock was this request's own: {}", again.text());
    let hold = again.json["hold_id"].as_str().unwrap();
    let owner: String = keys.clone().get("seat:lock:1:A-1").await.unwrap();
    assert!(owner.starts_with(hold), "{owner} is not {hold}'s");
    assert_eq!(bed.as_user(1, "DELETE", &format!("/holds/{hold}")).send().await.status, 204);
    assert!(!keys.clone().exists::<_, bool>("seat:lock:1:A-1").await.unwrap(), "given back, whatever its mark");
    bed.audit().await;
}

#[tokio::test]
async fn i17_the_same_hold_many_times_at_once_is_one_hold() {
    let (redis, bed) = with_lock(Wishes { connections: 1, ..Wishes::default() }).await;
    for user in 1..=8 {
        let seat = format!("A-{user}");
        let answers = join_all((0..8).map(|_| hold(&bed, &bed.client, user, &seat).send())).await;
        let held: Vec<_> = answers.iter().filter(|answer| answer.status == 201).collect();
        for answer in &answers {
            match answer.status {
                201 => assert_eq!(answer.json, held[0].json),
                _ => answer.assert_problem(409, "idempotency-key-in-progress"),
            }
        }
        let again = hold(&bed, &bed.client, user, &seat).send().await;
        assert_eq!((again.status, &again.json), (201, &held[0].json));
        let paid = bed.pay(user, again.json["hold_id"].as_str().unwrap()).await;
        assert_eq!(paid.status, 201, "{}", paid.text());
    }
    let locks: Vec<String> = connection(&redis).await.keys("seat:lock:*").await.unwrap();
    assert!(locks.is_empty(), "paid seats have no locks: {locks:?}");
    bed.audit().await;
}

fn key(body: &str) -> IdempotencyKey {
    IdempotencyKey::new("k", "POST /schedules/1/holds", &body).unwrap()
}

/// What the lock's refusal of A-1 to each of these users comes to, all at once.
async fn refused(bed: &Bed, users: std::ops::RangeInclusive<i64>) -> Vec<Result<HoldAnswer, LedgerError>> {
    let ledger = bed::ledger(&bed.database.url());
    let taken = [SeatNumber::parse("A-1").unwrap()];
    let key = key("A-1");
    join_all(users.map(|user| ledger.refuse_hold(UserId::new(user).unwrap(), &taken, &key))).await
}

#[tokio::test]
async fn refusals_of_a_crowd_are_stored_together_and_each_as_its_own() {
    let bed = Bed::start().await;
    for answer in refused(&bed, 1..=200).await {
        assert_eq!(answer.unwrap(), HoldAnswer::SeatTaken { seats: vec!["A-1".to_owned()] });
    }
    assert_eq!(bed.sql("SELECT count(*) FROM idempotency_keys WHERE key = 'k'").await, "200");
    let transactions = bed.sql("SELECT count(DISTINCT xmin::text) FROM idempotency_keys WHERE key = 'k'").await;
    assert_eq!(transactions, "2", "the first, and all who came while it was written");

    // They are answers like any other: the same for the same, and for nothing else.
    let ledger = bed::ledger(&bed.database.url());
    let other = [SeatNumber::parse("A-2").unwrap()];
    let again = |body: &str| {
        let (ledger, other, key) = (ledger.clone(), other.clone(), key(body));
        async move { ledger.refuse_hold(UserId::new(7).unwrap(), &other, &key).await }
    };
    assert_eq!(again("A-1").await.unwrap(), HoldAnswer::SeatTaken { seats: vec!["A-1".to_owned()] });
    assert!(matches!(again("A-2").await, Err(LedgerError::KeyReused)));
    let mut connection = bed.pool.acquire().await.unwrap();
    let mut at_work = connection.begin().await.unwrap();
    sqlx::query("SELECT idempotency_begin(7, 'k', '')").execute(&mut *at_work).await.unwrap();
    assert!(matches!(again("A-1").await, Err(LedgerError::KeyInProgress)));
    at_work.rollback().await.unwrap();
}

#[tokio::test]
async fn a_stranger_among_the_refused_spoils_nothing_for_the_others() {
    let bed = Bed::start().await;
    for (user, answer) in (990..).zip(refused(&bed, 990..=1010).await) {
        match answer {
            Ok(HoldAnswer::SeatTaken { .. }) => assert!(user <= 1000, "{user}"),
            Err(LedgerError::UserUnknown) => assert!(user > 1000, "{user}"),
            other => panic!("{user}: {other:?}"),
        }
    }
    let transactions = "SELECT count(*), count(DISTINCT xmin::text) FROM idempotency_keys WHERE key = 'k'";
    assert_eq!(bed.sql(transactions).await, "11|2");
}

#[tokio::test]
async fn a_refusal_by_the_lock_is_the_answer_from_then_on() {
    let (redis, bed) = with_lock(Wishes::default()).await;
    bed.held(1, &["A-1"]).await;
    let ask = |user: i64| hold(&bed, &bed.client, user, "A-1").send();
    for answer in join_all((2..=9).map(ask)).await {
        answer.assert_problem(409, "seat-taken");
        assert_eq!(answer.seats(), ["A-1"]);
    }
    bed.run_out().await;
    connection(&redis).await.del::<_, ()>("seat:lock:1:A-1").await.unwrap();
    ask(2).await.assert_problem(409, "seat-taken");
    hold(&bed, &bed.client, 2, "A-2").send().await.assert_problem(422, "idempotency-key-reused");
    assert_eq!(ask(10).await.status, 201, "the seat is free by now");
}
