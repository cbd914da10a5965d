//! Out of the outbox: I18, I19, F18, two relays at once, waking up, and what commits late.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use prometheus::{IntCounterVec, Opts};
use reservation_svc::event::Event;
use reservation_svc::worker::Worker;
use reservation_svc::worker::relay::Relay;
use reservation_svc::worker::sink::Sink;
use reservation_svc::worker::task::{Ran, Task, TaskError};
use serde_json::json;
use testbed::wait;
use tokio::sync::Notify;

use crate::bed::{self, Bed, DEADLINE};

pub(crate) const PENDING: &str = "SELECT count(*) FROM outbox WHERE relayed_at IS NULL";

/// Writes down what it is given; may take it and never answer, like a worker that dies in that moment.
#[derive(Default)]
pub(crate) struct Recorder {
    seen: Mutex<Vec<Event>>,
    silent: AtomicBool,
}

impl Recorder {
    pub(crate) fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// What a consumer has that drops repeats.
    pub(crate) fn without_repeats(&self) -> Vec<Event> {
        let mut had = HashSet::new();
        self.seen.lock().unwrap().iter().filter(|event| had.insert(event.id)).cloned().collect()
    }
}

#[async_trait]
impl Sink for Recorder {
    async fn publish(&self, events: &[Event]) -> Result<(), TaskError> {
        self.seen.lock().unwrap().extend_from_slice(events);
        if self.silent.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

pub(crate) fn counter() -> IntCounterVec {
    IntCounterVec::new(Opts::new("c", "c"), &["topic"]).unwrap()
}

pub(crate) fn relay(bed: &Bed, sink: &Arc<Recorder>) -> Relay {
    let ledger = bed::ledger(&bed.database.url());
    Relay::new(ledger, Arc::clone(sink) as Arc<dyn Sink>, Arc::new(Notify::new()), counter())
}

/// Runs until there was nothing to do.
pub(crate) async fn drain(relay: &Relay) {
    while relay.run_once().await.unwrap() == Ran::More {}
}

/// I19: what happened to a seat comes in the order of its versions.
pub(crate) fn assert_order_of_seats(events: &[Event]) {
    let mut last: HashMap<(i64, String), i64> = HashMap::new();
    for event in events.iter().filter(|event| event.topic == "hold.created") {
        for line in event.payload["lines"].as_array().unwrap() {
            let seat = (event.schedule_id.unwrap(), line["seat"].as_str().unwrap().to_owned());
            let version = line["version"].as_i64().unwrap();
            let before = last.insert(seat.clone(), version).unwrap_or(0);
            assert!(version > before, "{seat:?}: version {version} after {before}");
        }
    }
    // A hold is told of before its end is.
    let mut begun = HashSet::new();
    for event in events {
        let Some(hold) = event.payload["hold_id"].as_str() else { continue };
        match event.topic.as_str() {
            "hold.created" => assert!(begun.insert(hold.to_owned())),
            _ => assert!(begun.contains(hold), "{} of a hold that never began", event.topic),
        }
    }
}

/// Many buyers at a few seats of three schedules: holds, releases, payments, cancellations.
pub(crate) async fn crowd(bed: &Bed, users: std::ops::Range<i64>) {
    for user in users {
        let schedule = user % 3 + 1;
        let body = json!({ "seats": [format!("A-{}", user % 5 + 1)] });
        let hold = bed.as_user(user, "POST", &format!("/schedules/{schedule}/holds")).json(&body).send().await;
        if hold.status != 201 {
            continue;
        }
        let hold = hold.json["hold_id"].as_str().unwrap().to_owned();
        if user % 2 == 0 {
            bed.as_user(user, "DELETE", &format!("/holds/{hold}")).send().await;
            continue;
        }
        let paid = bed.pay(user, &hold).await;
        let reservation = paid.json["reservation_id"].as_str().unwrap();
        bed.as_user(user, "POST", &format!("/reservations/{reservation}/cancel")).send().await;
    }
}

#[tokio::test]
async fn i19_two_relays_at_once_and_writers_in_between() {
    let bed = Bed::start().await;
    let seen = Arc::new(Recorder::default());
    let done = AtomicBool::new(false);
    let work = |relay: Relay| {
        let done = &done;
        async move {
            while !done.load(Ordering::SeqCst) {
                relay.run_once().await.unwrap();
                tokio::task::yield_now().await;
            }
            drain(&relay).await;
        }
    };
    let writers = async {
        tokio::join!(crowd(&bed, 1..60), crowd(&bed, 60..120), crowd(&bed, 120..180));
        done.store(true, Ordering::SeqCst);
    };
    tokio::join!(writers, work(relay(&bed, &seen)), work(relay(&bed, &seen)));
    wait::until("the rest", DEADLINE, || async { bed.sql(PENDING).await == "0" }).await.unwrap();
    let events = seen.without_repeats();
    assert_eq!(events.len(), seen.count(), "nobody died, so nothing came twice");
    assert_eq!(bed.sql("SELECT count(*) FROM outbox").await, events.len().to_string());
    assert!(events.len() > 300, "{}", events.len());
    assert_order_of_seats(&events);
    bed.audit().await;
}

#[tokio::test]
async fn f18_a_relay_that_died_after_publishing_and_before_marking() {
    let bed = Bed::start().await;
    let seen = Arc::new(Recorder::default());
    crowd(&bed, 1..40).await;
    let published = bed.sql(PENDING).await;
    seen.silent.store(true, Ordering::SeqCst);
    let dying = relay(&bed, &seen);
    let dying = tokio::spawn(async move { dying.run_once().await });
    wait::until("it to publish", DEADLINE, || async { seen.count() > 0 }).await.unwrap();
    // While it is at it (for some seconds at most), nobody else gets those schedules, and more happens there.
    let (taken, other) = (seen.count(), Arc::new(Recorder::default()));
    bed.sql(
        "INSERT INTO outbox (topic, schedule_id, payload)
         SELECT 'hold.created', s, '{\"lines\": []}' FROM generate_series(1, 3) AS s",
    )
    .await;
    let second = relay(&bed, &other);
    drain(&second).await;
    let theirs: HashSet<i64> = seen.without_repeats().iter().filter_map(|event| event.schedule_id).collect();
    assert!(other.without_repeats().iter().all(|event| !theirs.contains(&event.schedule_id.unwrap())));
    dying.abort();
    assert!(dying.await.unwrap_err().is_cancelled());

    seen.silent.store(false, Ordering::SeqCst);
    crowd(&bed, 40..80).await;
    let heir = relay(&bed, &seen);
    wait::until("the heir to have relayed all", DEADLINE, || async {
        drain(&heir).await;
        bed.sql(PENDING).await == "0"
    })
    .await
    .unwrap();
    let repeats = seen.count() - seen.without_repeats().len();
    assert_eq!(repeats, taken, "what had been published came again, whole; {published} were waiting");
    let all = [other.without_repeats(), seen.without_repeats()].concat();
    assert_eq!(bed.sql("SELECT count(*) FROM outbox").await, all.len().to_string(), "nothing lost");
    assert_order_of_seats(&all);
}

#[tokio::test]
async fn events_that_commit_late_are_not_passed_over() {
    let bed = Bed::start().await;
    let seen = Arc::new(Recorder::default());
    let relay = relay(&bed, &seen);
    let insert = "INSERT INTO outbox (topic, schedule_id, payload) VALUES ('hold.created', 1, '{}') RETURNING id";
    let mut late = bed.pool.begin().await.unwrap();
    let (lower,): (i64,) = sqlx::query_as(insert).fetch_one(&mut *late).await.unwrap();
    let (higher,): (i64,) = sqlx::query_as(insert).fetch_one(&bed.pool).await.unwrap();
    assert!(lower < higher);
    drain(&relay).await;
    assert_eq!(seen.count(), 1, "only what is committed");
    late.commit().await.unwrap();
    drain(&relay).await;
    assert_eq!(seen.count(), 2, "and the one with the lower number after it");
}

#[tokio::test]
async fn a_sleeping_worker_is_woken_and_old_events_go() {
    let bed = Bed::start().await;
    let worker = Worker::start(bed.worker_config("keep_days = 3\n")).await.unwrap();
    let asleep = "SELECT asleep FROM outbox_bell";
    for seat in ["A-1", "A-2", "A-3"] {
        wait::until("the relay to sleep", DEADLINE, || async { bed.sql(asleep).await == "t" }).await.unwrap();
        bed.held(1, &[seat]).await;
        wait::until("the event", DEADLINE, || async { bed.sql(PENDING).await == "0" }).await.unwrap();
    }
    bed.sql("UPDATE outbox SET relayed_at = now() - interval '2 days' WHERE id = 1").await;
    bed.sql("UPDATE outbox SET relayed_at = now() - interval '4 days' WHERE id = 2").await;
    bed.sql("UPDATE event_receipts SET received_at = now() - interval '4 days'").await;
    wait::until("the old one to go", DEADLINE, || async { bed.sql("SELECT count(*) FROM outbox").await == "2" })
        .await
        .unwrap();
    wait::until("receipts", DEADLINE, || async { bed.sql("SELECT count(*) FROM event_receipts").await == "0" })
        .await
        .unwrap();
    assert_eq!(worker.stop().await, 0);
}
