//! What clients saw, checked against itself: concurrent buyers on hot seats, faults in the middle, and afterwards no two
//! of them had one seat at one time (I14), versions rose (I20), every life of a hold was legal (I21), and one key got
//! one answer (I17). The tables could come out even and clients still have been told something else.

mod check;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use testbed::gateway::Gateway;
use testbed::postgres::PrivatePostgres;
use testbed::redis::PrivateRedis;
use testbed::wait;

use crate::bed::{self, Bed, DEADLINE, Wishes, paying_at};
use crate::client::Answer;
use check::{Event, What, broken};

/// Buyers at once, each with a user of its own.
const BUYERS: i64 = 12;

/// What each of them does.
const STEPS: u64 = 30;

/// Seats that everybody wants.
const HOT: [&str; 6] = ["A-1", "A-2", "A-3", "A-4", "A-5", "A-6"];

struct Buyer<'a> {
    bed: &'a Bed,
    user: i64,
    /// One clock for all: only the order matters.
    clock: &'a AtomicU64,
    dice: StdRng,
    seen: Vec<Event>,
}

impl Buyer<'_> {
    /// Holds, and goes on with what was held in one of the ways that there are.
    async fn step(&mut self, step: u64) {
        let wanted = if self.dice.random_bool(0.5) { 1 } else { 2 };
        let seats: Vec<&str> = HOT.sample(&mut self.dice, wanted).copied().collect();
        let key = format!("{}-{step}", self.user);
        let body = json!({ "seats": seats });
        let (answer, from, until) = self.ask("POST", "/schedules/1/holds", &format!("h{key}"), Some(&body)).await;
        if answer.status != 201 {
            answer.assert_problem(409, "seat-taken");
            return;
        }
        let hold = answer.json["hold_id"].as_str().unwrap().to_owned();
        let lines = answer.json["lines"].as_array().unwrap().iter();
        let seats = lines.map(|line| (line["seat"].as_str().unwrap().to_owned(), line["version"].as_i64().unwrap()));
        self.seen.push(Event { hold: hold.clone(), from, until, what: What::Held(seats.collect()) });
        if self.dice.random_bool(0.15) {
            return self.run_out(hold, &key).await;
        }
        // The other way may lose; then the first has won.
        if self.dice.random_bool(0.5) && !self.pay_and_cancel(&hold, &key).await {
            return;
        }
        let (answer, from, until) = self.ask("DELETE", &format!("/holds/{hold}"), "", None).await;
        if answer.status == 204 {
            self.seen.push(Event { hold, from, until, what: What::Released });
        } else {
            answer.assert_problem(409, "hold-paid");
        }
    }

    /// Lets the hold's time be up. From then on it can not be paid for.
    async fn run_out(&mut self, hold: String, key: &str) {
        let over = format!(
            "UPDATE concert_seats SET held_until = clock_timestamp() WHERE hold_id = '{hold}' AND held_until IS NOT NULL;
             UPDATE seat_holds SET expires_at = clock_timestamp() WHERE id = '{hold}' AND status = 'ACTIVE'"
        );
        let from = self.clock.fetch_add(1, Ordering::SeqCst);
        // The server may be away for a moment; twice is as good as once.
        let done = || async { self.bed.database.sql(&over).await.is_ok() };
        wait::until("the hold to run out", DEADLINE, done).await.unwrap();
        let until = self.clock.fetch_add(1, Ordering::SeqCst);
        self.seen.push(Event { hold: hold.clone(), from, until, what: What::RanOut });
        let body = json!({ "hold_id": hold, "payment": { "method": "wallet" } });
        let (answer, ..) = self.ask("POST", "/reservations", &format!("p{key}"), Some(&body)).await;
        answer.assert_problem(409, "hold-expired");
    }

    /// Whether the seats are free again, so that there is something to release.
    async fn pay_and_cancel(&mut self, hold: &str, key: &str) -> bool {
        let payment = match self.dice.random_bool(0.5) {
            true => json!({ "method": "wallet" }),
            false => json!({ "method": "card", "source": "tok_1" }),
        };
        let body = json!({ "hold_id": hold, "payment": payment });
        let (answer, from, until) = self.ask("POST", "/reservations", &format!("p{key}"), Some(&body)).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        self.seen.push(Event { hold: hold.to_owned(), from, until, what: What::Paid });
        let path = format!("/reservations/{}/cancel", answer.json["reservation_id"].as_str().unwrap());
        let (answer, from, until) = self.ask("POST", &path, &format!("c{key}"), None).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        self.seen.push(Event { hold: hold.to_owned(), from, until, what: What::Cancelled });
        false
    }

    /// Asks until there is an answer that says what happened; with a key also once more, which must say the same.
    /// Only 503 says that nothing is known: any other answer of that kind is a bug, and fails.
    async fn ask(
        &mut self,
        method: &str,
        path: &str,
        key: &str,
        body: Option<&serde_json::Value>,
    ) -> (Answer, u64, u64) {
        let (bed, user) = (self.bed, self.user);
        let send = || {
            let mut request = bed.as_user(user, method, path);
            if !key.is_empty() {
                request = request.key(key);
            }
            if let Some(body) = body {
                request = request.json(body);
            }
            async move {
                let answer = request.send().await;
                assert!(answer.status < 500 || answer.status == 503, "{} {}", answer.status, answer.text());
                Some(answer).filter(|answer| answer.status != 503 && !in_progress(answer))
            }
        };
        let from = self.clock.fetch_add(1, Ordering::SeqCst);
        let answer = wait::until_some("an answer", DEADLINE, send).await.unwrap();
        let until = self.clock.fetch_add(1, Ordering::SeqCst);
        if !key.is_empty() && self.dice.random_bool(0.3) {
            let again = wait::until_some("the answer again", DEADLINE, send).await.unwrap();
            assert_eq!((again.status, &again.json), (answer.status, &answer.json), "I17: {method} {path} with {key}");
        }
        (answer, from, until)
    }
}

fn in_progress(answer: &Answer) -> bool {
    // By card: the one before, whose answer was lost, is still at the gateway.
    ["idempotency-key-in-progress", "payment-in-progress"]
        .iter()
        .any(|kind| answer.json["type"] == format!("/problems/{kind}"))
}

async fn sale(bed: &Bed, clock: &AtomicU64, seed: u64) -> Vec<Event> {
    let buyers = (1..=BUYERS).map(|user| async move {
        let dice = StdRng::seed_from_u64(seed.wrapping_mul(1_000).wrapping_add(user.unsigned_abs()));
        let mut buyer = Buyer { bed, user, clock, dice, seen: Vec::new() };
        for step in 0..STEPS {
            buyer.step(step).await;
        }
        buyer.seen
    });
    join_all(buyers).await.concat()
}

#[tokio::test]
async fn i14_i17_i20_i21_in_what_clients_saw_while_servers_came_and_went() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    // What is behind a 500 is only in the log. Another test may have set one up before.
    let _ = tracing_subscriber::fmt().with_max_level(tracing::Level::ERROR).with_test_writer().try_init();
    let server: &'static PrivatePostgres = Box::leak(Box::new(PrivatePostgres::start().await.unwrap()));
    let redis = PrivateRedis::start().await.unwrap();
    let gateway = Gateway::start().await.unwrap();
    let wishes = Wishes { redis_url: redis.url(), holds: "max_per_user = 1000".to_owned(), ..paying_at(&gateway) };
    let bed = Bed::on(bed::seeded(server).await, wishes).await;
    let clock = Arc::new(AtomicU64::new(0));
    let past = |share: u64| {
        let clock = Arc::clone(&clock);
        async move {
            let mark = BUYERS.unsigned_abs() * STEPS * share / 100;
            let passed = || async { clock.load(Ordering::SeqCst) >= mark };
            wait::until("the sale to go on", DEADLINE * 3, passed).await.unwrap();
        }
    };
    let faults = async {
        past(50).await;
        let mut keys = redis::Client::open(redis.url()).unwrap().get_multiplexed_async_connection().await.unwrap();
        let _: () = redis::cmd("FLUSHALL").query_async(&mut keys).await.unwrap();
        past(100).await;
        server.restart().await.unwrap();
        past(150).await;
        redis.kill().await.unwrap();
    };
    let (seen, ()) = tokio::join!(sale(&bed, &clock, seed), faults);
    let held = seen.iter().filter(|event| matches!(event.what, What::Held(_))).count();
    assert!(held > 20, "only {held} holds: nothing was tested");
    let broken = broken(&seen);
    assert!(broken.is_empty(), "seed {seed}:\n{}", broken.join("\n"));
    // And what is shown now is not older than what anybody was told.
    let map = bed.as_user(999, "GET", "/schedules/1/seats").send().await;
    for event in &seen {
        let What::Held(seats) = &event.what else { continue };
        for (seat, version) in seats {
            let shown = map.json["seats"].as_array().unwrap().iter().find(|shown| shown["seat"] == **seat).unwrap();
            assert!(shown["version"].as_i64().unwrap() >= *version, "I20: {seat} was at {version}, now {shown}");
        }
    }
    bed.recovered(&gateway).await;
}
