//! Paying by card: what the gateway, the seats and the buyer see when nothing breaks. I15, I17, F14.

use futures_util::future::join_all;
use serde_json::{Value, json};
use testbed::gateway::{Act, Gateway, Operation, Status, When};

use crate::audit::assert_settled;
use crate::bed::{self, Bed, DEADLINE, Wishes, paying_at};

/// The only payment in the gateway's book.
pub(crate) fn only(gateway: &Gateway) -> Status {
    let payments = gateway.payments();
    assert_eq!(payments.len(), 1, "{payments:?}");
    payments[0].status
}

#[tokio::test]
async fn a_card_pays_for_a_hold_and_leaves_the_wallet_alone() {
    let gateway = Gateway::start().await.unwrap();
    let bed = Bed::with(paying_at(&gateway)).await;
    let hold = bed.held(1, &["A-1", "A-2"]).await;
    let paid = bed.card(1, &hold, "tok_1").send().await;
    assert_eq!(paid.status, 201, "{}", paid.text());
    assert_eq!((&paid.json["payment"]["method"], &paid.json["amount"]), (&json!("card"), &json!(330_000)));
    let again = bed.card(1, &hold, "tok_1").send().await;
    assert_eq!((again.status, &again.json), (201, &paid.json));
    assert_eq!(bed.pay(1, &hold).await.json, paid.json, "paid is paid");
    assert_settled(&bed, &gateway).await;
    let taken = &gateway.payments()[0];
    assert_eq!((taken.status, taken.amount, taken.currency.as_str()), (Status::Captured, 330_000, "KRW"));
    assert_eq!((taken.source.as_deref(), json!(taken.id)), (Some("tok_1"), paid.json["payment"]["payment_id"].clone()));
    assert_eq!(bed.as_user(1, "GET", "/wallet").send().await.json["balance"], 1_000_000);

    // Without a source: the gateway knows the user's.
    let hold = bed.held(2, &["A-3"]).await;
    let body = json!({ "hold_id": hold, "payment": { "method": "card" } });
    assert_eq!(bed.as_user(2, "POST", "/reservations").json(&body).send().await.status, 201);
    assert_settled(&bed, &gateway).await;
}

#[tokio::test]
async fn a_declined_card_leaves_the_hold_for_another_try() {
    let gateway = Gateway::start().await.unwrap();
    let bed = Bed::with(paying_at(&gateway)).await;
    let hold = bed.held(1, &["A-1"]).await;
    gateway.script(Operation::Authorise, When::Before, Act::Decline("card-expired".to_owned()), 1);
    for _ in 0..2 {
        let declined = bed.card(1, &hold, "tok_1").key("k").send().await;
        declined.assert_problem(402, "payment-declined");
        assert_eq!(declined.json["reason"], "card-expired");
    }
    assert_eq!(gateway.payments().len(), 1, "the key has its answer");
    assert_eq!(bed.card(1, &hold, "tok_2").key("l").send().await.status, 201);
    assert_settled(&bed, &gateway).await;
}

#[tokio::test]
async fn a_cancelled_reservation_gives_the_money_back_where_it_came_from() {
    let gateway = Gateway::start().await.unwrap();
    let bed = Bed::with(paying_at(&gateway)).await;
    let hold = bed.held(1, &["A-1"]).await;
    let paid = bed.card(1, &hold, "tok_1").send().await;
    assert_settled(&bed, &gateway).await;
    let path = format!("/reservations/{}/cancel", paid.json["reservation_id"].as_str().unwrap());
    let cancelled = join_all((0..4).map(|_| bed.as_user(1, "POST", &path).send())).await;
    assert!(cancelled.iter().all(|answer| matches!(answer.status, 200 | 503)));
    assert!(cancelled.iter().any(|answer| answer.status == 200));
    assert_settled(&bed, &gateway).await;
    assert_eq!(only(&gateway), Status::Refunded);
    assert_eq!(bed.as_user(1, "GET", "/wallet").send().await.json["balance"], 1_000_000);
    // The seat is anybody's again.
    let hold = bed.held(2, &["A-1"]).await;
    assert_eq!(bed.card(2, &hold, "tok_2").send().await.status, 201);
    assert_settled(&bed, &gateway).await;
}

#[tokio::test]
async fn refused_ways_to_pay() {
    let id = "0190a2b0-0000-7000-8000-000000000000";
    let without = Bed::start().await;
    without.card(1, id, "tok").send().await.assert_problem(422, "payment-method-unavailable");
    let gateway = Gateway::start().await.unwrap();
    let bed = Bed::with(paying_at(&gateway)).await;
    let long = "x".repeat(256);
    for payment in [
        json!({ "method": "wallet", "source": "tok" }),
        json!({ "method": "card", "source": "" }),
        json!({ "method": "card", "source": "a b" }),
        json!({ "method": "card", "source": "a\u{0}" }),
        json!({ "method": "card", "source": "ü" }),
        json!({ "method": "card", "source": long }),
        json!({ "method": "card", "source": 7 }),
        json!({ "method": "card", "number": "4111111111111111" }),
    ] {
        let body = json!({ "hold_id": id, "payment": payment });
        bed.as_user(1, "POST", "/reservations").json(&body).send().await.assert_problem(422, "invalid-body");
    }
    bed.card(1, id, "tok").send().await.assert_problem(404, "hold-not-found");
    let hold = bed.held(1, &["A-1"]).await;
    bed.card(2, &hold, "tok").send().await.assert_problem(404, "hold-not-found");
    bed.run_out().await;
    bed.card(1, &hold, "tok").send().await.assert_problem(409, "hold-expired");
    assert_eq!(gateway.payments(), [], "nobody was asked for money");
}

#[tokio::test]
async fn i17_many_at_once_pay_once() {
    let gateway = Gateway::start().await.unwrap();
    let bed = Bed::with(paying_at(&gateway)).await;
    for (round, key) in ["a", ""].into_iter().enumerate() {
        let seat = format!("B-{}", round + 1);
        let hold = bed.held(1, &[&seat]).await;
        let ask = || {
            let request = bed.card(1, &hold, "tok");
            if key.is_empty() { request } else { request.key(key) }
        };
        let answers = join_all((0..16).map(|_| ask().send())).await;
        let paid: Vec<&Value> =
            answers.iter().filter(|answer| answer.status == 201).map(|answer| &answer.json).collect();
        assert!(!paid.is_empty() && paid.iter().all(|one| *one == paid[0]));
        for answer in answers.iter().filter(|answer| answer.status != 201) {
            // In progress, or the crowd at the one row was too large.
            assert!(matches!(answer.status, 409 | 503), "{}", answer.text());
        }
        assert_eq!(gateway.payments().len(), round + 1);
    }
    bed.recovered(&gateway).await;
}

#[tokio::test]
async fn refused_another_source_or_another_hold_while_one_is_being_paid() {
    let gateway = Gateway::start().await.unwrap();
    let bed = Bed::with(paying_at(&gateway)).await;
    let (hold, other) = (bed.held(1, &["A-1"]).await, bed.held(1, &["A-2"]).await);
    gateway.script(Operation::Authorise, When::Before, Act::Wait, 1);
    let meanwhile = async {
        gateway.waiting(DEADLINE).await.unwrap();
        let second = bed.card(1, &hold, "tok_2").send().await;
        second.assert_problem(409, "payment-in-progress");
        assert_eq!(second.header("retry-after"), "1");
        bed.card(1, &other, "tok_1").key("k").send().await.assert_problem(422, "idempotency-key-reused");
        gateway.go_on();
    };
    let (paid, ()) = tokio::join!(bed.card(1, &hold, "tok_1").key("k").send(), meanwhile);
    assert_eq!(paid.status, 201, "{}", paid.text());
    assert_settled(&bed, &gateway).await;
    assert_eq!(only(&gateway), Status::Captured);
}

/// Pays by card and does `meanwhile` when the money is set aside and the seats are not sold yet.
async fn while_authorised(
    bed: &Bed,
    gateway: &Gateway,
    hold: &str,
    meanwhile: impl Future<Output = ()>,
) -> crate::client::Answer {
    gateway.script(Operation::Authorise, When::After, Act::Wait, 1);
    let in_between = async {
        gateway.waiting(DEADLINE).await.unwrap();
        meanwhile.await;
        gateway.go_on();
    };
    tokio::join!(bed.card(1, hold, "tok").key("k").send(), in_between).0
}

#[tokio::test]
async fn f14_a_hold_runs_out_while_the_gateway_is_asked() {
    let gateway = Gateway::start().await.unwrap();
    let bed = Bed::with(paying_at(&gateway)).await;
    let hold = bed.held(1, &["A-1"]).await;
    let late = while_authorised(&bed, &gateway, &hold, async {
        bed.run_out().await;
        bed.held(2, &["A-1"]).await;
    })
    .await;
    late.assert_problem(409, "hold-expired");
    assert_settled(&bed, &gateway).await;
    assert_eq!(only(&gateway), Status::Voided);
    bed.card(1, &hold, "tok").key("k").send().await.assert_problem(409, "hold-expired");
    assert_eq!(gateway.payments().len(), 1);
}

#[tokio::test]
async fn f15_the_sweeper_ends_a_hold_while_the_gateway_is_asked() {
    let gateway = Gateway::start().await.unwrap();
    let bed = Bed::with(paying_at(&gateway)).await;
    let hold = bed.held(1, &["A-1"]).await;
    let late = while_authorised(&bed, &gateway, &hold, async {
        bed.run_out().await;
        let swept = bed::ledger(&bed.database.url()).sweep_holds(100).await.unwrap();
        assert_eq!(swept.expired, 1);
    })
    .await;
    late.assert_problem(409, "hold-expired");
    assert_settled(&bed, &gateway).await;
    assert_eq!(only(&gateway), Status::Voided);
}

#[tokio::test]
async fn a_hold_given_back_meanwhile_is_not_paid_for() {
    let gateway = Gateway::start().await.unwrap();
    let bed = Bed::with(paying_at(&gateway)).await;
    let hold = bed.held(1, &["A-1"]).await;
    let refused = while_authorised(&bed, &gateway, &hold, async {
        assert_eq!(bed.as_user(1, "DELETE", &format!("/holds/{hold}")).send().await.status, 204);
    })
    .await;
    refused.assert_problem(409, "hold-expired");
    assert_settled(&bed, &gateway).await;
    assert_eq!(only(&gateway), Status::Voided);
}

#[tokio::test]
async fn the_worker_and_a_slow_request_can_not_both_have_their_way() {
    let gateway = Gateway::start().await.unwrap();
    let bed = Bed::with(paying_at(&gateway)).await;
    let hold = bed.held(1, &["A-1"]).await;
    // Authorised, and by the time the request hears of it the worker has undone it.
    let late = while_authorised(&bed, &gateway, &hold, bed.recovered(&gateway)).await;
    late.assert_problem(503, "gateway-unavailable");
    assert_eq!(bed.sql("SELECT count(*) FROM payments").await, "0");
    assert_eq!(only(&gateway), Status::Voided);
    // Nothing was done under the key, so it may be used again, for an attempt of its own.
    assert_eq!(bed.card(1, &hold, "tok").key("k").send().await.status, 201);
    assert_settled(&bed, &gateway).await;
    assert_eq!(gateway.payments().len(), 2);
}

#[tokio::test]
async fn a_hold_paid_from_the_wallet_meanwhile_is_not_paid_by_card_too() {
    let gateway = Gateway::start().await.unwrap();
    let bed = Bed::with(paying_at(&gateway)).await;
    let hold = bed.held(1, &["A-1"]).await;
    let paid = while_authorised(&bed, &gateway, &hold, async {
        assert_eq!(bed.pay(1, &hold).await.status, 201);
    })
    .await;
    assert_eq!((paid.status, &paid.json["payment"]["method"]), (201, &json!("wallet")), "{}", paid.text());
    assert_settled(&bed, &gateway).await;
    assert_eq!(only(&gateway), Status::Voided);
}

#[tokio::test]
async fn the_limit_of_purchases_holds_for_cards_too() {
    let gateway = Gateway::start().await.unwrap();
    let bed = Bed::with(Wishes { max_purchases: 1, ..paying_at(&gateway) }).await;
    let (hold, other) = (bed.held(1, &["A-1"]).await, bed.held(1, &["A-2"]).await);
    let refused = while_authorised(&bed, &gateway, &hold, async {
        assert_eq!(bed.pay(1, &other).await.status, 201);
    })
    .await;
    refused.assert_problem(403, "purchase-limit-reached");
    assert_settled(&bed, &gateway).await;
    assert_eq!(only(&gateway), Status::Voided);
    // Known to have bought: the gateway is not even asked.
    bed.card(1, &hold, "tok").send().await.assert_problem(403, "purchase-limit-reached");
    assert_eq!(gateway.payments().len(), 1);
}
