//! Concerts, schedules, the seat map: pages, ETags, one reader for all.

use futures_util::future::join_all;
use testbed::wait;

use crate::bed::{Bed, DEADLINE};
use crate::client::Client;

#[tokio::test]
async fn lists_what_was_seeded() {
    let bed = Bed::start().await;
    let concerts = bed.client.request("GET", "/concerts").send().await;
    assert_eq!(concerts.json["concerts"].as_array().unwrap().len(), 2);
    assert_eq!(concerts.json["concerts"][0]["id"], 1);
    assert!(concerts.json["concerts"][0]["title"].is_string());

    let schedules = bed.client.request("GET", "/concerts/2/schedules").send().await;
    let first = &schedules.json["schedules"][0];
    assert_eq!((first["id"].as_i64(), first["concert_id"].as_i64()), (Some(4), Some(2)));
    assert!(first["starts_at"].as_str().unwrap().ends_with('Z'), "{first}");

    let map = bed.as_user(1, "GET", "/schedules/6/seats").send().await;
    let seats = map.json["seats"].as_array().unwrap();
    assert_eq!(seats.len(), 1_000);
    let seat = seats.iter().find(|seat| seat["seat"] == "A-12").unwrap();
    assert_eq!((seat["section"].as_str(), seat["price"].as_i64()), (Some("VIP"), Some(165_000)));
    assert_eq!((seat["status"].as_str(), seat["version"].as_i64()), (Some("available"), Some(1)));
}

#[tokio::test]
async fn lists_come_page_by_page_and_nothing_is_cut_off_unsaid() {
    let bed = Bed::start().await;
    bed.sql("INSERT INTO concerts (title, artist, venue) SELECT 'C' || n, 'a', 'v' FROM generate_series(3, 1005) AS n")
        .await;
    // Two evenings at one time, and ids in another order than times.
    bed.sql(
        "INSERT INTO concert_schedules (concert_id, starts_at)
         SELECT 3, '2030-01-01T00:00:00Z'::timestamptz - (n / 2) * interval '1 hour' FROM generate_series(1, 7) AS n",
    )
    .await;
    for (path, list, limit, expected) in [
        ("/concerts", "concerts", 400, 1_005),
        ("/concerts/3/schedules", "schedules", 2, 7),
        ("/concerts", "concerts", 1_000, 1_005),
    ] {
        let (mut ids, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = bed.client.request("GET", &format!("{path}?limit={limit}{cursor}")).send().await;
            assert_eq!(page.status, 200, "{}", page.text());
            let rows = page.json[list].as_array().unwrap();
            assert!(!rows.is_empty() && rows.len() <= limit);
            ids.extend(rows.iter().map(|row| (row["starts_at"].to_string(), row["id"].as_i64().unwrap())));
            match page.json["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(ids.len(), expected, "{path}");
        assert!(ids.is_sorted() && ids.windows(2).all(|pair| pair[0] != pair[1]), "{path}: {ids:?}");
    }
    let all = bed.client.request("GET", "/concerts").send().await;
    assert_eq!(all.json["concerts"].as_array().unwrap().len(), 1_000);
    assert_eq!(all.json["next_cursor"], "1000", "what is missing is said");
    for wrong in ["limit=0", "limit=1001", "limit=x", "cursor=x"] {
        bed.client.request("GET", &format!("/concerts?{wrong}")).send().await.assert_problem(422, "invalid-query");
    }
    let behind_the_last = bed.client.request("GET", "/concerts/3/schedules?cursor=999999").send().await;
    assert_eq!((behind_the_last.status, behind_the_last.json["schedules"].as_array().unwrap().len()), (200, 0));
    bed.client.request("GET", "/concerts/2000/schedules").send().await.assert_problem(404, "concert-not-found");
}

#[tokio::test]
async fn what_is_on_is_read_once_for_all_who_ask_and_not_sent_twice() {
    let bed = Bed::start().await;
    // Connected before the crowd comes: what is counted here are readings.
    assert_eq!(bed.client.request("GET", "/concerts?limit=1").send().await.status, 200);
    let lists = ["/concerts", "/concerts/1/schedules"];
    let reads = || async {
        let metrics = Client::to(bed.service.admin_addr()).request("GET", "/metrics").send().await.text();
        let line = |line: &str| line.strip_prefix("db_reads_total{server=\"primary\"} ")?.parse::<u64>().ok();
        metrics.lines().find_map(line).unwrap_or(0)
    };
    let before = reads().await;
    let crowd = join_all((0..200).map(|n| bed.client.request("GET", lists[n % 2]).send())).await;
    assert!(crowd.iter().all(|answer| answer.status == 200));
    let asked = reads().await - before;
    // A second may begin anew in between on a slow machine; a reader each would be two hundred.
    assert!(asked <= 20, "{asked} readings for 200 readers");

    for path in lists {
        let get = |known: String| bed.client.request("GET", path).header("if-none-match", &known).send();
        let etag = get("\"no\"".to_owned()).await.header("etag").to_owned();
        let again = get(etag.clone()).await;
        assert_eq!((again.status, again.bytes.len(), again.header("etag")), (304, 0, etag.as_str()), "{path}");
    }
    bed.sql("UPDATE concerts SET title = 'Summer Light' WHERE id = 1").await;
    wait::until("the new title", DEADLINE, || async {
        let shown = bed.client.request("GET", "/concerts").send().await;
        shown.json["concerts"][0]["title"] == "Summer Light"
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn the_seat_map_is_not_sent_twice() {
    let bed = Bed::start().await;
    let map = |known: String| bed.as_user(1, "GET", "/schedules/1/seats").header("if-none-match", &known).send();
    let etag = map("\"no\"".to_owned()).await.header("etag").to_owned();
    let again = map(etag.clone()).await;
    assert_eq!((again.status, again.bytes.len(), again.header("etag")), (304, 0, etag.as_str()));

    bed.held(1, &["A-1"]).await;
    let changed = map(etag.clone()).await;
    assert_eq!(changed.status, 200);
    assert_eq!(changed.json["seats"][0]["status"], "held");
    let held = changed.header("etag").to_owned();
    assert_ne!(held, etag);

    // Nobody writes when a hold runs out, and the map is another all the same.
    bed.run_out().await;
    let run_out = map(held).await;
    assert_eq!(run_out.json["seats"][0]["status"], "available");
    assert_ne!(run_out.header("etag"), etag);
}

#[tokio::test]
async fn large_answers_are_compressed_when_the_client_likes() {
    let bed = Bed::start().await;
    let plain = bed.as_user(1, "GET", "/schedules/1/seats").send().await;
    let gzip = bed.as_user(1, "GET", "/schedules/1/seats").header("accept-encoding", "gzip").send().await;
    assert_eq!(gzip.header("content-encoding"), "gzip");
    assert!(gzip.bytes.len() * 5 < plain.bytes.len(), "{} of {}", gzip.bytes.len(), plain.bytes.len());
}
