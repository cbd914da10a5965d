//! Limits: requests a user, seats a user, purchases a queue session; in a crowd too.

use futures_util::future::join_all;
use testbed::gateway::{Gateway, Status};

use crate::bed::{Bed, Wishes, paying_at};
use crate::client::Client;

#[tokio::test]
async fn a_user_who_sends_too_many_requests_is_told_when_to_come_back() {
    let bed = Bed::with(Wishes { requests_per_s: 5, ..Wishes::default() }).await;
    let first = bed.as_user(1, "GET", "/wallet").send().await;
    assert_eq!(first.status, 200);
    assert_eq!(first.header("ratelimit-policy"), r#""user";q=5;w=1"#);
    assert_eq!(first.header("ratelimit"), r#""user";r=4;t=1"#);
    let answers = join_all((0..100).map(|_| bed.as_user(1, "GET", "/wallet").send())).await;
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status != 200).collect();
    assert!(!refused.is_empty());
    for answer in refused {
        answer.assert_problem(429, "too-many-requests");
        assert_eq!(answer.header("retry-after"), "1");
        assert_eq!(answer.header("ratelimit"), r#""user";r=0;t=1"#);
    }
    // Others, and what needs no user, go on.
    assert_eq!(bed.as_user(2, "GET", "/wallet").send().await.status, 200);
    let open = bed.client.request("GET", "/concerts").send().await;
    assert_eq!((open.status, open.header("ratelimit")), (200, ""));
    let unknown = bed.client.request("GET", "/wallet").send().await;
    assert_eq!((unknown.status, unknown.header("ratelimit")), (401, ""), "nobody is named by a bad token");
    let metrics = Client::to(bed.service.admin_addr()).request("GET", "/metrics").send().await.text();
    assert!(metrics.contains("http_rate_limited_total "), "{metrics}");
}

#[tokio::test]
async fn refused_requests_have_no_effect() {
    let bed = Bed::with(Wishes { requests_per_s: 1, ..Wishes::default() }).await;
    let answers = join_all((1..=40).map(|seat| {
        let (bed, seat) = (&bed, format!("A-{seat}"));
        async move { bed.hold(1, &[&seat]).await }
    }))
    .await;
    let held = answers.iter().filter(|answer| answer.status == 201).count();
    assert!(held >= 1 && answers.iter().any(|answer| answer.status == 429));
    assert!(answers.iter().all(|answer| matches!(answer.status, 201 | 422 | 429)));
    assert_eq!(bed.sql("SELECT count(*) FROM seat_holds").await, held.to_string());
    bed.audit().await;
}

#[tokio::test]
async fn a_crowd_of_holds_of_one_user_stays_under_the_limit_of_seats() {
    let bed = Bed::with(Wishes { holds: "max_seats = 2\nmax_per_user = 5".to_owned(), ..Wishes::default() }).await;
    for user in 1..=3 {
        let row = ["F", "G", "H"][user - 1];
        let user = i64::try_from(user).unwrap();
        let answers = join_all((1..=20).map(|n| {
            let (one, two) = (format!("{row}-{}", 2 * n - 1), format!("{row}-{}", 2 * n));
            let bed = &bed;
            async move { bed.hold(user, &[&one, &two]).await }
        }))
        .await;
        let held = answers.iter().filter(|answer| answer.status == 201).count();
        // 503: longer in line behind the user's own holds than anybody should be; nothing was done then.
        assert!(answers.iter().all(|answer| matches!(answer.status, 201 | 409 | 422 | 503)));
        assert!((1..=2).contains(&held), "{held} holds of two seats");
        let live = format!("SELECT sum(cardinality(seat_ids)) <= 5 FROM seat_holds WHERE user_id = {user}");
        assert_eq!(bed.sql(&live).await, "t");
    }
    bed.audit().await;
}

#[tokio::test]
async fn a_crowd_of_payments_in_one_queue_session_buys_as_often_as_it_may() {
    let gateway = Gateway::start().await.unwrap();
    let bed = Bed::with(Wishes { max_purchases: 3, ..paying_at(&gateway) }).await;
    let mut holds = Vec::new();
    for user in 1..=16 {
        holds.push((user, bed.held(user, &[&format!("I-{user}")]).await));
    }
    // All with the same queue session, half of them by card.
    let answers = join_all(holds.iter().map(async |(user, hold)| {
        if user % 2 == 0 { bed.card(*user, hold, "tok").send().await } else { bed.pay(*user, hold).await }
    }))
    .await;
    let paid = answers.iter().filter(|answer| answer.status == 201).count();
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        if answer.status != 503 {
            answer.assert_problem(403, "purchase-limit-reached");
        }
    }
    assert!((1..=3).contains(&paid), "{paid}");
    bed.recovered(&gateway).await;
    let sold = bed.sql("SELECT count(*), (SELECT max(purchases) FROM queue_tokens) FROM payments").await;
    assert_eq!(sold, format!("{paid}|{paid}"));
    let captured = gateway.payments().iter().filter(|payment| payment.status == Status::Captured).count();
    assert_eq!(bed.sql("SELECT count(*) FROM payments WHERE method = 'card'").await, captured.to_string());
}
