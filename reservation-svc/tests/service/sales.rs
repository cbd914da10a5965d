//! Sales windows: nobody holds a seat outside of them, and who was in time can still pay.

use serde_json::{Value, json};

use crate::bed::Bed;

async fn window(bed: &Bed, start: &str, end: &str) {
    bed.sql(&format!("UPDATE concert_schedules SET sales_start = {start}, sales_end = {end} WHERE id = 1")).await;
}

#[tokio::test]
async fn refused_holds_before_and_after_the_sale() {
    let bed = Bed::start().await;
    let (past, future) = ("now() - interval '1 hour'", "now() + interval '1 hour'");
    let earlier = "now() - interval '2 hours'";
    for (start, end, open) in [
        ("NULL", "NULL", true),
        (past, "NULL", true),
        (past, future, true),
        ("NULL", future, true),
        (future, "NULL", false),
        ("NULL", past, false),
        (earlier, past, false),
    ] {
        window(&bed, start, end).await;
        let best = json!({ "count": 1, "section": "R" });
        let best = bed.as_user(1, "POST", "/schedules/1/holds").json(&best).send().await;
        let named = bed.hold(1, &["A-1"]).await;
        for answer in [best, named] {
            if open {
                assert_eq!(answer.status, 201, "{start} to {end}: {}", answer.text());
                let hold = answer.json["hold_id"].as_str().unwrap();
                assert_eq!(bed.as_user(1, "DELETE", &format!("/holds/{hold}")).send().await.status, 204);
            } else {
                answer.assert_problem(409, "sales-not-open");
                assert_eq!(answer.json["sales_start"] == Value::Null, start == "NULL");
                assert!(answer.json["sales_end"].is_string(), "its own, or when the evening begins");
            }
        }
    }
    let elsewhere = bed.as_user(1, "POST", "/schedules/2/holds").json(&json!({ "seats": ["A-1"] }));
    assert_eq!(elsewhere.send().await.status, 201, "another evening has a window of its own");
    let schedules = bed.as_user(1, "GET", "/concerts/1/schedules").send().await;
    assert!(schedules.json["schedules"][0]["sales_end"].is_string());
    assert_eq!(schedules.json["schedules"][1]["sales_end"], Value::Null);
    bed.audit().await;
}

#[tokio::test]
async fn a_hold_made_in_time_is_paid_after_the_end_and_an_early_key_is_good_later() {
    let bed = Bed::start().await;
    let hold = bed.held(1, &["A-1"]).await;
    window(&bed, "NULL", "now()").await;
    assert_eq!(bed.pay(1, &hold).await.status, 201);
    let ask = || bed.as_user(2, "POST", "/schedules/1/holds").key("k").json(&json!({ "seats": ["A-2"] })).send();
    window(&bed, "now() + interval '1 hour'", "NULL").await;
    ask().await.assert_problem(409, "sales-not-open");
    window(&bed, "now()", "NULL").await;
    assert_eq!(ask().await.status, 201);
    bed.audit().await;
}

#[tokio::test]
async fn refused_windows_that_end_before_they_begin() {
    let bed = Bed::start().await;
    let wrong = "UPDATE concert_schedules SET sales_start = now(), sales_end = now() - interval '1 day' WHERE id = 1";
    let refused = bed.database.sql(wrong).await.unwrap_err().to_string();
    assert!(refused.contains("concert_schedules_sales_in_order"), "{refused}");
}

#[tokio::test]
async fn refused_holds_of_an_evening_that_has_begun() {
    let bed = Bed::start().await;
    let hold = bed.held(2, &["B-1"]).await;
    bed.sql("UPDATE concert_schedules SET starts_at = now() - interval '1 second' WHERE id = 1").await;
    let best = json!({ "count": 1, "section": "R" });
    let best = bed.as_user(1, "POST", "/schedules/1/holds").json(&best).send().await;
    for answer in [best, bed.hold(1, &["A-1"]).await] {
        answer.assert_problem(409, "sales-not-open");
        assert!(answer.json["detail"].as_str().unwrap().starts_with("Seats were on sale until "), "{}", answer.text());
    }
    assert_eq!(bed.pay(2, &hold).await.status, 201, "who was in time can still pay");
    // Sold at the door, where an operator says so.
    window(&bed, "NULL", "now() + interval '1 hour'").await;
    bed.held(1, &["A-1"]).await;
    bed.audit().await;
}
