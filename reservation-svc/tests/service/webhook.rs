//! The webhook: signed, tried again, laid aside, replayed by command. On a receiver that is really down.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reservation_svc::worker::Worker;
use ring::hmac;
use tempfile::TempDir;
use testbed::origin::{Origin, Recorded, Script};
use testbed::process::{Output, Program};
use testbed::wait;

use crate::bed::{Bed, DEADLINE};

const SECRET: [u8; 32] = [9; 32];
const DUE: &str = "UPDATE webhook_deliveries SET next_at = now()";

/// A receiver at /hook, and a folder with the secret and a configuration that names both.
struct Receiver {
    origin: Origin,
    folder: TempDir,
}

impl Receiver {
    async fn start() -> Self {
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("hook.key"), SECRET).unwrap();
        Self { origin: Origin::start().await.unwrap(), folder }
    }

    fn answers(&self, status: u16) {
        self.origin.script("/hook", Script::new().status(status));
    }

    fn section(&self, attempts: u32) -> String {
        format!(
            "[webhook]\nurl = \"{}/hook\"\nsecret_file = {:?}\nmax_attempts = {attempts}\ntimeout_ms = 500\n",
            self.origin.url().trim_end_matches('/'),
            self.folder.path().join("hook.key"),
        )
    }

    fn got(&self) -> Vec<Recorded> {
        self.origin.requests().into_iter().filter(|request| request.path == "/hook").collect()
    }

    async fn command(&self, bed: &Bed, args: &[&str]) -> Output {
        let config = format!("[database]\nurl = {:?}\n{}", bed.database.url(), self.section(2));
        std::fs::write(self.folder.path().join("r.toml"), config).unwrap();
        Program::new(env!("CARGO_BIN_EXE_reservation-svc"))
            .args(args)
            .args(["--config", "r.toml"])
            .folder(self.folder.path())
            .without_env("RESERVATION_DATABASE_URL")
            .output(DEADLINE)
            .await
            .unwrap()
    }
}

/// What a receiver does before it believes a notification.
fn assert_signed(request: &Recorded) {
    let header = |name: &str| request.header(name).unwrap_or_default().to_owned();
    let mut signed = format!("{}.{}.", header("webhook-id"), header("webhook-timestamp")).into_bytes();
    signed.extend_from_slice(&request.body);
    let signature = STANDARD.decode(header("webhook-signature").strip_prefix("v1,").unwrap()).unwrap();
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &SECRET), &signed, &signature).unwrap();
    let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body["id"], header("webhook-id"));
}

#[tokio::test]
async fn notifications_wait_for_a_receiver_that_is_down() {
    let bed = Bed::start().await;
    let receiver = Receiver::start().await;
    receiver.answers(503);
    let worker = Worker::start(bed.worker_config(&receiver.section(20))).await.unwrap();
    for user in 1..=3 {
        let hold = bed.held(user, &[&format!("A-{user}")]).await;
        assert_eq!(bed.pay(user, &hold).await.status, 201);
    }
    let waiting = "SELECT count(*) FROM webhook_deliveries";
    wait::until("a failure", DEADLINE, || async { !receiver.got().is_empty() && bed.sql(waiting).await == "6" })
        .await
        .unwrap();
    receiver.origin.script("/hook", Script::new().hang_up());
    bed.sql(DUE).await;
    let before = receiver.got().len();
    wait::until("another", DEADLINE, || async { receiver.got().len() > before }).await.unwrap();

    receiver.origin.forget_requests();
    receiver.answers(204);
    wait::until("all to arrive", DEADLINE, || async {
        // Their pauses are over.
        bed.sql(DUE).await;
        bed.sql(waiting).await == "0"
    })
    .await
    .unwrap();
    let got = receiver.got();
    got.iter().for_each(assert_signed);
    let mut topics: Vec<String> = got
        .iter()
        .map(|request| serde_json::from_slice::<serde_json::Value>(&request.body).unwrap()["topic"].to_string())
        .collect();
    topics.sort_unstable();
    topics.dedup();
    assert_eq!(topics, ["\"payment.completed\"", "\"reservation.created\""], "not the holds");
    assert_eq!(bed.sql("SELECT count(*) FROM dead_letters").await, "0");
    assert_eq!(worker.stop().await, 0);
}

#[tokio::test]
async fn what_was_given_up_can_be_listed_and_replayed() {
    let bed = Bed::start().await;
    let receiver = Receiver::start().await;
    receiver.answers(500);
    let worker = Worker::start(bed.worker_config(&receiver.section(2))).await.unwrap();
    let hold = bed.held(1, &["A-1"]).await;
    assert_eq!(bed.pay(1, &hold).await.status, 201);
    wait::until("both to be given up", DEADLINE, || async {
        bed.sql(DUE).await;
        bed.sql("SELECT count(*) FROM dead_letters WHERE consumer = 'notification' AND attempts >= 2").await == "2"
    })
    .await
    .unwrap();

    let list = receiver.command(&bed, &["dead-letters", "list"]).await;
    assert!(list.status.success(), "{}", list.stderr);
    for word in ["notification", "reservation.created", "payment.completed", "answered 500"] {
        assert!(list.stdout.contains(word), "{word}: {}", list.stdout);
    }
    receiver.answers(200);
    receiver.origin.forget_requests();
    let id = bed.sql("SELECT event_id FROM dead_letters WHERE event ->> 'topic' = 'payment.completed'").await;
    let replay = receiver.command(&bed, &["dead-letters", "replay", "--event", &id]).await;
    assert!(replay.status.success() && replay.stdout.contains("1 replayed"), "{} {}", replay.stdout, replay.stderr);
    wait::until("it to arrive", DEADLINE, || async { receiver.got().len() == 1 }).await.unwrap();
    assert_eq!(receiver.got()[0].header("webhook-id"), Some(id.as_str()));
    let replay = receiver.command(&bed, &["dead-letters", "replay", "--all"]).await;
    assert!(replay.stdout.contains("1 replayed"), "{} {}", replay.stdout, replay.stderr);
    wait::until("the other", DEADLINE, || async { receiver.got().len() == 2 }).await.unwrap();
    let neither = receiver.command(&bed, &["dead-letters", "replay"]).await;
    assert_eq!(neither.status.code(), Some(64), "which ones has to be said: {}", neither.stderr);
    assert_eq!(worker.stop().await, 0);

    let day = bed.sql("SELECT day FROM settlement_days").await;
    let report = receiver.command(&bed, &["settlement", "--day", &day]).await;
    assert!(report.status.success(), "{}", report.stderr);
    assert!(report.stdout.contains("UTC") && report.stdout.contains("KRW"), "{}", report.stdout);
}

#[tokio::test]
async fn a_worker_that_died_with_a_notification_leaves_it_to_others() {
    let bed = Bed::start().await;
    let receiver = Receiver::start().await;
    receiver.origin.script("/hook", Script::new().silence());
    let first = Worker::start(bed.worker_config(&receiver.section(20))).await.unwrap();
    let hold = bed.held(1, &["A-1"]).await;
    assert_eq!(bed.pay(1, &hold).await.status, 201);
    wait::until("it to be sent", DEADLINE, || async { !receiver.got().is_empty() }).await.unwrap();
    drop(first);
    receiver.answers(200);
    receiver.origin.forget_requests();
    let second = Worker::start(bed.worker_config(&receiver.section(20))).await.unwrap();
    wait::until("the second to deliver", DEADLINE, || async {
        bed.sql(DUE).await;
        bed.sql("SELECT count(*) FROM webhook_deliveries").await == "0"
    })
    .await
    .unwrap();
    assert!(receiver.got().len() >= 2);
    assert_eq!(second.stop().await, 0);
}
