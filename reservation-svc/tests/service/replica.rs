//! Reads from a real streaming replica: who has written reads it back, and a replica that is late or gone is not asked.

use testbed::postgres::PrivatePostgres;
use testbed::redis::PrivateRedis;
use testbed::wait;
use testbed::wire::Wire;

use crate::bed::{self, Bed, DEADLINE, Wishes};
use crate::client::{Answer, Client};

/// A primary, its replica behind a wire, and a service on both.
struct Pair {
    replica: PrivatePostgres,
    wire: Wire,
    bed: Bed,
}

impl Pair {
    async fn start(redis_url: String) -> Self {
        let primary: &'static PrivatePostgres = Box::leak(Box::new(PrivatePostgres::start().await.unwrap()));
        let database = bed::seeded(primary).await;
        let replica = primary.replica().await.unwrap();
        let wire = Wire::to(replica.addr()).await.unwrap();
        let replica_url = replica.url_via(wire.addr(), database.name());
        let bed = Bed::on(database, Wishes { replica_url, redis_url, ..Wishes::default() }).await;
        let pair = Self { replica, wire, bed };
        pair.until_read_from("replica").await;
        pair
    }

    async fn reads(&self, server: &str) -> u64 {
        let metrics = Client::to(self.bed.service.admin_addr()).request("GET", "/metrics").send().await.text();
        let line = format!("db_reads_total{{server=\"{server}\"}} ");
        metrics.lines().find_map(|found| found.strip_prefix(&line)).map_or(0, |count| count.parse().unwrap())
    }

    /// Asks until this server answers readers who have written nothing.
    async fn until_read_from(&self, server: &str) {
        wait::until(&format!("reads from the {server}"), DEADLINE, || async {
            let before = self.reads(server).await;
            self.wallet(1_000).await;
            self.reads(server).await > before
        })
        .await
        .unwrap();
    }

    async fn replay(&self, order: &str) {
        self.replica.sql(self.bed.database.name(), &format!("SELECT pg_wal_replay_{order}()")).await.unwrap();
    }

    async fn wallet(&self, user: i64) -> i64 {
        self.bed.as_user(user, "GET", "/wallet").send().await.json["balance"].as_i64().unwrap()
    }

    async fn charge(&self, user: i64) -> Answer {
        let body = serde_json::json!({ "amount": 5 });
        let answer = self.bed.as_user(user, "POST", "/wallet/charges").json(&body).send().await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer
    }
}

#[tokio::test]
async fn who_has_written_reads_it_back_while_the_replica_stands_still() {
    let pair = Pair::start(String::new()).await;
    let primary = pair.reads("primary").await;
    assert_eq!(pair.wallet(2).await, 1_000_000);
    assert_eq!(pair.reads("primary").await, primary, "nobody has written: the replica answers");

    pair.replay("pause").await;
    let charged = pair.charge(1).await;
    assert_eq!(pair.wallet(1).await, 1_000_005, "one's own charge is there at once");
    assert_eq!(pair.bed.as_user(1, "GET", "/wallet/transactions").send().await.json["transactions"][0]["amount"], 5);
    let hold = pair.bed.held(1, &["A-1"]).await;
    let map = pair.bed.as_user(1, "GET", "/schedules/1/seats").send().await;
    assert_eq!(map.json["seats"][0]["status"], "held");
    let paid = pair.bed.pay(1, &hold).await;
    let reservations = pair.bed.as_user(1, "GET", "/reservations").send().await;
    assert_eq!(reservations.json["reservations"][0]["reservation_id"], paid.json["reservation_id"]);
    let one = format!("/reservations/{}", paid.json["reservation_id"].as_str().unwrap());
    assert_eq!(pair.bed.as_user(1, "GET", &one).send().await.status, 200);

    // The mark is a cookie: another instance, or another token of the same user, reads it back too.
    let cookie = charged.header("set-cookie").split(';').next().unwrap();
    let again = pair.bed.client.request("GET", "/wallet").header("cookie", cookie);
    let again = again.header("authorization", &format!("{} ", bed::bearer(1))).send().await;
    assert!(again.json["balance"].as_i64().unwrap() >= 865_005 - 30_000, "{}", again.text());
    assert_ne!(again.json["balance"], 1_000_000, "{}", again.text());

    pair.replay("resume").await;
    wait::until("the replica to have it", DEADLINE, || async {
        let before = pair.reads("replica").await;
        pair.wallet(1).await;
        pair.reads("replica").await > before
    })
    .await
    .unwrap();
    pair.bed.audit().await;
}

#[tokio::test]
async fn a_replica_that_is_late_is_not_read_from_until_it_has_caught_up() {
    let pair = Pair::start(String::new()).await;
    pair.replay("pause").await;
    pair.charge(1).await;
    // Nobody reads for longer than the limit what was committed before it, whoever asks.
    pair.until_read_from("primary").await;
    pair.replay("resume").await;
    pair.until_read_from("replica").await;
}

#[tokio::test]
async fn a_replica_that_is_gone_or_silent_or_promoted_is_replaced_by_the_primary() {
    let redis = PrivateRedis::start().await.unwrap();
    let pair = Pair::start(redis.url()).await;
    for trouble in ["cut", "silent"] {
        match trouble {
            "cut" => pair.wire.cut().await.unwrap(),
            _ => pair.wire.blackhole().await.unwrap(),
        }
        assert_eq!(pair.wallet(3).await, 1_000_000, "{trouble}");
        let map = pair.bed.as_user(9, "GET", "/schedules/1/seats").send().await;
        assert_eq!(map.status, 200, "{trouble}");
        let primary = pair.reads("primary").await;
        pair.wallet(3).await;
        assert!(pair.reads("primary").await > primary, "{trouble}");
        pair.wire.mend().await.unwrap();
        pair.until_read_from("replica").await;
    }
    pair.replica.sql("postgres", "SELECT pg_promote()").await.unwrap();
    pair.until_read_from("primary").await;
    assert_eq!(pair.bed.hold(1, &["A-1"]).await.status, 201);
}
