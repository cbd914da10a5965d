//! The seat map out of Redis: told by writers, read by one for all, right whatever Redis does.

use futures_util::future::join_all;
use redis::AsyncCommands;
use testbed::redis::PrivateRedis;
use testbed::wait;
use testbed::wire::Wire;

use crate::bed::{Bed, DEADLINE, Wishes};
use crate::client::{Answer, Client};

async fn with(redis: &PrivateRedis) -> Bed {
    Bed::with(Wishes { redis_url: redis.url(), ..Wishes::default() }).await
}

/// The map as somebody sees it who has written nothing.
async fn map(bed: &Bed) -> Answer {
    let answer = bed.client.request("GET", "/schedules/1/seats").header("x-queue-token", &bed.token("reader"));
    let answer = answer.send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer
}

fn status<'a>(map: &'a Answer, seat: &str) -> (&'a str, i64) {
    let seats = map.json["seats"].as_array().unwrap();
    let seat = seats.iter().find(|shown| shown["seat"] == seat).unwrap();
    (seat["status"].as_str().unwrap(), seat["version"].as_i64().unwrap())
}

/// Maps so far by where they came from.
async fn source(bed: &Bed, name: &str) -> u64 {
    let metrics = Client::to(bed.service.admin_addr()).request("GET", "/metrics").send().await.text();
    let line = format!("seat_map_reads_total{{source=\"{name}\"}} ");
    metrics.lines().find_map(|found| found.strip_prefix(&line)).map_or(0, |count| count.parse().unwrap())
}

#[tokio::test]
async fn writers_change_the_map_in_redis_and_nobody_reads_the_database_for_it() {
    let redis = PrivateRedis::start().await.unwrap();
    let (bed, other) = (with(&redis).await, with(&redis).await);
    // Only the first has the database of the seats that are sold; the second can know it from Redis alone.
    assert_eq!(status(&map(&bed).await, "A-1"), ("available", 1));
    let hold = bed.held(1, &["A-1", "A-2"]).await;
    let held = bed.as_user(1, "GET", "/schedules/1/seats").send().await;
    assert_eq!(status(&held, "A-1"), ("held", 2), "who has just held sees it");
    wait::until("the other instance to show it", DEADLINE, || async {
        status(&map(&other).await, "A-2") == ("held", 2)
    })
    .await
    .unwrap();

    let released = bed.held(2, &["B-1"]).await;
    bed.as_user(2, "DELETE", &format!("/holds/{released}")).send().await;
    assert_eq!(status(&bed.as_user(2, "GET", "/schedules/1/seats").send().await, "B-1"), ("available", 3));

    let paid = bed.pay(1, &hold).await;
    assert_eq!(status(&bed.as_user(1, "GET", "/schedules/1/seats").send().await, "A-1"), ("reserved", 3));
    let reservation = paid.json["reservation_id"].as_str().unwrap();
    bed.as_user(1, "POST", &format!("/reservations/{reservation}/cancel")).send().await;
    let cancelled = bed.as_user(1, "GET", "/schedules/1/seats").send().await;
    assert_eq!(status(&cancelled, "A-1"), ("available", 4));
    assert_eq!(bed.sql("SELECT version FROM concert_seats WHERE schedule_id = 1 AND seat = 'A-1'").await, "4");
}

#[tokio::test]
async fn many_readers_at_once_are_a_few_queries() {
    let redis = PrivateRedis::start().await.unwrap();
    let bed = with(&redis).await;
    let answers = join_all((0..300).map(|_| map(&bed))).await;
    assert!(answers.iter().all(|answer| answer.header("etag") == answers[0].header("etag")));
    let read = source(&bed, "database").await;
    assert!(read <= 5, "{read} queries");
}

#[tokio::test]
async fn a_sold_out_schedule_costs_the_database_nothing() {
    let redis = PrivateRedis::start().await.unwrap();
    let bed = with(&redis).await;
    bed.sql(
        "UPDATE concert_seats SET status = 'TEMPORARILY_RESERVED', version = version + 1,
             hold_id = gen_random_uuid(), held_until = 'infinity' WHERE schedule_id = 1",
    )
    .await;
    bed.sql(
        "UPDATE concert_seats SET status = 'RESERVED', version = version + 1, held_until = NULL
             WHERE schedule_id = 1",
    )
    .await;
    assert_eq!(status(&map(&bed).await, "Y-40"), ("reserved", 3));
    let ttl_ms: i64 = until_ms(&redis).await;
    assert!(ttl_ms > 20_000, "counts for {ttl_ms} ms");
    for _ in 0..300 {
        map(&bed).await;
    }
    assert_eq!(source(&bed, "database").await, 1);
}

/// How long the map in Redis still counts.
async fn until_ms(redis: &PrivateRedis) -> i64 {
    let mut keys = connection(redis).await;
    let until_ms: i64 = keys.hget("seats:1", "#until").await.unwrap();
    let (seconds, micros): (i64, i64) = redis::cmd("TIME").query_async(&mut keys).await.unwrap();
    until_ms - seconds * 1_000 - micros / 1_000
}

async fn connection(redis: &PrivateRedis) -> redis::aio::MultiplexedConnection {
    redis::Client::open(redis.url()).unwrap().get_multiplexed_async_connection().await.unwrap()
}

#[tokio::test]
async fn what_a_writer_could_not_tell_is_seen_when_the_map_stops_counting() {
    let redis = PrivateRedis::start().await.unwrap();
    let bed = with(&redis).await;
    assert_eq!(status(&map(&bed).await, "A-1").0, "available");
    let counts_for_ms = until_ms(&redis).await;
    assert!(counts_for_ms <= 2_000, "counts for {counts_for_ms} ms");
    // Behind the service's back, as a writer that lost Redis would.
    bed.sql(
        "UPDATE concert_seats SET status = 'TEMPORARILY_RESERVED', version = 2, hold_id = gen_random_uuid(),
             held_until = 'infinity' WHERE schedule_id = 1 AND seat = 'A-1'",
    )
    .await;
    wait::until("the change to be seen", DEADLINE, || async { status(&map(&bed).await, "A-1") == ("held", 2) })
        .await
        .unwrap();
}

#[tokio::test]
async fn a_map_read_before_a_commit_does_not_win_over_it() {
    let redis = PrivateRedis::start().await.unwrap();
    let bed = with(&redis).await;
    // The writer's word comes while there is no map; what was read before it must not hide it.
    bed.held(1, &["A-1"]).await;
    bed.sql("ALTER TABLE concert_seats DISABLE TRIGGER concert_seats_guard").await;
    bed.sql(
        "UPDATE concert_seats SET status = 'AVAILABLE', version = 1, hold_id = NULL, held_until = NULL
             WHERE schedule_id = 1 AND seat = 'A-1'",
    )
    .await;
    assert_eq!(status(&map(&bed).await, "A-1"), ("held", 2));
    // A word that no reading confirms is not believed for ever.
    let mut keys = connection(&redis).await;
    let word: String = keys.hget("seats:1", "A-1").await.unwrap();
    let (what, at_ms) = word.rsplit_once(':').unwrap();
    let older = format!("{what}:{}", at_ms.parse::<i64>().unwrap() - 11_000);
    let _: () = keys.hset("seats:1", "A-1", older).await.unwrap();
    wait::until("the database to be believed", DEADLINE, || async {
        status(&map(&bed).await, "A-1") == ("available", 1)
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn redis_flushed_cut_or_full_of_rubbish_changes_no_map() {
    let redis = PrivateRedis::start().await.unwrap();
    let wire = Wire::to(redis.addr()).await.unwrap();
    let bed = Bed::with(Wishes { redis_url: redis.url_via(wire.addr()), ..Wishes::default() }).await;
    bed.held(1, &["A-1"]).await;
    assert_eq!(status(&map(&bed).await, "A-1"), ("held", 2));
    let mut keys = connection(&redis).await;
    let _: () = redis::cmd("FLUSHALL").query_async(&mut keys).await.unwrap();
    assert_eq!(status(&map(&bed).await, "A-1"), ("held", 2));
    for rubbish in [["#plan", "["], ["#rev", "x"], ["A-1", "soon"]] {
        let _: () = keys.hset("seats:1", rubbish[0], rubbish[1]).await.unwrap();
        let fresh = bed.as_user(1, "GET", "/schedules/1/seats").send().await;
        assert_eq!(status(&fresh, "A-1"), ("held", 2), "{rubbish:?}");
        let _: () = keys.del("seats:1").await.unwrap();
    }
    for trouble in ["cut", "silent"] {
        match trouble {
            "cut" => wire.cut().await.unwrap(),
            _ => wire.blackhole().await.unwrap(),
        }
        let seat = format!("C-{}", trouble.len());
        bed.held(3, &[&seat]).await;
        let answers = join_all((0..50).map(|_| bed.as_user(3, "GET", "/schedules/1/seats").send())).await;
        for answer in &answers {
            assert_eq!(status(answer, &seat), ("held", 2), "{trouble}");
        }
        wire.mend().await.unwrap();
    }
    bed.audit().await;
}

#[tokio::test]
async fn a_map_is_the_same_compressed_or_not() {
    let redis = PrivateRedis::start().await.unwrap();
    let bed = with(&redis).await;
    let ask =
        |coding: &'static str| bed.as_user(1, "GET", "/schedules/1/seats").header("accept-encoding", coding).send();
    let (plain, gzip) = (ask("identity").await, ask("gzip").await);
    assert_eq!((plain.header("content-encoding"), gzip.header("content-encoding")), ("", "gzip"));
    assert_eq!((plain.header("etag"), plain.header("vary")), (gzip.header("etag"), "accept-encoding"));
    assert_eq!(plain.header("content-type"), "application/json");
    let mut unpacked = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&gzip.bytes[..]), &mut unpacked).unwrap();
    assert_eq!(unpacked, plain.bytes);
    let head = bed.as_user(1, "HEAD", "/schedules/1/seats").send().await;
    assert_eq!((head.status, head.bytes.len(), head.header("etag")), (200, 0, plain.header("etag")));
}

#[tokio::test]
async fn a_mark_is_a_cookie_and_only_writers_get_one() {
    let redis = PrivateRedis::start().await.unwrap();
    let (bed, other) = (with(&redis).await, with(&redis).await);
    assert_eq!(map(&bed).await.header("set-cookie"), "");
    map(&other).await;
    let held = bed.hold(1, &["A-1"]).await;
    let cookie = held.header("set-cookie").split(';').next().unwrap().to_owned();
    assert!(cookie.starts_with("rs_wrote=") && held.header("set-cookie").contains("HttpOnly"), "{cookie}");
    // At another instance, which has a map that is not too old to be shown.
    let seen = other.client.request("GET", "/schedules/1/seats").header("x-queue-token", &other.token("v"));
    let seen = seen.header("cookie", &cookie).send().await;
    assert_eq!(status(&seen, "A-1"), ("held", 2));
    assert_eq!(bed.hold(2, &["A-1"]).await.header("set-cookie"), "", "a refusal by the lock wrote nothing");
}
