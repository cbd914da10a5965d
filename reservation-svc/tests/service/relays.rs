//! Relays that end or stand still in the middle of their work, as real processes (F18), and events that can not be
//! brought on: each is told of exactly once after repeats are dropped, in order, and holds up no other schedule.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use reservation_svc::event::Event;
use reservation_svc::worker::consumers::Consumers;
use reservation_svc::worker::relay::Relay;
use reservation_svc::worker::sink::Sink;
use reservation_svc::worker::task::{Task, TaskError};
use sqlx::{Connection, PgConnection, Postgres, Transaction};
use testbed::process::{Child, Program, Signal};
use testbed::wait;
use tokio::sync::Notify;

use crate::bed::{self, Bed, DEADLINE};
use crate::consumers;
use crate::events::{self, PENDING, Recorder, assert_order_of_seats, crowd};

/// Whoever waits for a lock in this database.
const WAITING: &str =
    "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";

/// What was done, and not counted as often as it was done.
const MISCOUNTED: &str = "SELECT count(*) FROM (
    SELECT s.concert_id, o.topic, count(*) FROM outbox o JOIN concert_schedules s ON s.id = o.schedule_id GROUP BY 1, 2
    EXCEPT SELECT concert_id, topic, sum(events) FROM concert_minutes GROUP BY 1, 2) x";

/// Whether the books have every payment and refund once.
const BOOKED: &str = "SELECT (SELECT sum(amount) FROM payments) = sum(paid) AND (SELECT count(*) FROM payments) = sum(payments)
    AND (SELECT sum(amount) FROM refunds) = sum(refunded) AND (SELECT count(*) FROM refunds) = sum(refunds) FROM settlement_days";

/// `reservation-svc worker`, as an operator starts it.
async fn worker(bed: &Bed) -> Child {
    let config = bed.secrets.path().join("worker.toml");
    let text = format!(
        "[database]\nurl = {:?}\n[events]\nadmin_listen = \"127.0.0.1:0\"\nsettlement_time_zone = \"Asia/Seoul\"\n",
        bed.database.url()
    );
    std::fs::write(&config, text).unwrap();
    let program = Program::new(env!("CARGO_BIN_EXE_reservation-svc")).args(["worker", "--config"]).arg(&config);
    let child = program.without_env("RESERVATION_DATABASE_URL").start().unwrap();
    child.wait_for_line("working", DEADLINE).await.unwrap();
    child
}

/// Keeps the settlement from writing: a batch stops there, when the statistics have it already.
async fn settlement_locked(connection: &mut PgConnection) -> Transaction<'_, Postgres> {
    let mut lock = connection.begin().await.unwrap();
    sqlx::query("LOCK TABLE settlement_days IN EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
    lock
}

/// Waits until a batch is in the middle of being published.
async fn until_half_published(bed: &Bed) {
    wait::until("a batch to be half published", DEADLINE, || async {
        sqlx::query_scalar(WAITING).fetch_one(&bed.pool).await.unwrap()
    })
    .await
    .unwrap();
}

async fn assert_each_counts_once(bed: &Bed) {
    assert_eq!(bed.sql(MISCOUNTED).await, "0", "the statistics");
    assert_eq!(bed.sql(BOOKED).await, "t", "the settlement");
    assert_eq!(bed.sql("SELECT count(*) FROM dead_letters").await, "0");
}

/// Writes down what it is given, and gives it to the consumers too.
struct Both(Arc<Recorder>, Consumers);

#[async_trait]
impl Sink for Both {
    async fn publish(&self, events: &[Event]) -> Result<(), TaskError> {
        self.0.publish(events).await?;
        self.1.publish(events).await
    }
}

#[tokio::test]
async fn f18_a_worker_process_killed_in_the_middle_of_publishing() {
    let bed = Bed::start().await;
    crowd(&bed, 1..60).await;
    let all = bed.sql(PENDING).await;
    let mut connection = PgConnection::connect(&bed.database.url()).await.unwrap();
    let lock = settlement_locked(&mut connection).await;
    let dying = worker(&bed).await;
    until_half_published(&bed).await;
    dying.kill().await.unwrap();
    lock.rollback().await.unwrap();
    let counted: usize =
        bed.sql("SELECT count(*) FROM event_receipts WHERE consumer = 'statistics'").await.parse().unwrap();
    assert!(counted > 0, "the statistics had them");
    assert_eq!(bed.sql(PENDING).await, all, "and nothing was marked");

    crowd(&bed, 60..80).await;
    let seen = Arc::new(Recorder::default());
    let (ledger, all) = consumers::consumers(&bed).await;
    let heir = Both(Arc::clone(&seen), all);
    let heir = Relay::new(ledger, Arc::new(heir), Arc::new(Notify::new()), events::counter());
    wait::until("the heir to have relayed all", DEADLINE, || async {
        events::drain(&heir).await;
        bed.sql(PENDING).await == "0"
    })
    .await
    .unwrap();
    let told = seen.without_repeats();
    assert_eq!(told.len(), seen.count(), "the heir had no reason to repeat anything");
    assert_eq!(bed.sql("SELECT count(*) FROM outbox").await, told.len().to_string());
    assert_order_of_seats(&told);
    assert_each_counts_once(&bed).await;
}

#[tokio::test]
async fn f18_a_worker_process_that_stands_still_loses_its_lane_and_finds_its_way_back() {
    let bed = Bed::start().await;
    crowd(&bed, 1..60).await;
    let mut connection = PgConnection::connect(&bed.database.url()).await.unwrap();
    let lock = settlement_locked(&mut connection).await;
    let stopped = worker(&bed).await;
    until_half_published(&bed).await;
    stopped.pause().await.unwrap();
    lock.rollback().await.unwrap();
    let other = worker(&bed).await;
    // First what others hold nobody up for, then, when the database has taken the lane from who sleeps on it, the rest.
    let relayed = "SELECT count(*) FROM outbox WHERE relayed_at IS NOT NULL";
    wait::until("the other lanes", DEADLINE, || async { bed.sql(relayed).await != "0" }).await.unwrap();
    wait::until("the lane of who stands still", DEADLINE, || async { bed.sql(PENDING).await == "0" }).await.unwrap();
    assert_each_counts_once(&bed).await;

    // It wakes up with a batch that is not its own any more.
    stopped.signal(Signal::Continue).unwrap();
    assert!(other.terminate(DEADLINE).await.unwrap().success(), "{}", other.log());
    crowd(&bed, 60..80).await;
    wait::until("it to go on alone", DEADLINE, || async { bed.sql(PENDING).await == "0" }).await.unwrap();
    assert_each_counts_once(&bed).await;
    assert!(stopped.terminate(DEADLINE).await.unwrap().success(), "{}", stopped.log());
}

/// Takes nothing of schedule 1, until it is told to.
#[derive(Default)]
struct Picky {
    seen: Arc<Recorder>,
    takes_all: AtomicBool,
}

#[async_trait]
impl Sink for Picky {
    async fn publish(&self, events: &[Event]) -> Result<(), TaskError> {
        if events.iter().any(|event| event.schedule_id == Some(1)) && !self.takes_all.load(Ordering::SeqCst) {
            return Err(TaskError::Elsewhere { what: "the sink", why: "not these".to_owned() });
        }
        self.seen.publish(events).await
    }
}

#[tokio::test]
async fn a_schedule_whose_events_nobody_takes_holds_up_no_other_one() {
    let bed = Bed::start().await;
    // The oldest of all is of schedule 1: user 3, 6, 9 … buy there, and schedule 1 comes first.
    bed.held(200, &["B-1"]).await;
    crowd(&bed, 1..40).await;
    let sink = Arc::new(Picky::default());
    let ledger = bed::ledger(&bed.database.url());
    let relay = Relay::new(ledger, Arc::clone(&sink) as Arc<dyn Sink>, Arc::new(Notify::new()), events::counter());
    let others = "SELECT count(*) FROM outbox WHERE relayed_at IS NULL AND schedule_id <> 1";
    wait::until("the others to be relayed", DEADLINE, || async {
        let _ = relay.run_once().await;
        bed.sql(others).await == "0"
    })
    .await
    .unwrap();
    let theirs: HashSet<i64> = sink.seen.without_repeats().iter().filter_map(|event| event.schedule_id).collect();
    assert_eq!(theirs, HashSet::from([2, 3]));
    assert!(relay.trouble().unwrap().contains("not these"), "and it is seen that one does not go on");

    sink.takes_all.store(true, Ordering::SeqCst);
    wait::until("the rest", DEADLINE, || async {
        relay.run_once().await.unwrap();
        bed.sql(PENDING).await == "0"
    })
    .await
    .unwrap();
    assert_eq!(relay.trouble(), None);
    let told = sink.seen.without_repeats();
    assert_eq!(bed.sql("SELECT count(*) FROM outbox").await, told.len().to_string());
    assert_order_of_seats(&told);
}
