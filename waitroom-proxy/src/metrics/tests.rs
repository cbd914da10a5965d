//! What Prometheus reads after some counting.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use super::{MeteredStore, Metrics};
use crate::edge::{Observer as _, Outcome};
use crate::store::{Detail, Epoch, JoinItem, Limits, QueueStore, RoomName, Seen, Vid};

const MS: Duration = Duration::from_millis(1);

fn assert_has(metrics: &Metrics, lines: &[&str]) {
    let text = metrics.text().unwrap();
    for line in lines {
        assert!(text.lines().any(|have| have == *line), "{line} is not in\n{text}");
    }
}

#[test]
fn requests_are_counted_by_room_outcome_and_class() {
    let metrics = Metrics::new(false).unwrap();
    metrics.set_rooms(["concert", "shop"].into_iter());
    metrics.answered(Some(0), Outcome::Admitted, 201, MS);
    metrics.answered(Some(0), Outcome::Admitted, 200, MS);
    metrics.answered(Some(1), Outcome::Held, 429, MS);
    metrics.answered(None, Outcome::Own, 421, MS);
    metrics.answered(Some(9), Outcome::Own, 999, MS);
    assert_has(
        &metrics,
        &[
            "http_requests_total{code=\"2xx\",outcome=\"admitted\",room=\"concert\"} 2",
            "http_requests_total{code=\"4xx\",outcome=\"held\",room=\"shop\"} 1",
            "http_requests_total{code=\"4xx\",outcome=\"own\",room=\"\"} 1",
            "http_requests_total{code=\"5xx\",outcome=\"own\",room=\"\"} 1",
            "http_request_duration_seconds_count{outcome=\"admitted\",room=\"concert\"} 2",
        ],
    );
}

#[test]
fn rooms_that_stay_keep_their_counts_and_rooms_that_go_leave_no_series() {
    let metrics = Metrics::new(false).unwrap();
    metrics.set_rooms(["stays", "gone"].into_iter());
    metrics.answered(Some(0), Outcome::Poll, 200, MS);
    metrics.answered(Some(1), Outcome::Poll, 200, MS);
    metrics.room("gone").unwrap().queue().joins.inc();
    metrics.set_rooms(["new", "stays"].into_iter());
    metrics.answered(Some(1), Outcome::Poll, 200, MS);
    assert_has(&metrics, &["http_requests_total{code=\"2xx\",outcome=\"poll\",room=\"stays\"} 2"]);
    assert!(!metrics.text().unwrap().contains("gone"));
    assert!(metrics.room("gone").is_none());
}

#[tokio::test]
async fn store_that_is_metered_answers_the_same_and_is_counted() {
    for redis in [true, false] {
        let metrics = Arc::new(Metrics::new(redis).unwrap());
        metrics.set_rooms(["r"].into_iter());
        let store = MeteredStore::new(crate::store::open("memory://").unwrap(), Arc::clone(&metrics));
        let room = RoomName::new("r").unwrap();
        let limits = Limits { rate_per_s: 2.5, burst: 2.0, max_active: 10 };
        let none = Epoch { generation: 0, life: 0 };
        let lost = store.join(&room, none, Seen::default(), &[]).await;
        assert!(lost.is_err());
        let epoch = store.recover(&room, none, Seen::default(), Duration::ZERO, 2.0, 7).await.unwrap().epoch;
        let batch = [1, 2, 3].map(|n| JoinItem { vid: Vid([n; 12]), seq: 0 });
        assert_eq!(store.join(&room, epoch, Seen::default(), &batch).await.unwrap().len(), 3);
        let ticked = store.tick(&room, epoch, Seen::default(), limits, Duration::from_secs(60)).await.unwrap();
        store.snapshot(&room, Some(epoch), Detail::Counters).await.unwrap();
        assert_has(
            &metrics,
            &[
                "waitroom_store_calls_total{operation=\"join\",result=\"ok\"} 1",
                "waitroom_store_calls_total{operation=\"join\",result=\"error\"} 1",
                "waitroom_store_up 1",
                "waitroom_joins_total{room=\"r\"} 3",
                &format!("waitroom_grants_total{{room=\"r\"}} {}", ticked.granted_now),
                &format!("waitroom_room_visitors{{room=\"r\",state=\"waiting\"}} {}", ticked.waiting),
                &format!("waitroom_room_visitors{{room=\"r\",state=\"granted\"}} {}", ticked.granted_now),
                "waitroom_room_rate_per_second{room=\"r\"} 2.5",
                "waitroom_room_stale{room=\"r\"} 0",
            ],
        );
        let commands = "redis_commands_total{operation=\"join\",result=\"ok\"} 1";
        assert_eq!(metrics.text().unwrap().contains(commands), redis);
        assert!(store.snapshot(&room, Some(none), Detail::Counters).await.is_err());
        assert_has(&metrics, &["waitroom_room_stale{room=\"r\"} 1"]);
    }
}

#[test]
fn rejected_reload_shows_until_a_good_one() {
    let metrics = Metrics::new(false).unwrap();
    assert_has(&metrics, &["waitroom_config_last_reload_ok 1"]);
    metrics.note_reload(3, 1000);
    assert_has(&metrics, &["waitroom_config_last_reload_ok 0", "waitroom_config_mistakes 3"]);
    metrics.note_reload(0, 2000);
    assert_has(
        &metrics,
        &[
            "waitroom_config_last_reload_ok 1",
            "waitroom_config_mistakes 0",
            "waitroom_config_last_reload_timestamp_seconds 2000",
            "waitroom_config_reloads_total{result=\"rejected\"} 1",
        ],
    );
}

#[test]
fn connections_and_process_figures_are_read_when_asked() {
    let metrics = Metrics::new(false).unwrap();
    metrics.watch_connections(Arc::new(AtomicUsize::new(17)));
    assert_has(&metrics, &["waitroom_connections 17"]);
    let text = metrics.text().unwrap();
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().parse::<u64>().unwrap()
    };
    assert!(value("process_resident_memory_bytes ") > 1_000_000 && value("process_open_fds ") > 2);
}
