//! Front ends on another origin: they can read whatever the proxy says, and nobody else can.

use testbed::origin::{Origin, Script};

use crate::harness::{Proxy, Response, room};

const OURS: &str = "https://shop.example";

fn readable(what: &str, response: &Response) {
    assert_eq!(response.all("access-control-allow-origin"), [OURS], "{what}: {response:?}");
    assert_eq!(response.all("access-control-allow-credentials"), ["true"], "{what}: {response:?}");
    assert!(varies(response), "{what}: {response:?}");
}

fn varies(response: &Response) -> bool {
    response.all("vary").iter().flat_map(|vary| vary.split(", ")).any(|name| name == "Origin")
}

#[tokio::test]
async fn every_answer_of_the_proxy_itself_can_be_read() {
    let origin = Origin::start().await.unwrap();
    let rooms = room(&format!("rate_per_s = 0\npaths = [\"/a\"]\ncors_origins = [\"{OURS}\"]"))
        + &room("rate_per_s = 0\npaths = [\"/b\"]").replace("\"concert\"", "\"other\"");
    let proxy = Proxy::start(&origin, &rooms).await;
    let preflight = [("Origin", OURS), ("Access-Control-Request-Method", "POST")];
    for path in ["/queue/leave?room=concert", "/queue/status", "/queue/events", "/.well-known/jwks.json", "/a"] {
        let answer = proxy.request("OPTIONS", path, &preflight).await;
        assert_eq!((answer.status, answer.header("access-control-allow-methods")), (204, "POST"), "{path}");
        readable(path, &answer);
    }
    for (method, path, status) in [
        ("PUT", "/queue/status", 405),
        ("GET", "/queue/leave", 405),
        ("POST", "/queue/events", 405),
        ("POST", "/.well-known/jwks.json", 405),
        ("GET", "/.well-known/jwks.json", 200),
        ("GET", "/queue/status?room=gone", 200),
        ("GET", "/queue/status?room=NO!", 400),
        ("GET", "/queue/status", 400),
        ("POST", "/queue/leave", 400),
        ("POST", "/queue/leave?room=NO!", 400),
        ("POST", "/queue/leave?room=gone", 204),
        ("POST", "/queue/leave?room=concert", 204),
        ("GET", "/queue/status?room=concert", 200),
        ("GET", "/a", 429),
    ] {
        let what = format!("{method} {path}");
        let length = ("Content-Length", "0");
        let answer = proxy.request(method, path, &[("Origin", OURS), length]).await;
        assert_eq!(answer.status, status, "{what}");
        readable(&what, &answer);
        for fields in [&[length][..], &[("Origin", "https://evil.example"), length]] {
            let answer = proxy.request(method, path, fields).await;
            assert!(answer.all("access-control-allow-origin").is_empty() && varies(&answer), "{what}: {answer:?}");
        }
    }
    let page = proxy.request("GET", "/a", &[("Origin", OURS), ("Accept", "text/html")]).await;
    readable("the page", &page);
}

#[tokio::test]
async fn forwarded_answers_name_the_front_end_whatever_the_upstream_says() {
    let origin = Origin::start().await.unwrap();
    origin.script("/open", Script::new().header("Access-Control-Allow-Origin", "*").body("ok"));
    let proxy = Proxy::start(&origin, &room(&format!("rate_per_s = 1000\ncors_origins = [\"{OURS}\"]"))).await;
    readable("allowed", &proxy.request("GET", "/open", &[("Origin", OURS)]).await);
    let others = proxy.request("GET", "/open", &[]).await;
    assert_eq!(others.all("access-control-allow-origin"), ["*"], "theirs, for all others");
    assert!(varies(&others), "{others:?}");
}
