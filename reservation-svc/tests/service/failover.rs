//! F13, failed over: the primary is lost while people buy, its replica is promoted, and everybody finds it at the old
//! address. The replica is synchronous: what was told of as done is there.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use serde_json::json;
use testbed::postgres::PrivatePostgres;
use testbed::wait;
use testbed::wire::Wire;

use crate::bed::{self, Bed, DEADLINE, Wishes};
use crate::client::Answer;

/// Who buys, one seat after the other.
const BUYERS: i64 = 8;

/// Seats that each of them buys.
const SEATS: i64 = 6;

async fn leaked() -> &'static PrivatePostgres {
    Box::leak(Box::new(PrivatePostgres::start().await.unwrap()))
}

/// A replica of everything, which has all that the primary says is committed.
async fn synchronous_replica(primary: &PrivatePostgres) -> &'static PrivatePostgres {
    let replica = Box::leak(Box::new(primary.replica().await.unwrap()));
    primary.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'").await.unwrap();
    primary.sql("postgres", "SELECT pg_reload_conf()").await.unwrap();
    wait::until("the replica to count", DEADLINE, || async {
        primary.sql("postgres", "SELECT sync_state FROM pg_stat_replication").await.unwrap().trim() == "sync"
    })
    .await
    .unwrap();
    replica
}

/// Asks with one key until there is an answer; 503 is none, and the only one of its kind that may come.
async fn answered(bed: &Bed, user: i64, path: &str, key: &str, body: &serde_json::Value) -> Answer {
    wait::until_some("an answer", DEADLINE * 2, || async {
        let answer = bed.as_user(user, "POST", path).key(key).json(body).send().await;
        assert!(answer.status < 500 || answer.status == 503, "{} {}", answer.status, answer.text());
        Some(answer).filter(|answer| answer.status != 503)
    })
    .await
    .unwrap()
}

/// Buys row by row, counting in `bought` as it is told so.
async fn buys(bed: &Bed, user: i64, bought: &AtomicUsize) {
    for at in 1..=SEATS {
        let seat = format!("{}-{at}", char::from(b'A' + u8::try_from(user).unwrap()));
        let (hold_key, pay_key) = (format!("h{at}"), format!("p{at}"));
        let held = answered(bed, user, "/schedules/1/holds", &hold_key, &json!({ "seats": [seat] })).await;
        assert_eq!(held.status, 201, "{}", held.text());
        let payment = json!({ "hold_id": held.json["hold_id"], "payment": { "method": "wallet" } });
        let paid = answered(bed, user, "/reservations", &pay_key, &payment).await;
        assert_eq!(paid.status, 201, "{}", paid.text());
        bought.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn f13_failed_over_while_people_pay() {
    let primary = leaked().await;
    let database = bed::seeded(primary).await;
    let replica = synchronous_replica(primary).await;
    let wire = Wire::to(primary.addr()).await.unwrap();
    let wishes = Wishes {
        database_url: Some(database.url_via(wire.addr())),
        holds: "max_per_user = 100".to_owned(),
        ..Wishes::default()
    };
    let name = database.name().to_owned();
    let mut bed = Bed::on(database, wishes).await;
    let kept = bed.held(100, &["Y-1"]).await;
    let payment = json!({ "hold_id": kept, "payment": { "method": "wallet" } });
    let bought = AtomicUsize::new(0);
    let all = usize::try_from(BUYERS * SEATS).unwrap();
    let failover = async {
        let some = || async { bought.load(Ordering::SeqCst) >= all / 4 };
        wait::until("some to have bought", DEADLINE * 2, some).await.unwrap();
        primary.kill().await.unwrap();
        wire.turn_to(replica.addr()).await.unwrap();
        assert!(bought.load(Ordering::SeqCst) < all, "all was bought before: nothing is tested");
        // Found again, and not promoted yet: it reads, and takes nothing.
        wait::until("the replica to be asked", DEADLINE, || async {
            let answer = bed.as_user(100, "POST", "/reservations").key("p").json(&payment).send().await;
            answer.assert_problem(503, "database-unavailable");
            assert_eq!(answer.header("retry-after"), "1");
            replica.log().contains("read-only transaction")
        })
        .await
        .unwrap();
        let map = bed.as_user(100, "GET", "/schedules/1/seats").send().await;
        assert_eq!(map.status, 200, "a replica is good enough to read from");
        replica.sql("postgres", "SELECT pg_promote()").await.unwrap();
    };
    let buyers = join_all((1..=BUYERS).map(|user| buys(&bed, user, &bought)));
    tokio::join!(buyers, failover);
    assert_eq!(answered(&bed, 100, "/reservations", "p", &payment).await.status, 201);

    // From here on what is true is what the new primary has.
    bed.database = replica.database(&name);
    let told = (all + 1).to_string();
    assert_eq!(bed.sql("SELECT count(*) FROM payments").await, told, "whoever was told has it, once");
    assert_eq!(bed.sql("SELECT count(*) FROM reservation_seats").await, told);
    bed.audit().await;
}
