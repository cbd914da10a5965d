//! What the database refuses whoever writes: I20, I21, the ledger; and that migrating and seeding can be repeated.

use testbed::postgres;

use crate::bed::{self, Bed};

/// The error that some SQL ends with.
async fn refused(bed: &Bed, sql: &'static str) -> String {
    match sqlx::raw_sql(sql).execute(&bed.pool).await {
        Err(sqlx::Error::Database(error)) => error.constraint().unwrap_or_default().to_owned(),
        other => panic!("{sql}: {other:?}"),
    }
}

#[tokio::test]
async fn i20_a_seats_version_only_rises() {
    let bed = Bed::start().await;
    for sql in [
        "UPDATE concert_seats SET version = version - 1 WHERE id = 1",
        "UPDATE concert_seats SET price = price + 1 WHERE id = 1",
        "UPDATE concert_seats SET status = 'TEMPORARILY_RESERVED', hold_id = gen_random_uuid(), held_until = now() WHERE id = 1",
    ] {
        assert_eq!(refused(&bed, sql).await, "concert_seats_version_rises", "{sql}");
    }
    let version = || bed.sql("SELECT version FROM concert_seats WHERE schedule_id = 1 AND seat = 'A-1'");
    let mut versions = vec![version().await];
    let hold = bed.held(1, &["A-1"]).await;
    versions.push(version().await);
    bed.as_user(1, "DELETE", &format!("/holds/{hold}")).send().await;
    versions.push(version().await);
    bed.held(2, &["A-1"]).await;
    bed.run_out().await;
    let hold = bed.held(3, &["A-1"]).await;
    versions.push(version().await);
    bed.pay(3, &hold).await;
    versions.push(version().await);
    assert_eq!(versions, ["1", "2", "3", "5", "6"]);
}

#[tokio::test]
async fn i21_only_legal_transitions_of_a_seat() {
    let bed = Bed::start().await;
    let hold = bed.held(1, &["A-1"]).await;
    assert_eq!(bed.pay(1, &hold).await.status, 201);
    bed.held(2, &["A-2"]).await;
    for (sql, name) in [
        (
            "UPDATE concert_seats SET status = 'RESERVED', hold_id = gen_random_uuid(), version = version + 1 WHERE id = 3",
            "concert_seats_legal_transition",
        ),
        (
            "UPDATE concert_seats SET status = 'AVAILABLE', hold_id = NULL, version = version + 1 WHERE id = 1",
            "concert_seats_legal_transition",
        ),
        (
            "UPDATE concert_seats SET hold_id = gen_random_uuid(), version = version + 1 WHERE id = 1",
            "concert_seats_legal_transition",
        ),
        // A live hold is not taken over.
        (
            "UPDATE concert_seats SET hold_id = gen_random_uuid(), version = version + 1 WHERE id = 2",
            "concert_seats_legal_transition",
        ),
        (
            "UPDATE concert_seats SET status = 'RESERVED', held_until = NULL, hold_id = gen_random_uuid(), version = version + 1 WHERE id = 2",
            "concert_seats_legal_transition",
        ),
        (
            "UPDATE concert_seats SET hold_id = gen_random_uuid(), version = version + 1 WHERE id = 3",
            "concert_seats_hold_matches_status",
        ),
        ("UPDATE concert_seats SET seat = 'Z-1', version = version + 1 WHERE id = 3", "concert_seats_identity_fixed"),
        ("INSERT INTO reservation_seats SELECT * FROM reservation_seats", "reservation_seats_one_live_per_seat"),
    ] {
        assert_eq!(refused(&bed, sql).await, name, "{sql}");
    }
}

#[tokio::test]
async fn i16_the_ledger_can_not_be_bent() {
    let bed = Bed::start().await;
    for (sql, name) in [
        ("UPDATE wallet_transactions SET amount = 1", "wallet_transactions_append_only"),
        ("DELETE FROM wallet_transactions", "wallet_transactions_append_only"),
        ("TRUNCATE wallet_transactions", "wallet_transactions_append_only"),
        ("UPDATE wallets SET balance = -1 WHERE id = 1", "wallets_balance_not_negative"),
        ("UPDATE wallets SET balance = 5 WHERE id = 1", "wallets_match_ledger"),
        (
            "INSERT INTO wallet_transactions (wallet_id, kind, amount, balance_after) VALUES (1, 'charge', 5, 5)",
            "wallet_transactions_add_up",
        ),
        (
            "INSERT INTO wallet_transactions (wallet_id, kind, amount, balance_after) VALUES (1, 'charge', -5, 999995)",
            "wallet_transactions_kind_known",
        ),
    ] {
        assert_eq!(refused(&bed, sql).await, name, "{sql}");
    }
    bed.audit().await;
}

#[tokio::test]
async fn migrating_and_seeding_can_be_repeated() {
    let database = bed::seeded(postgres::shared().await).await;
    let count =
        "SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM wallets), (SELECT sum(balance) FROM wallets),
                 (SELECT sum(amount) FROM wallet_transactions), (SELECT count(*) FROM concerts),
                 (SELECT count(*) FROM concert_schedules), (SELECT count(*) FROM concert_seats)";
    let first = database.sql(count).await.unwrap();
    assert_eq!(first.trim(), "1000|1000|1000000000|1000000000|2|6|6000");
    let ledger = bed::ledger(&database.url());
    ledger.migrate().await.unwrap();
    ledger.seed().await.unwrap();
    assert_eq!(database.sql(count).await.unwrap(), first);
    // Ids given by hand do not collide with the next ones.
    database.sql("INSERT INTO users DEFAULT VALUES").await.unwrap();
    let day = database.sql("SELECT tableoid::regclass FROM reservations").await.unwrap();
    assert_eq!(day.trim(), "");
    let partitions = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'reservations'::regclass";
    assert_eq!(database.sql(partitions).await.unwrap().trim(), "25", "24 months and the default");
}
