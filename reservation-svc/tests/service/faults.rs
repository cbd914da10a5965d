//! What the service survives: F5, F13, Redis down, slow or forgetful.

use std::time::Duration;

use futures_util::future::join_all;
use redis::AsyncCommands;
use serde_json::json;
use sqlx::Connection;
use testbed::postgres::PrivatePostgres;
use testbed::redis::PrivateRedis;
use testbed::wait;
use testbed::wire::Wire;

use crate::bed::{self, Bed, DEADLINE, Wishes};

/// A server of its own, for tests that kill it. Lives as long as the test process.
async fn own_postgres() -> &'static PrivatePostgres {
    Box::leak(Box::new(PrivatePostgres::start().await.unwrap()))
}

#[tokio::test]
async fn f13_postgres_killed() {
    let server = own_postgres().await;
    let bed = Bed::on(bed::seeded(server).await, Wishes::default()).await;
    let hold = bed.held(1, &["A-1"]).await;
    server.kill().await.unwrap();
    // More than the pool has connections: nobody may pile up behind it.
    let answers = join_all((1..=60).map(|user| bed.hold(user, &["B-1"]))).await;
    for answer in &answers {
        answer.assert_problem(503, "database-unavailable");
        assert_eq!(answer.header("retry-after"), "1");
    }
    bed.pay(1, &hold).await.assert_problem(503, "database-unavailable");
    let admin = crate::client::Client::to(bed.service.admin_addr());
    assert_eq!(admin.request("GET", "/readyz").send().await.status, 503);
    assert_eq!(admin.request("GET", "/livez").send().await.status, 200);

    server.restart().await.unwrap();
    wait::until("readiness", DEADLINE, || async { admin.request("GET", "/readyz").send().await.status == 200 })
        .await
        .unwrap();
    let mut paid = bed.pay(1, &hold).await;
    // Connections of before the crash are found dead one by one.
    wait::until("payment", DEADLINE, || {
        let again = bed.pay(1, &hold);
        async { again.await.status == 201 }
    })
    .await
    .unwrap();
    if paid.status == 503 {
        paid = bed.pay(1, &hold).await;
    }
    assert_eq!(paid.status, 201, "{}", paid.text());
    bed.audit().await;
    server.kill().await.unwrap();
}

#[tokio::test]
async fn f13_a_crowd_that_fills_the_pool_leaves_the_instance_ready() {
    let bed = Bed::with(Wishes { connections: 1, ..Wishes::default() }).await;
    let admin = crate::client::Client::to(bed.service.admin_addr());
    assert_eq!(admin.request("GET", "/readyz").send().await.status, 200);
    // Each charge waits for this row until it is refused, and the others for the only connection.
    let mut connection = bed.pool.acquire().await.unwrap();
    let mut at_work = connection.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM wallets WHERE user_id = 1 FOR UPDATE").execute(&mut *at_work).await.unwrap();
    let charge = || bed.as_user(1, "POST", "/wallet/charges").json(&json!({ "amount": 1 })).send();
    let crowd = join_all((0..40).map(|_| charge()));
    let watch = async {
        wait::until("a full pool", DEADLINE, || async {
            let metrics = admin.request("GET", "/metrics").send().await.text();
            metrics.contains(r#"db_connection_pool_usage{state="in_use"} 1"#)
        })
        .await
        .unwrap();
        admin.request("GET", "/readyz").send().await
    };
    let (answers, ready) = tokio::join!(crowd, watch);
    assert_eq!((ready.status, &ready.json["database"]), (200, &json!("ok")), "{}", ready.text());
    assert!(answers.iter().all(|answer| answer.status == 503));
    assert!(answers.iter().any(|answer| answer.json["type"] == "/problems/database-unavailable"), "nobody waited");
    at_work.rollback().await.unwrap();
    assert_eq!(charge().await.status, 201);
}

#[tokio::test]
async fn f13_postgres_silent() {
    let database = bed::seeded(testbed::postgres::shared().await).await;
    let wire = Wire::to(testbed::postgres::shared().await.addr()).await.unwrap();
    let wishes = Wishes { database_url: Some(database.url_via(wire.addr())), ..Wishes::default() };
    let bed = Bed::on(database, wishes).await;
    bed.held(1, &["A-1"]).await;
    wire.blackhole().await.unwrap();
    // Nothing says no here; the service must give up by itself.
    let answers = tokio::time::timeout(DEADLINE, join_all((1..=60).map(|user| bed.hold(user, &["B-1"])))).await;
    for answer in answers.unwrap() {
        answer.assert_problem(503, "database-unavailable");
    }
    wire.mend().await.unwrap();
    wait::until("the database", DEADLINE, || async { bed.hold(2, &["C-1"]).await.status != 503 }).await.unwrap();
    bed.audit().await;
}

#[tokio::test]
async fn f5_reply_lost_after_the_commit() {
    let database = bed::seeded(testbed::postgres::shared().await).await;
    let wire = Wire::to(testbed::postgres::shared().await.addr()).await.unwrap();
    // One connection: the statement is known on it, so that all of it goes out in one message.
    let wishes = Wishes { database_url: Some(database.url_via(wire.addr())), connections: 1, ..Wishes::default() };
    let bed = Bed::on(database, wishes).await;
    // A bound for machines on which the connection goes stale before its reply can be lost.
    for round in 1..=10 {
        let (seat, other) = (format!("Y-{round}"), format!("X-{round}"));
        let hold =
            || bed.as_user(round, "POST", "/schedules/1/holds").key("h").json(&json!({ "seats": [seat] })).send();
        bed.held(round, &[&other]).await;
        wire.lose_replies().await.unwrap();
        hold().await.assert_problem(503, "database-unavailable");
        let hold_lost = effect_of(&bed, "h", round).await;
        wire.mend().await.unwrap();
        let held = again_until_answered(hold).await;
        assert_eq!(held.status, 201, "{}", held.text());

        let body = json!({ "hold_id": held.json["hold_id"], "payment": { "method": "wallet" } });
        let pay = || bed.as_user(round, "POST", "/reservations").key("p").json(&body).send();
        // Paid on the same connection once before, with a hold that is none.
        bed.pay(round, "0190a2b0-0000-7000-8000-000000000000").await.assert_problem(404, "hold-not-found");
        wire.lose_replies().await.unwrap();
        pay().await.assert_problem(503, "database-unavailable");
        let payment_lost = effect_of(&bed, "p", round).await;
        wire.mend().await.unwrap();
        let paid = again_until_answered(pay).await;
        assert_eq!(paid.status, 201, "{}", paid.text());
        assert_eq!(bed.sql(&format!("SELECT count(*) FROM payments WHERE user_id = {round}")).await, "1");
        bed.audit().await;
        if hold_lost && payment_lost {
            return;
        }
    }
    panic!("no reply was lost after its commit: nothing was tested");
}

/// Whether what was asked for under a key was done.
async fn effect_of(bed: &Bed, key: &str, user: i64) -> bool {
    bed.sql(&format!("SELECT count(*) FROM idempotency_keys WHERE key = '{key}' AND user_id = {user}")).await == "1"
}

/// What a client does that was told to come again: the same request with the same key.
async fn again_until_answered<F: Future<Output = crate::client::Answer>>(
    send: impl Fn() -> F,
) -> crate::client::Answer {
    wait::until_some("an answer other than 503", DEADLINE, || {
        let sent = send();
        async { Some(sent.await).filter(|answer| answer.status != 503) }
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn the_seat_lock_lives_as_long_as_the_hold() {
    let redis = PrivateRedis::start().await.unwrap();
    let bed = Bed::with(Wishes { redis_url: redis.url(), ..Wishes::default() }).await;
    let mut keys = connection(&redis).await;
    let hold = bed.held(1, &["A-1", "A-2"]).await;
    let owner: String = keys.get("seat:lock:1:A-1").await.unwrap();
    let ttl_ms: i64 = keys.pttl("seat:lock:1:A-2").await.unwrap();
    assert_eq!(owner, hold);
    assert!(ttl_ms > 10_000, "extended to the hold's end, not {ttl_ms} ms");

    bed.hold(2, &["A-1", "A-3"]).await.assert_problem(409, "seat-taken");
    assert!(!keys.exists::<_, bool>("seat:lock:1:A-3").await.unwrap(), "all or none");
    bed.as_user(1, "DELETE", &format!("/holds/{hold}")).send().await;
    assert_eq!(locks(&mut keys).await, 0, "released");

    let hold = bed.held(1, &["A-1"]).await;
    assert_eq!(bed.pay(1, &hold).await.status, 201);
    assert_eq!(locks(&mut keys).await, 0, "paid");
    bed.hold(2, &["A-1"]).await.assert_problem(409, "seat-taken");
    bed.hold(2, &["NO-1"]).await.assert_problem(404, "seat-not-found");
    assert_eq!(locks(&mut keys).await, 0, "failures leave no locks behind");
    let admin = crate::client::Client::to(bed.service.admin_addr());
    let metrics = admin.request("GET", "/metrics").send().await.text();
    assert!(metrics.contains(r#"seat_holds_total{outcome="refused_by_lock"} 1"#), "{metrics}");
    assert!(metrics.contains(r#"redis_commands_total{command="extend",outcome="ok"} 2"#), "{metrics}");
}

#[tokio::test]
async fn a_lost_or_stolen_seat_lock_sells_nothing_twice() {
    let redis = PrivateRedis::start().await.unwrap();
    let bed = Bed::with(Wishes { redis_url: redis.url(), ..Wishes::default() }).await;
    let mut keys = connection(&redis).await;
    let hold = bed.held(1, &["A-1"]).await;
    let _: () = keys.del("seat:lock:1:A-1").await.unwrap();
    bed.hold(2, &["A-1"]).await.assert_problem(409, "seat-taken");
    // Somebody else's lock is not ours to take away.
    let _: () = keys.set_ex("seat:lock:1:A-1", "another", 100).await.unwrap();
    assert_eq!(bed.pay(1, &hold).await.status, 201);
    let left: String = keys.get("seat:lock:1:A-1").await.unwrap();
    assert_eq!(left, "another");
    bed.audit().await;
}

#[tokio::test]
async fn redis_down_or_silent_changes_nothing_but_speed() {
    let redis = PrivateRedis::start().await.unwrap();
    let wire = Wire::to(redis.addr()).await.unwrap();
    let bed = Bed::with(Wishes { redis_url: redis.url_via(wire.addr()), ..Wishes::default() }).await;
    bed.held(1, &["A-1"]).await;
    for (seat, trouble) in [("A-2", "cut"), ("A-3", "silent"), ("A-4", "slow")] {
        match trouble {
            "cut" => wire.cut().await.unwrap(),
            "silent" => wire.blackhole().await.unwrap(),
            _ => wire.delay(Duration::from_secs(2)).await.unwrap(),
        }
        let answers = join_all((2..=9).map(|user| bed.hold(user, std::slice::from_ref(&seat)))).await;
        let held = answers.iter().filter(|answer| answer.status == 201).count();
        assert_eq!(held, 1, "{trouble}: {:?}", answers.iter().map(|a| a.status).collect::<Vec<_>>());
        assert!(answers.iter().all(|answer| matches!(answer.status, 201 | 409)), "{trouble}");
        wire.mend().await.unwrap();
    }
    let keys = connection(&redis).await;
    let admin = crate::client::Client::to(bed.service.admin_addr());
    assert_eq!(admin.request("GET", "/readyz").send().await.status, 200, "Redis is not needed to be ready");
    // It is used again when it is back.
    let mut column = 0;
    wait::until("the seat lock to be back", DEADLINE, || {
        column += 1;
        let (seat, user) = (format!("B-{}", column % 40 + 1), 100 + column % 800);
        let (bed, mut keys) = (&bed, keys.clone());
        async move {
            let hold = bed.held(user, &[&seat]).await;
            let locked = keys.exists::<_, bool>(format!("seat:lock:1:{seat}")).await.unwrap();
            bed.as_user(user, "DELETE", &format!("/holds/{hold}")).send().await;
            locked
        }
    })
    .await
    .unwrap();
    bed.audit().await;
}

async fn connection(redis: &PrivateRedis) -> redis::aio::MultiplexedConnection {
    redis::Client::open(redis.url()).unwrap().get_multiplexed_async_connection().await.unwrap()
}

async fn locks(keys: &mut redis::aio::MultiplexedConnection) -> usize {
    keys.keys::<_, Vec<String>>("seat:lock:*").await.unwrap().len()
}
