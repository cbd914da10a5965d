//! What clients send wrong, and what they are told: every answer a problem with a type.

use serde_json::json;

use crate::bed::{self, Bed};

#[tokio::test]
async fn refused_bodies() {
    let bed = Bed::start().await;
    const HOLDS: &str = "/schedules/1/holds";
    const CHARGES: &str = "/wallet/charges";
    const RESERVATIONS: &str = "/reservations";
    let id = "0190a2b0-0000-7000-8000-000000000000";
    let cases = [
        (HOLDS, "".to_owned(), 400, "malformed-json"),
        (HOLDS, "{".to_owned(), 400, "malformed-json"),
        (HOLDS, "\u{0}".to_owned(), 400, "malformed-json"),
        (HOLDS, r#"{"seats":["A-1"]} x"#.to_owned(), 400, "malformed-json"),
        (HOLDS, "[]".to_owned(), 422, "invalid-body"),
        (HOLDS, "null".to_owned(), 422, "invalid-body"),
        (HOLDS, "{}".to_owned(), 422, "invalid-body"),
        (HOLDS, r#"{"seats":"A-1"}"#.to_owned(), 422, "invalid-body"),
        (HOLDS, r#"{"seats":[1]}"#.to_owned(), 422, "invalid-body"),
        (HOLDS, r#"{"seats":["A-1"],"price":1}"#.to_owned(), 422, "invalid-body"),
        (HOLDS, r#"{"seats":["A-1"],"seats":["A-2"]}"#.to_owned(), 422, "invalid-body"),
        (HOLDS, r#"{"seats":[]}"#.to_owned(), 422, "invalid-seats"),
        (HOLDS, r#"{"seats":["A-1","A-1"]}"#.to_owned(), 422, "invalid-seats"),
        (HOLDS, r#"{"seats":["A-1\u0000"]}"#.to_owned(), 422, "invalid-seats"),
        (HOLDS, r#"{"seats":[""]}"#.to_owned(), 422, "invalid-seats"),
        (HOLDS, r#"{"seats":["'; DROP TABLE users; --"]}"#.to_owned(), 422, "invalid-seats"),
        (HOLDS, r#"{"seats":["1","2","3","4","5"]}"#.to_owned(), 422, "too-many-seats"),
        (HOLDS, r#"{"seats":["NO-1"]}"#.to_owned(), 404, "seat-not-found"),
        ("/schedules/99/holds", r#"{"seats":["A-1"]}"#.to_owned(), 404, "schedule-not-found"),
        ("/schedules/x/holds", r#"{"seats":["A-1"]}"#.to_owned(), 404, "not-found"),
        (CHARGES, r#"{"amount":0}"#.to_owned(), 422, "invalid-amount"),
        (CHARGES, r#"{"amount":-5}"#.to_owned(), 422, "invalid-amount"),
        (CHARGES, r#"{"amount":1000000001}"#.to_owned(), 422, "invalid-amount"),
        (CHARGES, r#"{"amount":1.5}"#.to_owned(), 422, "invalid-body"),
        (CHARGES, r#"{"amount":"5"}"#.to_owned(), 422, "invalid-body"),
        (CHARGES, r#"{"amount":99999999999999999999999}"#.to_owned(), 422, "invalid-body"),
        (CHARGES, r#"{"amount":null}"#.to_owned(), 422, "invalid-body"),
        (RESERVATIONS, r#"{"hold_id":"x","payment":{"method":"wallet"}}"#.to_owned(), 422, "invalid-body"),
        (RESERVATIONS, format!(r#"{{"hold_id":"{id}"}}"#), 422, "invalid-body"),
        (RESERVATIONS, format!(r#"{{"hold_id":"{id}","payment":{{"method":"gold"}}}}"#), 422, "invalid-body"),
        (RESERVATIONS, format!(r#"{{"hold_id":"{id}","payment":{{"method":null}}}}"#), 422, "invalid-body"),
        (RESERVATIONS, format!(r#"{{"hold_id":"{id}","payment":{{"method":7}}}}"#), 422, "invalid-body"),
        (RESERVATIONS, format!(r#"{{"hold_id":"{id}","payment":{{"method":{{}}}}}}"#), 422, "invalid-body"),
        (
            RESERVATIONS,
            format!(r#"{{"hold_id":"{id}","payment":{{"method":{{"wallet":null}}}}}}"#),
            422,
            "invalid-body",
        ),
        (RESERVATIONS, r#"{"hold_id":null,"payment":null}"#.to_owned(), 422, "invalid-body"),
        (RESERVATIONS, format!(r#"{{"hold_id":"{id}","payment":{{"method":nul}}}}"#), 400, "malformed-json"),
        (RESERVATIONS, format!(r#"{{"hold_id":"{id}","payment":{{"method":"wallet","x":1}}}}"#), 422, "invalid-body"),
        (RESERVATIONS, format!(r#"{{"hold_id":"{id}","payment":{{"method":"wallet"}}}}"#), 404, "hold-not-found"),
        (CHARGES, format!(r#"{{"amount":1,"pad":"{}"}}"#, "x".repeat(70_000)), 413, "body-too-large"),
        (CHARGES, format!("{}1{}", "[".repeat(1_000), "]".repeat(1_000)), 422, "invalid-body"),
        (CHARGES, "[50000]".to_owned(), 422, "invalid-body"),
        (HOLDS, r#"[["A-1"]]"#.to_owned(), 422, "invalid-body"),
        (RESERVATIONS, format!(r#"{{"hold_id":"{id}","payment":["wallet"]}}"#), 422, "invalid-body"),
    ];
    for (path, body, status, kind) in cases {
        let request = bed.as_user(1, "POST", path).header("content-type", "application/json; charset=utf-8");
        let answer = request.body(body.clone()).send().await;
        assert_eq!(answer.json["type"], format!("/problems/{kind}"), "{path} {body:.60}: {}", answer.text());
        answer.assert_problem(status, kind);
    }
    for kind in ["", "text/plain", "application/x-www-form-urlencoded"] {
        let request = bed.as_user(1, "POST", CHARGES).instead("content-type", kind).body(r#"{"amount":1}"#);
        request.send().await.assert_problem(415, "unsupported-media-type");
    }
    let bytes: &[u8] = b"{\"amount\":\xff}";
    let request = bed.as_user(1, "POST", CHARGES).header("content-type", "application/json").body(bytes);
    request.send().await.assert_problem(400, "malformed-json");
    assert_eq!(bed.as_user(1, "GET", "/wallet").send().await.json["balance"], 1_000_000);
}

#[tokio::test]
async fn refused_paths_methods_queries_and_keys() {
    let bed = Bed::start().await;
    for path in [
        "/nothing",
        "/concerts/",
        "/concerts/0/schedules",
        "/concerts/-1/schedules",
        "/concerts/x/schedules",
        "/concerts/%00/schedules",
        "/concerts/%ff/schedules",
        "/concerts/99999999999999999999/schedules",
        "/schedules/1.5/seats",
        "/holds/x",
        "/holds/1",
        "/reservations/%2e%2e",
    ] {
        bed.as_user(1, "GET", path).send().await.assert_problem(404, "not-found");
    }
    bed.as_user(1, "GET", "/concerts/9/schedules").send().await.assert_problem(404, "concert-not-found");
    bed.as_user(1, "GET", "/schedules/9/seats").send().await.assert_problem(404, "schedule-not-found");
    for (method, path) in
        [("DELETE", "/concerts"), ("PUT", "/wallet/charges"), ("PATCH", "/holds/x"), ("BREW", "/wallet")]
    {
        let answer = bed.as_user(1, method, path).send().await;
        answer.assert_problem(405, "method-not-allowed");
        assert!(!answer.header("allow").is_empty(), "{method} {path}");
    }
    for query in ["limit=0", "limit=201", "limit=x", "limit=-1", "cursor=x", "cursor=", "limit=1&limit=2", "limit=%00"]
    {
        let path = format!("/wallet/transactions?{query}");
        bed.as_user(1, "GET", &path).send().await.assert_problem(422, "invalid-query");
        bed.as_user(1, "GET", &format!("/reservations?{query}")).send().await.assert_problem(422, "invalid-query");
    }
    for key in ["", "a\tb", &"k".repeat(256)] {
        let request = bed.as_user(1, "POST", "/wallet/charges").key(key).json(&json!({ "amount": 1 }));
        request.send().await.assert_problem(422, "invalid-idempotency-key");
    }
    let twice = bed.as_user(1, "POST", "/wallet/charges").key("a").key("b").json(&json!({ "amount": 1 }));
    twice.send().await.assert_problem(422, "invalid-idempotency-key");
}

#[tokio::test]
async fn a_wallet_has_a_bound() {
    let bed = Bed::start().await;
    bed.sql(
        "WITH w AS (UPDATE wallets SET balance = 1000000000000000 WHERE id = 1 RETURNING id, balance)
             INSERT INTO wallet_transactions (wallet_id, kind, amount, balance_after)
             SELECT id, 'charge', balance - 1000000, balance FROM w",
    )
    .await;
    let answer = bed.as_user(1, "POST", "/wallet/charges").json(&json!({ "amount": 1 })).send().await;
    answer.assert_problem(422, "balance-limit-reached");
    bed.audit().await;
}

#[tokio::test]
async fn the_api_describes_itself_without_anything_from_outside() {
    let bed = Bed::start().await;
    let document = bed.client.request("GET", "/openapi.json").send().await;
    assert_eq!(document.status, 200);
    for (path, method) in [
        ("/concerts", "get"),
        ("/concerts/{id}/schedules", "get"),
        ("/schedules/{id}/seats", "get"),
        ("/schedules/{id}/holds", "post"),
        ("/holds/{id}", "get"),
        ("/holds/{id}", "delete"),
        ("/reservations", "get"),
        ("/reservations", "post"),
        ("/reservations/{id}", "get"),
        ("/wallet", "get"),
        ("/wallet/charges", "post"),
        ("/wallet/transactions", "get"),
    ] {
        assert!(document.json["paths"][path][method].is_object(), "{method} {path}");
    }
    let page = bed.client.request("GET", "/docs/").send().await;
    assert_eq!(page.status, 200);
    for asset in ["swagger-ui.css", "swagger-ui-bundle.js", "swagger-initializer.js"] {
        assert!(page.text().contains(asset), "{asset}");
        let asset = bed.client.request("GET", &format!("/docs/{asset}")).send().await;
        assert_eq!(asset.status, 200);
    }
    assert!(!page.text().contains("https://"), "{}", page.text());
    let start = bed.client.request("GET", "/docs/swagger-initializer.js").send().await.text();
    assert!(start.contains("\"validatorUrl\": \"none\"") && start.contains("/openapi.json"), "{start}");
    let redirect = bed.client.request("GET", "/docs").send().await;
    assert_eq!((redirect.status, redirect.header("location")), (303, "/docs/"));
}

#[tokio::test]
async fn health_and_metrics_are_on_the_admin_listener_only() {
    let bed = Bed::start().await;
    for path in ["/livez", "/readyz", "/metrics"] {
        bed.client.request("GET", path).send().await.assert_problem(404, "not-found");
    }
    bed.held(1, &["A-1"]).await;
    let admin = crate::client::Client::to(bed.service.admin_addr());
    assert_eq!(admin.request("GET", "/livez").send().await.status, 200);
    let ready = admin.request("GET", "/readyz").send().await;
    assert_eq!(ready.status, 200, "{}", ready.text());
    let metrics = admin.request("GET", "/metrics").send().await.text();
    for line in [
        r#"http_requests_total{method="POST",route="/schedules/{id}/holds",status="201"} 1"#,
        r#"http_request_duration_seconds_count{method="POST",route="/schedules/{id}/holds"} 1"#,
        r#"db_connection_pool_usage{state="max"} 20"#,
        r#"seat_holds_total{outcome="held"} 1"#,
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

#[tokio::test]
async fn a_body_that_is_cut_short_is_no_effect() {
    use tokio::io::AsyncWriteExt;
    let bed = Bed::start().await;
    let mut socket = tokio::net::TcpStream::connect(bed.service.addr()).await.unwrap();
    let head = format!(
        "POST /wallet/charges HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{{\"amount\":1}}",
        bed::bearer(1)
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    drop(socket);
    assert_eq!(bed.as_user(1, "GET", "/wallet").send().await.json["balance"], 1_000_000);
}
