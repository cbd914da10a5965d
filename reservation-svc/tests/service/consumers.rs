//! The consumers of events: each counts once what comes twice and in any order (F20), days and minutes end where they
//! should, and what nobody can take is laid aside.

use std::sync::Arc;

use prometheus::Registry;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use reservation_svc::event::Event;
use reservation_svc::ledger::{Ledger, LedgerError};
use reservation_svc::worker::Worker;
use reservation_svc::worker::consumers::Consumers;
use reservation_svc::worker::setup;
use reservation_svc::worker::sink::Sink;
use reservation_svc::worker::task::TaskError;
use serde_json::json;
use testbed::wait;

use crate::bed::{self, Bed, DEADLINE};
use crate::events::{PENDING, Recorder, crowd, drain, relay};

/// The consumers of a worker that is set up as usual, over a ledger of their own.
pub(crate) async fn consumers(bed: &Bed) -> (Ledger, Consumers) {
    let ledger = bed::ledger(&bed.database.url());
    let config = bed.worker_config("settlement_time_zone = \"Asia/Seoul\"\n");
    let consumers = setup::consumers(&config, &ledger, &Registry::new()).await.unwrap();
    (ledger, consumers)
}

#[tokio::test]
async fn f20_events_doubled_and_out_of_order_count_once() {
    let bed = Bed::start().await;
    let seen = Arc::new(Recorder::default());
    tokio::join!(crowd(&bed, 1..50), crowd(&bed, 50..100));
    drain(&relay(&bed, &seen)).await;
    let (_, first) = consumers(&bed).await;
    let (_, second) = consumers(&bed).await;
    let mut doubled = [seen.without_repeats(), seen.without_repeats()].concat();
    let seed: u64 = rand::random();
    println!("seed {seed}");
    doubled.shuffle(&mut StdRng::seed_from_u64(seed));
    let (one, two) = doubled.split_at(doubled.len() / 2);
    let give = |consumers: Consumers, events: Vec<Event>| async move {
        for some in events.chunks(7) {
            // Another worker has the same events at this moment: whoever loses comes again. Anything else fails.
            let taken = || async {
                match consumers.publish(some).await {
                    Err(TaskError::Ledger(LedgerError::Contended | LedgerError::Conflict)) => false,
                    other => other.map(|()| true).unwrap(),
                }
            };
            wait::until("the events to be taken", DEADLINE, taken).await.unwrap();
        }
    };
    tokio::join!(give(first, one.to_vec()), give(second, two.to_vec()));

    let counted = "SELECT count(*) FROM (
        SELECT s.concert_id, o.topic, count(*) FROM outbox o JOIN concert_schedules s ON s.id = o.schedule_id GROUP BY 1, 2
        EXCEPT SELECT concert_id, topic, sum(events) FROM concert_minutes GROUP BY 1, 2) x";
    assert_eq!(bed.sql(counted).await, "0", "the statistics");
    let booked =
        "SELECT (SELECT sum(amount) FROM payments) = sum(paid) AND (SELECT count(*) FROM payments) = sum(payments)
            AND (SELECT sum(amount) FROM refunds) = sum(refunded) AND (SELECT count(*) FROM refunds) = sum(refunds)
            AND min(time_zone) = 'Asia/Seoul' FROM settlement_days";
    assert_eq!(bed.sql(booked).await, "t", "the settlement");
}

/// Around midnight in Seoul, which is 15:00 UTC: two days there and one here, three minutes of the clock.
const TIMES: [&str; 4] =
    ["2026-11-20T14:59:58Z", "2026-11-20T14:59:59.9Z", "2026-11-20T15:00:00Z", "2026-11-20T15:01:30Z"];

#[tokio::test]
async fn days_end_at_midnight_of_the_time_zone_and_minutes_with_the_minute() {
    let bed = Bed::start().await;
    let (_, consumers) = consumers(&bed).await;
    for (amount, time) in TIMES.iter().enumerate() {
        let event = Event {
            id: uuid::Uuid::now_v7(),
            topic: "payment.completed".to_owned(),
            key: "1".to_owned(),
            schedule_id: Some(1),
            occurred_at: time.parse().unwrap(),
            payload: json!({ "amount": 10_i64.pow(u32::try_from(amount).unwrap()), "currency": "KRW" }),
        };
        consumers.publish(&[event]).await.unwrap();
    }
    let days = bed.sql("SELECT day, payments, paid FROM settlement_days ORDER BY day").await;
    assert_eq!(days, "2026-11-20|2|11\n2026-11-21|2|1100");
    let minutes = "SELECT to_char(minute, 'HH24:MI:SS'), events FROM concert_minutes ORDER BY minute";
    assert_eq!(bed.sql(minutes).await, "14:59:00|2\n15:00:00|1\n15:01:00|1");
}

#[tokio::test]
async fn an_event_that_nobody_can_take_is_laid_aside_and_can_be_replayed() {
    let bed = Bed::start().await;
    let worker = Worker::start(bed.worker_config("")).await.unwrap();
    bed.held(1, &["A-1"]).await;
    // Booked under a currency that does not fit: bad for settlement, not for the others behind it.
    bed.sql(
        "INSERT INTO outbox (topic, schedule_id, payload)
         VALUES ('payment.completed', 1, '{\"amount\": \"much\", \"currency\": \"KRW\"}')",
    )
    .await;
    bed.held(2, &["A-2"]).await;
    let dead = "SELECT count(*) FROM dead_letters WHERE consumer = 'settlement'";
    wait::until("the dead letter", DEADLINE, || async { bed.sql(dead).await == "1" }).await.unwrap();
    wait::until("the rest", DEADLINE, || async { bed.sql(PENDING).await == "0" }).await.unwrap();
    assert_eq!(worker.stop().await, 0);

    let (ledger, consumers) = consumers(&bed).await;
    let letter = ledger.dead_letters(None, 10).await.unwrap().remove(0);
    assert!(letter.reason.contains("invalid input syntax"), "{}", letter.reason);
    assert!(consumers.replay(&letter).await.is_err());
    assert_eq!(bed.sql(dead).await, "1", "it stays until it works");
    bed.sql("UPDATE dead_letters SET event = jsonb_set(event, '{payload,amount}', '5')").await;
    let letter = ledger.dead_letters(Some(letter.event_id), 10).await.unwrap().remove(0);
    consumers.replay(&letter).await.unwrap();
    // As if the command had died before it forgot the letter.
    consumers.replay(&letter).await.unwrap();
    assert_eq!(bed.sql("SELECT sum(paid) FROM settlement_days").await, "5");
    assert_eq!(bed.sql(dead).await, "0");
}

#[tokio::test]
async fn refused_time_zones() {
    let bed = Bed::start().await;
    let refused = Worker::start(bed.worker_config("settlement_time_zone = \"Seoul\"\n")).await.err().unwrap();
    assert!(refused.to_string().contains("write it as in Asia/Seoul"), "{refused}");
}
