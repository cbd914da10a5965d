//! What Prometheus reads after some counting.

use std::time::Duration;

use super::{Metrics, Outcome, RoomFigures, StoreOperation};

const MS: Duration = Duration::from_millis(1);

#[test]
fn requests_are_counted_by_room_outcome_and_class() {
    let metrics = Metrics::new(false).unwrap();
    let room = metrics.room("concert");
    room.request(Outcome::Forwarded, 201, MS);
    room.request(Outcome::Forwarded, 200, MS);
    metrics.room("concert").request(Outcome::Waiting, 429, MS);
    metrics.no_room().request(Outcome::Refused, 421, MS);
    metrics.no_room().request(Outcome::Refused, 999, MS);
    let text = metrics.text().unwrap();
    for line in [
        "http_requests_total{code=\"2xx\",outcome=\"forwarded\",room=\"concert\"} 2",
        "http_requests_total{code=\"4xx\",outcome=\"waiting\",room=\"concert\"} 1",
        "http_requests_total{code=\"4xx\",outcome=\"refused\",room=\"\"} 1",
        "http_requests_total{code=\"5xx\",outcome=\"refused\",room=\"\"} 1",
        "http_request_duration_seconds_count{outcome=\"forwarded\",room=\"concert\"} 2",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[test]
fn room_that_is_forgotten_leaves_no_series() {
    let metrics = Metrics::new(false).unwrap();
    let room = metrics.room("gone");
    room.request(Outcome::Page, 200, MS);
    room.figures(RoomFigures { waiting: 5, ..RoomFigures::default() });
    room.limits(2.5, 10);
    room.joined(3);
    room.upstream_up("127.0.0.1:1", true);
    let text = metrics.text().unwrap();
    assert!(text.contains("waitroom_room_visitors{room=\"gone\",state=\"waiting\"} 5"), "{text}");
    assert!(text.contains("waitroom_room_rate_per_second{room=\"gone\"} 2.5"), "{text}");
    room.forget_upstream("127.0.0.1:1");
    metrics.forget_room("gone");
    assert!(!metrics.text().unwrap().contains("gone"));
    metrics.room("gone").joined(1);
    assert!(metrics.text().unwrap().contains("waitroom_joins_total{room=\"gone\"} 1"), "counts again from zero");
}

#[test]
fn redis_commands_are_counted_only_for_redis() {
    for (redis, expected) in [(true, 1), (false, 0)] {
        let metrics = Metrics::new(redis).unwrap();
        metrics.store().call(StoreOperation::SetPaused, false, MS);
        let text = metrics.text().unwrap();
        assert!(text.contains("waitroom_store_calls_total{operation=\"set_paused\",result=\"error\"} 1"), "{text}");
        let hits = text.matches("redis_commands_total{operation=\"set_paused\",result=\"error\"} 1").count();
        assert_eq!(hits, expected, "{text}");
    }
}

#[test]
fn rejected_reload_shows_until_a_good_one() {
    let metrics = Metrics::new(false).unwrap();
    metrics.reload_rejected(3);
    let text = metrics.text().unwrap();
    assert!(text.contains("waitroom_config_last_reload_ok 0") && text.contains("waitroom_config_mistakes 3"), "{text}");
    metrics.reload_accepted();
    let text = metrics.text().unwrap();
    assert!(text.contains("waitroom_config_last_reload_ok 1") && text.contains("waitroom_config_mistakes 0"), "{text}");
    assert!(text.contains("waitroom_config_reloads_total{result=\"rejected\"} 1"), "{text}");
}

#[test]
fn process_figures_are_fresh() {
    let text = Metrics::new(false).unwrap().text().unwrap();
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().parse::<u64>().unwrap()
    };
    assert!(value("process_resident_memory_bytes ") > 1_000_000 && value("process_open_fds ") > 2);
}
