//! Tickets over HTTP: the owner's only, the same each time, readable by a gate, not for what was cancelled.

use reservation_svc::ticket;
use reservation_svc::worker::Worker;
use testbed::wait;

use crate::bed::{Bed, DEADLINE, Wishes};

async fn with_tickets() -> Bed {
    Bed::with(Wishes { tickets: true, ..Wishes::default() }).await
}

async fn reserved(bed: &Bed, user: i64, seats: &[&str]) -> String {
    let hold = bed.held(user, seats).await;
    bed.pay(user, &hold).await.json["reservation_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_ticket_is_the_owners_and_a_gate_can_check_it() {
    let bed = with_tickets().await;
    let reservation = reserved(&bed, 1, &["A-1", "A-2"]).await;
    let path = format!("/reservations/{reservation}/ticket");
    let answer = bed.as_user(1, "GET", &path).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("cache-control"), "private, no-store");
    assert!(answer.json["qr_svg"].as_str().unwrap().contains("<svg"));

    // The gate has only what is public.
    let keys = bed.client.request("GET", "/.well-known/ticket-keys.json").send().await;
    let claims = ticket::check(answer.json["token"].as_str().unwrap(), &serde_json::from_slice(&keys.bytes).unwrap());
    let claims = claims.unwrap();
    assert_eq!((claims.sub.as_str(), claims.schedule_id), (reservation.as_str(), 1));
    assert_eq!(claims.seats, ["A-1", "A-2"]);

    let again = bed.as_user(1, "GET", &path).send().await;
    assert_eq!(again.json, answer.json);
    let picture = bed.as_user(1, "GET", &path).header("accept", "image/svg+xml").send().await;
    assert_eq!(picture.header("content-type"), "image/svg+xml");
    assert_eq!(picture.text(), answer.json["qr_svg"]);
    assert_eq!(bed.sql("SELECT count(*) FROM outbox WHERE topic = 'ticket.issued'").await, "1");

    bed.as_user(2, "GET", &path).send().await.assert_problem(404, "reservation-not-found");
    bed.client.request("GET", &path).send().await.assert_problem(403, "queue-token-required");
    let nobody = bed.client.request("GET", &path).header("x-queue-token", &bed.token("v1")).send().await;
    nobody.assert_problem(401, "unauthorized");
    let unknown = "/reservations/0190a2b0-0000-7000-8000-000000000000/ticket";
    bed.as_user(1, "GET", unknown).send().await.assert_problem(404, "reservation-not-found");
    bed.as_user(1, "GET", "/reservations/seven/ticket").send().await.assert_problem(404, "not-found");

    bed.as_user(1, "POST", &format!("/reservations/{reservation}/cancel")).send().await;
    bed.as_user(1, "GET", &path).send().await.assert_problem(409, "reservation-cancelled");
}

#[tokio::test]
async fn without_a_key_there_are_no_tickets() {
    let bed = Bed::start().await;
    let reservation = reserved(&bed, 1, &["A-1"]).await;
    bed.as_user(1, "GET", &format!("/reservations/{reservation}/ticket")).send().await.assert_problem(404, "not-found");
    let keys = bed.client.request("GET", "/.well-known/ticket-keys.json").send().await;
    keys.assert_problem(404, "not-found");
}

#[tokio::test]
async fn the_worker_issues_tickets_once_and_not_for_what_was_cancelled() {
    let bed = with_tickets().await;
    let cancelled = reserved(&bed, 1, &["A-1"]).await;
    bed.as_user(1, "POST", &format!("/reservations/{cancelled}/cancel")).send().await;
    let standing = reserved(&bed, 2, &["A-2"]).await;
    let asked_for = reserved(&bed, 3, &["A-3"]).await;
    bed.as_user(3, "GET", &format!("/reservations/{asked_for}/ticket")).send().await;
    let config = format!("[tickets]\nkey_file = {:?}\n", bed.ticket_key());
    let one = Worker::start(bed.worker_config(&config)).await.unwrap();
    let two = Worker::start(bed.worker_config(&config)).await.unwrap();
    let pending = "SELECT count(*) FROM outbox WHERE relayed_at IS NULL";
    wait::until("the events", DEADLINE, || async { bed.sql(pending).await == "0" }).await.unwrap();
    assert_eq!((one.stop().await, two.stop().await), (0, 0));
    let issued =
        bed.sql("SELECT string_agg(reservation_id::text, ' ' ORDER BY schedule_id, issued_at) FROM tickets").await;
    assert_eq!(issued, format!("{asked_for} {standing}"));
    assert_eq!(bed.sql("SELECT count(*) FROM outbox WHERE topic = 'ticket.issued'").await, "2");

    bed.as_user(2, "POST", &format!("/reservations/{standing}/cancel")).send().await;
    let revoked = crate::bed::ledger(&bed.database.url()).revoked_tickets(1).await.unwrap().unwrap();
    assert_eq!(revoked.iter().map(ToString::to_string).collect::<Vec<_>>(), [standing]);
}
