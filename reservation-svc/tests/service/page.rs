//! The page and its files: what comes with them, and that users are not given away unless switched on.

use testbed::gateway::Gateway;

use crate::bed::{Bed, Wishes, paying_at};

#[tokio::test]
async fn the_page_needs_no_token_and_allows_nothing_from_outside() {
    let bed = Bed::start().await;
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/assets/app.js", "text/javascript; charset=utf-8"),
        ("/assets/views/seats.js", "text/javascript; charset=utf-8"),
        ("/assets/page.css", "text/css; charset=utf-8"),
        ("/assets/icon.svg", "image/svg+xml"),
    ] {
        let answer = bed.client.request("GET", path).send().await;
        assert_eq!((answer.status, answer.header("content-type")), (200, kind), "{path}");
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        let again = bed.client.request("GET", path).header("if-none-match", answer.header("etag")).send().await;
        assert_eq!((again.status, again.bytes.len()), (304, 0), "{path}");
    }
    for path in ["/assets/", "/assets/nothing.js", "/assets/..%2fpage.rs", "/assets/index.html"] {
        bed.client.request("GET", path).send().await.assert_problem(404, "not-found");
    }
}

#[tokio::test]
async fn refused_demo_logins_unless_switched_on() {
    let bed = Bed::start().await;
    bed.client.request("POST", "/demo/login").send().await.assert_problem(404, "not-found");
    let page = bed.client.request("GET", "/").send().await.text();
    assert!(page.contains("data-demo=\"false\" data-max-seats=\"4\"") && !page.contains("{{"), "{page}");
}

#[tokio::test]
async fn the_page_offers_what_the_service_has() {
    let bare = Bed::start().await.client.request("GET", "/").send().await.text();
    assert!(bare.contains("data-tickets=\"false\" data-card=\"false\""), "{bare}");
    let gateway = Gateway::start().await.unwrap();
    let bed = Bed::with(Wishes { tickets: true, ..paying_at(&gateway) }).await;
    let page = bed.client.request("GET", "/").send().await.text();
    assert!(page.contains("data-tickets=\"true\" data-card=\"true\""), "{page}");
}
