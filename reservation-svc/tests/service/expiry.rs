//! The worker's beginning and end, and the sweep of holds that ran out: F15, two sweepers at once.

use std::time::Duration;

use futures_util::future::join_all;
use reservation_svc::worker::Worker;
use testbed::ports::Reserved;
use testbed::process::{Program, Signal};
use testbed::wait;

use crate::bed::{self, Bed, DEADLINE};
use crate::client::Client;

const EXPIRED: &str = "SELECT count(*) FROM outbox WHERE topic = 'reservation.expired'";

#[tokio::test]
async fn a_hold_that_ran_out_is_told_of_once_and_its_seats_are_free() {
    let bed = Bed::start().await;
    let first = Worker::start(bed.worker_config("")).await.unwrap();
    let second = Worker::start(bed.worker_config("")).await.unwrap();
    let kept = bed.held(1, &["A-1"]).await;
    assert_eq!(bed.pay(1, &kept).await.status, 201);
    for user in 2..=9 {
        let seats = [format!("B-{user}"), format!("C-{user}")];
        bed.held(user, &[&seats[0], &seats[1]]).await;
    }
    bed.run_out().await;
    wait::until("the events", DEADLINE, || async { bed.sql(EXPIRED).await == "8" }).await.unwrap();
    assert_eq!(bed.sql("SELECT count(*) FROM concert_seats WHERE status = 'TEMPORARILY_RESERVED'").await, "0");
    assert_eq!(bed.sql("SELECT count(*) FROM concert_seats WHERE status = 'RESERVED'").await, "1");
    let admin = Client::to(first.admin_addr());
    assert_eq!(admin.request("GET", "/readyz").send().await.status, 200);
    let metrics = admin.request("GET", "/metrics").send().await.text();
    assert!(metrics.contains(r#"worker_runs_total{outcome="idle",task="expiry"}"#), "{metrics}");
    assert!(metrics.contains(r#"event_backlog{what="webhook_deliveries"} 0"#), "{metrics}");
    let mut ended = 0;
    for worker in [&first, &second] {
        let metrics = Client::to(worker.admin_addr()).request("GET", "/metrics").send().await.text();
        let count = metrics.lines().find_map(|line| line.strip_prefix("holds_expired_total ")).unwrap().to_owned();
        ended += count.parse::<u32>().unwrap();
    }
    assert_eq!(ended, 8, "counted once, by whoever ended it");
    assert_eq!((first.stop().await, second.stop().await), (0, 0));
    assert_eq!(bed.sql(EXPIRED).await, "8");
    bed.audit().await;
}

#[tokio::test]
async fn f15_sweeper_against_payment() {
    let bed = Bed::start().await;
    let sweeper = bed::ledger(&bed.database.url());
    let (mut paid, mut refused) = (0, 0);
    for (row, other_row) in (b'A'..=b'L').zip(b'M'..=b'X') {
        let mut holds = Vec::new();
        for user in 1..=4 {
            // Of somebody new in every row.
            let user = i64::from(row) * 4 + user;
            let seats = [row, other_row].map(|row| format!("{}-{}", char::from(row), user % 40 + 1));
            holds.push((user, bed.held(user, &[&seats[0], &seats[1]]).await));
        }
        // All at once: they run out, are swept twice, and are paid for.
        let pays = join_all(holds.iter().map(|(user, hold)| bed.pay(*user, hold)));
        let (_, answers, one, two) =
            tokio::join!(bed.run_out(), pays, sweeper.sweep_holds(100), sweeper.sweep_holds(100));
        one.unwrap();
        two.unwrap();
        for answer in answers {
            match answer.status {
                201 => paid += 1,
                _ => {
                    answer.assert_problem(409, "hold-expired");
                    refused += 1;
                }
            }
        }
    }
    assert_eq!(paid + refused, 48);
    while sweeper.sweep_holds(100).await.unwrap().expired > 0 {}
    assert_eq!(bed.sql("SELECT count(*) FROM seat_holds WHERE status = 'ACTIVE'").await, "0");
    bed.audit().await;
}

#[tokio::test]
async fn the_worker_waits_for_a_database_that_is_away_and_stops_when_told() {
    let database = bed::seeded(testbed::postgres::shared().await).await;
    let wire = testbed::wire::Wire::to(testbed::postgres::shared().await.addr()).await.unwrap();
    let folder = tempfile::TempDir::new().unwrap();
    let config = format!("[database]\nurl = \"{}\"\n", database.url_via(wire.addr()));
    std::fs::write(folder.path().join("r.toml"), config).unwrap();
    let reserved = Reserved::new().unwrap();
    let listen = reserved.addr().to_string();
    let child = Program::new(env!("CARGO_BIN_EXE_reservation-svc"))
        .args(["worker", "--config", "r.toml", "--admin-listen", &listen])
        .folder(folder.path())
        .without_env("RESERVATION_DATABASE_URL")
        .start()
        .unwrap();
    child.wait_for_port(reserved.addr(), DEADLINE).await.unwrap();
    let admin = Client::to(reserved.addr());
    let ready = || async { admin.request("GET", "/readyz").send().await.status == 200 };
    wait::until("readiness", DEADLINE, ready).await.unwrap();
    wire.cut().await.unwrap();
    wait::until("trouble", DEADLINE, || async { !ready().await }).await.unwrap();
    let said = admin.request("GET", "/readyz").send().await;
    assert!(said.json["failing"]["expiry"].is_string() || said.json["database"] != "ok", "{}", said.text());
    wire.mend().await.unwrap();
    wait::until("readiness again", DEADLINE, ready).await.unwrap();
    child.signal(Signal::Terminate).unwrap();
    let status = child.wait(Duration::from_secs(15)).await.unwrap();
    assert!(status.success(), "{}", child.log());
}
