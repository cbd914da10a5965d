//! Payments from the wallet cut off at every table that they write: F13 with Postgres killed, and a full pool.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use sqlx::Connection;
use testbed::postgres::PrivatePostgres;
use testbed::wait;

use crate::bed::{self, Bed, DEADLINE, Wishes};
use crate::client::{Answer, Client};

/// Whoever waits for a lock in this database.
const WAITING: &str =
    "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";

/// What a payment writes, in order. A lock on one of them stops it there.
const STEPS: [&str; 9] = [
    "concert_seats",
    "seat_holds",
    "queue_tokens",
    "wallets",
    "reservations",
    "reservation_seats",
    "payments",
    "outbox",
    "idempotency_keys",
];

#[tokio::test]
async fn f13_postgres_killed_at_every_step_of_a_payment() {
    let server: &'static PrivatePostgres = Box::leak(Box::new(PrivatePostgres::start().await.unwrap()));
    let bed = Bed::on(bed::seeded(server).await, Wishes::default()).await;
    for (at, table) in STEPS.into_iter().enumerate() {
        let seat = format!("A-{}", at + 1);
        let hold = wait::until_some("a hold", DEADLINE, || async {
            bed.hold(i64::try_from(at).unwrap() + 1, &[&seat]).await.json["hold_id"].as_str().map(str::to_owned)
        });
        let (user, hold) = (i64::try_from(at).unwrap() + 1, hold.await.unwrap());
        wait::until(&format!("a payment to be killed at {table}"), DEADLINE, || {
            cut_at(table, &bed, server, user, &hold)
        })
        .await
        .unwrap();
        assert_eq!(bed.sql("SELECT count(*) FROM payments").await, at.to_string(), "{table}: nothing was half done");
        let paid = wait::until_some("an answer other than 503", DEADLINE, || async {
            Some(pay(&bed, user, &hold).await).filter(|answer| answer.status != 503)
        });
        assert_eq!(paid.await.unwrap().status, 201, "{table}");
        bed.audit().await;
    }
    server.kill().await.unwrap();
}

/// Stops a payment at a table, kills the server under it and starts it again. Whether it was that payment that was
/// cut off: one that waits for a lock gives up after 200 ms, and on a slow machine may have before anybody looked.
async fn cut_at(table: &str, bed: &Bed, server: &PrivatePostgres, user: i64, hold: &str) -> bool {
    let mut connection = sqlx::PgConnection::connect(&bed.database.url()).await.unwrap();
    let mut other = connection.begin().await.unwrap();
    let lock = sqlx::AssertSqlSafe(format!("LOCK TABLE {table} IN EXCLUSIVE MODE"));
    sqlx::query(lock).execute(&mut *other).await.unwrap();
    let watch = sqlx::PgPool::connect(&bed.database.url()).await.unwrap();
    let (stood, answered) = (AtomicBool::new(false), AtomicBool::new(false));
    let kill = async {
        let look = || async { answered.load(Ordering::SeqCst) || stands_still(&watch).await };
        wait::until("the payment to stand still", DEADLINE, look).await.unwrap();
        stood.store(!answered.load(Ordering::SeqCst), Ordering::SeqCst);
        server.kill().await.unwrap();
    };
    let paying = async {
        let answer = pay(bed, user, hold).await;
        answered.store(true, Ordering::SeqCst);
        answer
    };
    let (answer, ()) = tokio::join!(paying, kill);
    assert_eq!(answer.status, 503, "{table}: {}", answer.text());
    assert_eq!(answer.header("retry-after"), "1");
    drop(other);
    server.restart().await.unwrap();
    stood.load(Ordering::SeqCst) && answer.json["type"] == "/problems/database-unavailable"
}

/// Asked on an open connection: the payment waits for 200 ms only.
async fn stands_still(watch: &sqlx::PgPool) -> bool {
    sqlx::query_scalar(WAITING).fetch_one(watch).await.unwrap()
}

async fn pay(bed: &Bed, user: i64, hold: &str) -> Answer {
    let body = serde_json::json!({ "hold_id": hold, "payment": { "method": "wallet" } });
    bed.as_user(user, "POST", "/reservations").key(hold).json(&body).send().await
}

#[tokio::test]
async fn f13_a_full_pool_says_so_and_nobody_piles_up() {
    let bed = Bed::with(Wishes { connections: 1, ..Wishes::default() }).await;
    let mut holds = Vec::new();
    for user in 1..=40 {
        holds.push((user, bed.held(user, &[&format!("D-{user}")]).await));
    }
    let mut connection = bed.pool.acquire().await.unwrap();
    let mut other = connection.begin().await.unwrap();
    sqlx::query("LOCK TABLE wallets IN EXCLUSIVE MODE").execute(&mut *other).await.unwrap();
    let answers =
        tokio::time::timeout(DEADLINE, join_all(holds.iter().map(|(user, hold)| pay(&bed, *user, hold)))).await;
    let mut full = 0;
    for answer in answers.unwrap() {
        assert_eq!((answer.status, answer.header("retry-after")), (503, "1"), "{}", answer.text());
        // Busy: it had the connection, and waited for the wallet. The others waited for the connection.
        full += usize::from(answer.json["type"] == "/problems/database-unavailable");
    }
    assert!(full > 0, "the pool was never full");
    other.rollback().await.unwrap();
    let admin = Client::to(bed.service.admin_addr());
    let metrics = admin.request("GET", "/metrics").send().await.text();
    assert!(metrics.contains(r#"db_connection_pool_usage{state="in_use"} 0"#), "{metrics}");
    let (user, hold) = &holds[0];
    assert_eq!(pay(&bed, *user, hold).await.status, 201);
    bed.audit().await;
}

#[tokio::test]
async fn twenty_payments_of_one_hold_say_paid_or_busy() {
    let bed = Bed::start().await;
    for round in 1..=5 {
        let hold = bed.held(round, &[&format!("E-{round}")]).await;
        let answers = join_all((0..20).map(|_| bed.pay(round, &hold))).await;
        for answer in &answers {
            if answer.status != 201 {
                answer.assert_problem(503, "busy");
                assert_eq!(answer.header("retry-after"), "1");
            }
        }
        assert!(answers.iter().any(|answer| answer.status == 201), "round {round}");
    }
    assert_eq!(bed.sql("SELECT count(*) FROM payments").await, "5");
    bed.audit().await;
}
