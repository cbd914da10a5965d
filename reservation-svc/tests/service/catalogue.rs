//! Concerts, schedules, the seat map and its ETag.

use crate::bed::Bed;

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
