//! What the service and its worker really ask, on tables that have grown: no table is read from end to end.

use reservation_svc::worker::Worker;
use serde_json::json;
use testbed::postgres::PrivatePostgres;
use testbed::redis::PrivateRedis;
use testbed::wait;

use crate::bed::{self, Bed, DEADLINE, Wishes};
use crate::client::Client;

/// Tables that grow with the sale.
const GROW: [&str; 8] = [
    "concert_seats",
    "seat_holds",
    "reservations",
    "reservation_seats",
    "payments",
    "wallet_transactions",
    "idempotency_keys",
    "outbox",
];

/// What reading a few pages costs, in the planner's units. The past below costs hundreds to read.
const CHEAP: f64 = 50.0;

/// A past of some tens of thousands of rows in each of them, without asking the rules row by row.
const PAST: &str = "
    SET session_replication_role = replica;
    INSERT INTO users (id) SELECT generate_series(2001, 4000);
    INSERT INTO concert_schedules (id, concert_id, starts_at) SELECT n, 1, now() + n * interval '1 day' FROM generate_series(101, 130) n;
    INSERT INTO concert_seats (schedule_id, seat, section, price)
        SELECT s, 'S-' || n, 'R', 1000 FROM generate_series(101, 130) s, generate_series(1, 1000) n;
    INSERT INTO seat_holds (id, user_id, schedule_id, seat_ids, versions, lines, amount, currency, status, created_at, expires_at, ended_at)
        SELECT gen_random_uuid(), 2001 + n % 2000, 101 + n % 30, ARRAY[n], ARRAY[2], '[]', 1000, 'KRW', 'PAID', now(), now(), now()
        FROM generate_series(1, 30000) n;
    INSERT INTO reservations (id, schedule_date, schedule_id, user_id, hold_id, lines, amount, currency, created_at)
        SELECT gen_random_uuid(), current_date + (schedule_id - 101)::integer, schedule_id, user_id, id, lines, amount, currency, now()
        FROM seat_holds;
    INSERT INTO reservation_seats (schedule_id, seat_id, reservation_id, schedule_date, price)
        SELECT schedule_id, row_number() OVER () + 1000000, id, schedule_date, 1000 FROM reservations;
    INSERT INTO payments (id, reservation_id, schedule_date, user_id, method, amount, currency, created_at)
        SELECT gen_random_uuid(), id, schedule_date, user_id, 'wallet', amount, currency, now() FROM reservations;
    INSERT INTO wallet_transactions (wallet_id, kind, amount, balance_after)
        SELECT 1 + n % 1000, 'charge', 1, 1000000 FROM generate_series(1, 30000) n;
    INSERT INTO idempotency_keys (user_id, key, request_hash, state, response, created_at, expires_at)
        SELECT 2001 + n % 2000, 'k' || n, '\\x00', 'DONE', '{}', now(), now() + interval '1 day' FROM generate_series(1, 30000) n;
    INSERT INTO outbox (topic, schedule_id, payload, relayed_at) SELECT 'past', 101 + n % 30, '{}', now() FROM generate_series(1, 30000) n;
    SET session_replication_role = origin;
    ANALYZE;";

#[tokio::test]
async fn no_table_that_grows_is_read_from_end_to_end() {
    let server: &'static PrivatePostgres = Box::leak(Box::new(PrivatePostgres::start().await.unwrap()));
    let database = bed::seeded(server).await;
    database.sql(PAST).await.unwrap();
    // Every plan goes to the server's log, those inside of functions too; as they are after a while: for any value.
    for setting in [
        "session_preload_libraries = 'auto_explain'",
        "auto_explain.log_min_duration = 0",
        "auto_explain.log_nested_statements = on",
        "plan_cache_mode = force_generic_plan",
    ] {
        database.sql(&format!("ALTER DATABASE {} SET {setting}", database.name())).await.unwrap();
    }
    let redis = PrivateRedis::start().await.unwrap();
    let bed = Bed::on(database, Wishes { redis_url: redis.url(), ..Wishes::default() }).await;
    everything(&bed).await;
    bed::ledger(&bed.database.url()).tidy_idempotency_keys().await.unwrap();
    let worker = Worker::start(bed.worker_config("")).await.unwrap();
    let admin = Client::to(worker.admin_addr());
    wait::until("every task to have run", DEADLINE, || async {
        admin.request("GET", "/metrics").send().await.text().matches("outcome=\"idle\",task=").count() >= 3
    })
    .await
    .unwrap();
    worker.stop().await;

    let log = server.log();
    assert!(log.contains("Index Scan using concert_seats_schedule_seat_key"), "no plans in the log:\n{log}");
    let bad: Vec<&str> = log.split("plan:").filter(|plan| plan.lines().any(reads_it_whole)).collect();
    assert!(bad.is_empty(), "{}", bad.join("\n----\n"));
}

/// Whether a line of a plan reads a table that has grown from end to end. An empty partition is read fastest like that.
fn reads_it_whole(line: &str) -> bool {
    let Some((_, scan)) = line.split_once("Seq Scan on ") else { return false };
    let (table, cost) = scan.split_once("  (cost=").unwrap_or((scan, ""));
    let pages = cost.split_once("..").and_then(|(_, cost)| cost.split(' ').next()?.parse::<f64>().ok());
    GROW.iter().any(|grows| table.starts_with(grows)) && pages.is_none_or(|pages| pages > CHEAP)
}

/// Each call of the API once, with something to find.
async fn everything(bed: &Bed) {
    for path in ["/concerts", "/concerts/1/schedules", "/schedules/101/seats", "/wallet", "/wallet/transactions"] {
        assert_eq!(bed.as_user(1, "GET", path).send().await.status, 200, "{path}");
    }
    let hold = |seats| {
        let body = json!({ "seats": seats });
        bed.as_user(1, "POST", "/schedules/101/holds").key(&format!("{seats:?}")).json(&body).send()
    };
    let held = hold(["S-1", "S-2"]).await;
    assert_eq!(held.status, 201, "{}", held.text());
    let released = hold(["S-3", "S-4"]).await;
    let path = format!("/holds/{}", released.json["hold_id"].as_str().unwrap());
    assert_eq!(bed.as_user(1, "GET", &path).send().await.status, 200);
    assert_eq!(bed.as_user(1, "DELETE", &path).send().await.status, 204);
    let best = json!({ "count": 2, "section": "R" });
    assert_eq!(bed.as_user(2, "POST", "/schedules/102/holds").json(&best).send().await.status, 201);
    let charge = json!({ "amount": 5 });
    assert_eq!(bed.as_user(1, "POST", "/wallet/charges").key("c").json(&charge).send().await.status, 201);
    let paid = bed.pay(1, held.json["hold_id"].as_str().unwrap()).await;
    assert_eq!(paid.status, 201, "{}", paid.text());
    assert_eq!(bed.as_user(1, "GET", "/reservations").send().await.status, 200);
    let path = format!("/reservations/{}", paid.json["reservation_id"].as_str().unwrap());
    assert_eq!(bed.as_user(1, "GET", &path).send().await.status, 200);
    assert_eq!(bed.as_user(1, "POST", &format!("{path}/cancel")).send().await.status, 200);
}
