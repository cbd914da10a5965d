//! A gateway that fails, hangs up, is slow, answers twice or dies, at every step of a payment.

use futures_util::future::join_all;
use testbed::gateway::{Act, Gateway, Operation, Status, When};
use testbed::wait;

use crate::audit::assert_settled;
use crate::bed::{Bed, DEADLINE, Wishes, paying_at};
use crate::card::only;
use crate::client::Client;

#[tokio::test]
async fn f5_an_authorisation_whose_reply_is_lost_is_continued_by_the_same_request() {
    let gateway = Gateway::start().await.unwrap();
    let bed = Bed::with(paying_at(&gateway)).await;
    for (seat, when, act) in [
        ("A-1", When::Before, Act::HangUp),
        ("A-2", When::After, Act::HangUp),
        ("A-3", When::Before, Act::Fail),
        ("A-4", When::After, Act::Fail),
        ("A-5", When::Before, Act::Die),
        ("A-6", When::After, Act::Die),
    ] {
        let hold = bed.held(1, &[seat]).await;
        gateway.script(Operation::Authorise, when, act.clone(), 1);
        let lost = bed.card(1, &hold, "tok").key(seat).send().await;
        lost.assert_problem(503, "gateway-unavailable");
        assert_eq!(lost.header("retry-after"), "1");
        if act == Act::Die {
            gateway.restart(DEADLINE).await.unwrap();
        }
        let paid = bed.card(1, &hold, "tok").key(seat).send().await;
        assert_eq!(paid.status, 201, "{seat} {when:?} {act:?}: {}", paid.text());
        assert_settled(&bed, &gateway).await;
    }
    assert_eq!(gateway.payments().len(), 6, "one a hold");
}

#[tokio::test]
async fn what_nobody_asks_for_again_is_let_go() {
    let gateway = Gateway::start().await.unwrap();
    let bed = Bed::with(paying_at(&gateway)).await;
    for (user, when) in [(1, When::Before), (2, When::After)] {
        let hold = bed.held(user, &[&format!("A-{user}")]).await;
        gateway.script(Operation::Authorise, when, Act::HangUp, 1);
        bed.card(user, &hold, "tok").key("k").send().await.assert_problem(503, "gateway-unavailable");
    }
    bed.recovered(&gateway).await;
    let standing: Vec<Status> = gateway.payments().iter().map(|payment| payment.status).collect();
    assert_eq!(standing, [Status::Voided, Status::Voided]);
    assert_eq!(bed.sql("SELECT count(*) FROM payments").await, "0");
    // The key is as free as the hold: nothing was done under it.
    let hold = bed.sql("SELECT id FROM seat_holds WHERE user_id = 1").await;
    assert_eq!(bed.card(1, &hold, "tok").key("k").send().await.status, 201);
    assert_settled(&bed, &gateway).await;
}

#[tokio::test]
async fn an_authorisation_that_comes_after_its_void_finds_the_door_shut() {
    let gateway = Gateway::start().await.unwrap();
    let bed = Bed::with(Wishes { gateway_timeout_ms: Some(100), ..paying_at(&gateway) }).await;
    let hold = bed.held(1, &["A-1"]).await;
    gateway.script(Operation::Authorise, When::Before, Act::Wait, 1);
    bed.card(1, &hold, "tok").send().await.assert_problem(503, "gateway-unavailable");
    gateway.waiting(DEADLINE).await.unwrap();
    bed.recovered(&gateway).await;
    gateway.go_on();
    wait::until("the late authorisation", DEADLINE, || async { !gateway.is_waiting() }).await.unwrap();
    assert_eq!(only(&gateway), Status::Voided);
    assert_settled(&bed, &gateway).await;
}

#[tokio::test]
async fn a_gateway_that_dies_between_authorise_and_capture_is_paid_later() {
    for (when, act) in
        [(When::Before, Act::Die), (When::After, Act::Die), (When::Before, Act::Fail), (When::After, Act::HangUp)]
    {
        let gateway = Gateway::start().await.unwrap();
        let bed = Bed::with(paying_at(&gateway)).await;
        let hold = bed.held(1, &["A-1"]).await;
        gateway.script(Operation::Capture, when, act.clone(), 1);
        let paid = bed.card(1, &hold, "tok").send().await;
        assert_eq!(paid.status, 201, "the seats are the buyer's: {}", paid.text());
        if act == Act::Die {
            wait::until("the gateway to die", DEADLINE, || async { gateway.is_dead() }).await.unwrap();
            gateway.restart(DEADLINE).await.unwrap();
        } else {
            let tried = "SELECT count(*) FROM gateway_payments WHERE state = 'COMMITTED'";
            assert_eq!(bed.sql(tried).await, "1", "{when:?} {act:?}");
        }
        bed.recovered(&gateway).await;
        assert_eq!(only(&gateway), Status::Captured, "{when:?} {act:?}");
    }
}

#[tokio::test]
async fn a_reservation_cancelled_before_its_capture_costs_nothing() {
    let gateway = Gateway::start().await.unwrap();
    let bed = Bed::with(paying_at(&gateway)).await;
    for (user, when) in [(1, When::Before), (2, When::After)] {
        let hold = bed.held(user, &[&format!("A-{user}")]).await;
        gateway.script(Operation::Capture, when, Act::Fail, 1);
        gateway.script(Operation::Ask, When::Before, Act::Fail, 1);
        let paid = bed.card(user, &hold, "tok").send().await;
        let path = format!("/reservations/{}/cancel", paid.json["reservation_id"].as_str().unwrap());
        assert_eq!(bed.as_user(user, "POST", &path).send().await.status, 200);
    }
    bed.recovered(&gateway).await;
    for payment in gateway.payments() {
        assert!(matches!(payment.status, Status::Voided | Status::Refunded), "{payment:?}");
    }
}

#[tokio::test]
async fn a_gateway_that_answers_twice_is_paid_once() {
    let gateway = Gateway::start().await.unwrap();
    let bed = Bed::with(paying_at(&gateway)).await;
    for operation in [Operation::Authorise, Operation::Capture] {
        gateway.script(operation, When::Before, Act::Twice, 4);
    }
    for user in 1..=4 {
        let hold = bed.held(user, &[&format!("A-{user}")]).await;
        let paid = bed.card(user, &hold, "tok").send().await;
        assert_eq!(paid.status, 201, "{}", paid.text());
        assert_eq!(paid.json["hold_id"], hold);
    }
    bed.recovered(&gateway).await;
    assert!(gateway.payments().iter().all(|payment| payment.status == Status::Captured));
    assert_eq!(gateway.payments().len(), 4);
}

#[tokio::test]
async fn a_silent_gateway_is_left_alone_and_asked_again() {
    let gateway = Gateway::start().await.unwrap();
    let bed = Bed::with(Wishes { gateway_timeout_ms: Some(100), ..paying_at(&gateway) }).await;
    let mut holds = Vec::new();
    for user in 1..=30 {
        holds.push((user, bed.held(user, &[&format!("C-{user}")]).await));
    }
    gateway.script(Operation::Authorise, When::Before, Act::Wait, 1_000);
    let answers = join_all(holds.iter().map(|(user, hold)| bed.card(*user, hold, "tok").send())).await;
    for answer in &answers {
        answer.assert_problem(503, "gateway-unavailable");
    }
    let (user, hold) = &holds[0];
    // Left alone: nothing is written down for a call that is not made.
    let mut seat = 0;
    wait::until("the breaker", DEADLINE, || {
        seat += 1;
        let (bed, seat) = (&bed, seat);
        async move {
            let hold = bed.held(100 + seat, &[&format!("D-{seat}")]).await;
            bed.card(100 + seat, &hold, "tok").send().await.assert_problem(503, "gateway-unavailable");
            bed.sql(&format!("SELECT count(*) FROM gateway_payments WHERE hold_id = '{hold}'")).await == "0"
        }
    })
    .await
    .unwrap();
    assert_eq!(bed.sql("SELECT count(*) FROM payments").await, "0");
    // Wallets are not touched by it.
    assert_eq!(bed.pay(30, &holds[29].1).await.status, 201);
    for _ in 0..2_000 {
        gateway.go_on();
    }
    wait::until("a payment", DEADLINE, || async {
        let paid = bed.card(*user, hold, "tok").send().await;
        assert!(matches!(paid.status, 201 | 503), "{}", paid.text());
        paid.status == 201
    })
    .await
    .unwrap();
    bed.recovered(&gateway).await;
    let captured = gateway.payments().iter().filter(|payment| payment.status == Status::Captured).count();
    assert_eq!(captured, 1);
}

#[tokio::test]
async fn refused_by_a_gateway_that_does_not_know_us() {
    let gateway = Gateway::start().await.unwrap();
    let stranger = (gateway.url(), "0".repeat(64));
    let bed = Bed::with(Wishes { gateway: Some(stranger), ..Wishes::default() }).await;
    let hold = bed.held(1, &["A-1"]).await;
    let answer = bed.card(1, &hold, "tok").send().await;
    answer.assert_problem(503, "gateway-unavailable");
    assert!(!answer.text().contains("401") && !answer.text().contains("0000"), "{}", answer.text());
    assert_eq!(bed.pay(1, &hold).await.status, 201);
    bed.audit().await;
}

#[tokio::test]
async fn a_buyer_whom_the_gateway_does_not_understand_stops_nobody_elses_payment() {
    let gateway = Gateway::start().await.unwrap();
    let bed = Bed::with(paying_at(&gateway)).await;
    let (one, other) = (bed.held(1, &["A-1"]).await, bed.held(2, &["A-2"]).await);
    // More than it takes to leave a gateway alone that is away.
    for (try_, status) in [400, 422, 415, 422, 413, 422, 451, 422].into_iter().enumerate() {
        gateway.script(Operation::Authorise, When::Before, Act::Answer(status), 1);
        let declined = bed.card(1, &one, &format!("tok_{try_}")).send().await;
        declined.assert_problem(402, "payment-declined");
        assert_eq!(declined.json["reason"], "refused", "{status}");
    }
    // Neither an answer that is against the contract, about one payment.
    gateway.script(Operation::Authorise, When::Before, Act::Answer(200), 8);
    for _ in 0..8 {
        bed.card(1, &one, "tok").send().await.assert_problem(503, "gateway-unavailable");
    }
    let paid = bed.card(2, &other, "tok").send().await;
    assert_eq!(paid.status, 201, "{}", paid.text());
    let metrics = Client::to(bed.service.admin_addr()).request("GET", "/metrics").send().await.text();
    assert!(!metrics.contains(r#"outcome="skipped""#), "{metrics}");
    bed.recovered(&gateway).await;
}

#[tokio::test]
async fn a_refusal_after_the_money_was_set_aside_is_not_believed() {
    let gateway = Gateway::start().await.unwrap();
    let bed = Bed::with(paying_at(&gateway)).await;
    let hold = bed.held(1, &["A-1"]).await;
    gateway.script(Operation::Authorise, When::After, Act::Answer(422), 1);
    bed.card(1, &hold, "tok").send().await.assert_problem(503, "gateway-unavailable");
    assert_eq!(only(&gateway), Status::Authorised);
    bed.recovered(&gateway).await;
    assert_eq!(only(&gateway), Status::Voided, "let go, not forgotten");
}

#[tokio::test]
async fn a_capture_that_a_cancellation_overtook_is_no_stuck_payment() {
    let gateway = Gateway::start().await.unwrap();
    let bed = Bed::with(paying_at(&gateway)).await;
    let hold = bed.held(1, &["A-1"]).await;
    gateway.script(Operation::Capture, When::Before, Act::Wait, 1);
    let paid = bed.card(1, &hold, "tok").send().await;
    gateway.waiting(DEADLINE).await.unwrap();
    let path = format!("/reservations/{}/cancel", paid.json["reservation_id"].as_str().unwrap());
    assert_eq!(bed.as_user(1, "POST", &path).send().await.status, 200);
    wait::until("the void", DEADLINE, || async { only(&gateway) == Status::Voided }).await.unwrap();
    gateway.go_on();
    let settled = || async {
        let metrics = Client::to(bed.service.admin_addr()).request("GET", "/metrics").send().await.text();
        let line = |line: &&str| line.starts_with("gateway_settlements_total") && line.contains("owed=\"capture\"");
        metrics.lines().find(line).map(str::to_owned)
    };
    let settled = wait::until_some("the capture's end", DEADLINE, settled).await.unwrap();
    assert_eq!(settled, r#"gateway_settlements_total{outcome="moved_on",owed="capture"} 1"#);
    bed.recovered(&gateway).await;
}
