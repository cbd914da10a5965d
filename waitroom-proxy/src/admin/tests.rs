//! Over a real socket, with a control that records what it is told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::{Control, Guard, Mistake, Order, OrderError, Readiness, ReloadReport, RoomReport, router, serve};
use crate::metrics::Metrics;

const TOKEN: &[u8] = b"0123456789abcdef0123456789abcdef";

#[derive(Default)]
struct Recorder {
    orders: Mutex<Vec<(String, Order)>>,
    store_down: bool,
    bad_config: bool,
}

fn report(name: &str) -> RoomReport {
    RoomReport {
        room: name.to_owned(),
        generation: 1,
        admitted_total: 2,
        as_of_ms: 3,
        waiting: 4,
        granted: 5,
        active: 6,
        rate_per_s: 7.5,
        rate_measured: 8.0,
        max_active: 9,
        paused: false,
        stale: true,
    }
}

#[async_trait]
impl Control for Recorder {
    async fn rooms(&self) -> Vec<RoomReport> {
        vec![report("a"), report("b")]
    }

    async fn room(&self, name: &str) -> Option<RoomReport> {
        (name == "a").then(|| report("a"))
    }

    async fn order(&self, name: &str, order: Order) -> Result<RoomReport, OrderError> {
        match name {
            _ if self.store_down => Err(OrderError::Store("gone".into())),
            "a" => {
                self.orders.lock().unwrap().push((name.to_owned(), order));
                Ok(RoomReport { paused: order == Order::Pause, ..report(name) })
            }
            _ => Err(OrderError::NoSuchRoom),
        }
    }

    async fn reload(&self) -> Result<ReloadReport, Vec<Mistake>> {
        let mistake = Mistake { file: "w.toml".into(), line: Some(3), key: "rooms".into(), message: "bad".into() };
        if self.bad_config {
            Err(vec![mistake])
        } else {
            Ok(ReloadReport { added: vec!["c".into()], ..Default::default() })
        }
    }

    fn readiness(&self) -> Readiness {
        if self.store_down { Readiness::NotReady("the store is away".into()) } else { Readiness::Ready }
    }
}

struct Admin {
    address: SocketAddr,
    control: Arc<Recorder>,
    guard: Arc<Guard>,
    stop: oneshot::Sender<()>,
    served: tokio::task::JoinHandle<std::io::Result<()>>,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// The socket is loopback in any case; `listen` is where the guard believes it is.
async fn start(control: Recorder, listen: &str, token: Option<&[u8]>) -> Admin {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (control, guard) = (Arc::new(control), Arc::new(Guard::new(listen.parse().unwrap(), token)));
    let metrics = Arc::new(Metrics::new(false).unwrap());
    let routes = router(Arc::clone(&guard), Arc::clone(&control) as Arc<dyn Control>, metrics);
    let (stop, stopped) = oneshot::channel();
    let served = tokio::spawn(serve(listener, routes, async { drop(stopped.await) }));
    Admin { address, control, guard, stop, served }
}

async fn local(control: Recorder) -> Admin {
    start(control, "127.0.0.1:9090", None).await
}

impl Admin {
    async fn send(&self, line: &str, headers: &[&str], body: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let length = body.len();
        let head = format!("{line} HTTP/1.1\r\n{headers}Connection: close\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        // A refused body may be cut off while it is sent.
        let _ = stream.write_all(body.as_bytes()).await;
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default();
        Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(&format!("GET {path}"), &["Host: localhost"], "").await
    }

    async fn post(&self, path: &str) -> Answer {
        self.send(&format!("POST {path}"), &["Host: 127.0.0.1:9090", "X-Waitroom-Admin: 1"], "").await
    }

    fn orders(&self) -> Vec<Order> {
        self.control.orders.lock().unwrap().iter().map(|(_, order)| *order).collect()
    }
}

#[tokio::test]
async fn health_metrics_and_rooms_are_readable_on_loopback() {
    let admin = local(Recorder::default()).await;
    assert_eq!((admin.get("/livez").await.status, admin.get("/readyz").await.status), (200, 200));
    let metrics = admin.get("/metrics").await;
    assert!(metrics.head.contains("content-type: text/plain") && metrics.body.contains("waitroom_build_info"));
    let rooms = admin.get("/admin/rooms").await;
    assert!(rooms.head.contains("cache-control: no-store") && rooms.head.contains("content-type: application/json"));
    let expected = serde_json::json!({
        "room": "a", "generation": 1, "admitted_total": 2, "as_of_ms": 3, "waiting": 4, "granted": 5, "active": 6,
        "rate_per_s": 7.5, "rate_measured": 8.0, "max_active": 9, "paused": false, "stale": true
    });
    assert_eq!(rooms.json()["rooms"][0], expected);
    assert_eq!(rooms.json()["rooms"][1]["room"], "b");
    assert_eq!(admin.get("/admin/rooms/a").await.json(), expected);
}

#[tokio::test]
async fn orders_reach_control_and_answer_with_the_room() {
    let admin = local(Recorder::default()).await;
    for word in ["pause", "resume", "flush", "reset"] {
        let answer = admin.post(&format!("/admin/rooms/a/{word}")).await;
        assert_eq!((answer.status, answer.json()["paused"].as_bool()), (200, Some(word == "pause")), "{word}");
    }
    assert_eq!(admin.orders(), [Order::Pause, Order::Resume, Order::Flush, Order::Reset]);
}

#[tokio::test]
async fn what_is_not_there_is_a_problem() {
    let admin = local(Recorder::default()).await;
    let answers = [
        (admin.get("/admin/rooms/nope").await, 404),
        (admin.post("/admin/rooms/nope/pause").await, 404),
        (admin.post("/admin/rooms/a/explode").await, 404),
        (admin.get("/nothing").await, 404),
        (admin.get("/admin/rooms/a/pause").await, 405),
        (admin.post("/metrics").await, 405),
    ];
    for (answer, status) in answers {
        assert_eq!((answer.status, answer.json()["status"].as_u64()), (status, Some(u64::from(status))));
        assert!(answer.head.contains("content-type: application/problem+json"), "{}", answer.head);
    }
    assert_eq!(admin.orders(), []);
}

#[tokio::test]
async fn refused_web_page_posting_to_the_admin_listener() {
    let admin = local(Recorder::default()).await;
    let pause = "POST /admin/rooms/a/pause";
    for headers in [
        // A form of another site: no header of ours.
        &["Host: localhost:9090", "Origin: https://evil.example", "Content-Type: text/plain"][..],
        &["Host: localhost:9090", "X-Waitroom-Admin: 0"],
        // A name of the attacker's that points here.
        &["Host: evil.example", "X-Waitroom-Admin: 1"],
        &["Host: localhost.evil.example", "X-Waitroom-Admin: 1"],
        &["Host: 127.0.0.1.evil.example", "X-Waitroom-Admin: 1"],
        &["Host: 127.0.0.1@evil.example", "X-Waitroom-Admin: 1"],
        &["Host: evil.example@localhost", "X-Waitroom-Admin: 1"],
        &["Host: localhost", "Host: evil.example", "X-Waitroom-Admin: 1"],
        &["X-Waitroom-Admin: 1"],
    ] {
        let answer = admin.send(pause, headers, "").await;
        assert!(matches!(answer.status, 400 | 403), "{headers:?}: {}", answer.status);
    }
    assert_eq!(admin.send("GET /metrics", &["Host: evil.example"], "").await.status, 403);
    let preflight = ["Host: localhost", "Origin: https://evil.example", "Access-Control-Request-Method: POST"];
    let answer = admin.send("OPTIONS /admin/rooms/a/pause", &preflight, "").await;
    assert!(answer.status == 403 && !answer.head.contains("access-control"), "{}", answer.head);
    assert_eq!(admin.orders(), []);
    for host in ["127.0.0.1:9090", "LOCALHOST", "[::1]:9090", "127.9.9.9"] {
        assert_eq!(
            admin.send(pause, &[&format!("Host: {host}"), "X-Waitroom-Admin: 1"], "").await.status,
            200,
            "{host}"
        );
    }
}

#[tokio::test]
async fn refused_without_the_bearer_token_when_not_on_loopback() {
    let admin = start(Recorder::default(), "0.0.0.0:9090", Some(TOKEN)).await;
    let good = format!("Authorization: Bearer {}", std::str::from_utf8(TOKEN).unwrap());
    let short = good[..good.len() - 1].to_owned();
    for wrong in
        ["X-Waitroom-Admin: 1", "Authorization: Bearer ", "Authorization: Basic eA==", &short, &format!("{good}0")]
    {
        for line in ["GET /metrics", "GET /admin/rooms", "POST /admin/rooms/a/reset", "GET /nothing"] {
            let answer = admin.send(line, &["Host: node-7", wrong], "").await;
            assert_eq!(answer.status, 401, "{line} {wrong}");
            assert!(answer.head.contains("www-authenticate: bearer"), "{}", answer.head);
        }
    }
    assert_eq!(admin.send("GET /metrics", &["Host: x", &good, &good], "").await.status, 401, "twice");
    assert_eq!(admin.orders(), []);
    assert_eq!(admin.send("POST /admin/rooms/a/reset", &["Host: node-7", &good], "").await.status, 200);
    // Probes of an orchestrator know no token.
    assert_eq!(admin.send("GET /readyz", &["Host: node-7"], "").await.status, 200);
    admin.guard.set_token(Some(b"another-token-0123456789"));
    assert_eq!(admin.send("GET /metrics", &["Host: node-7", &good], "").await.status, 401);
    admin.guard.set_token(None);
    assert_eq!(admin.send("GET /metrics", &["Host: node-7", &good], "").await.status, 401, "none configured: shut");
}

#[tokio::test]
async fn reload_tells_what_changed_or_every_mistake() {
    let admin = local(Recorder::default()).await;
    assert_eq!(admin.post("/admin/reload").await.json()["added"], serde_json::json!(["c"]));
    let admin = local(Recorder { bad_config: true, ..Recorder::default() }).await;
    let answer = admin.post("/admin/reload").await;
    assert_eq!((answer.status, answer.json()["mistakes"][0]["line"].as_u64()), (422, Some(3)));
}

#[tokio::test]
async fn store_that_is_away_is_told() {
    let admin = local(Recorder { store_down: true, ..Recorder::default() }).await;
    let ready = admin.get("/readyz").await;
    assert_eq!((ready.status, ready.json()["detail"].as_str()), (503, Some("the store is away")));
    assert_eq!(admin.get("/livez").await.status, 200);
    let answer = admin.post("/admin/rooms/a/pause").await;
    assert_eq!((answer.status, answer.json()["type"].as_str()), (503, Some("/problems/store-unavailable")));
}

#[tokio::test]
async fn large_bodies_are_refused_before_the_order() {
    let admin = local(Recorder::default()).await;
    let headers = ["Host: localhost", "X-Waitroom-Admin: 1"];
    let answer = admin.send("POST /admin/rooms/a/reset", &headers, &"x".repeat(17 * 1024)).await;
    assert_eq!((answer.status, admin.orders().len()), (413, 0));
    assert_eq!(admin.send("POST /admin/rooms/a/reset", &headers, "{}").await.status, 200);
}

#[tokio::test]
async fn stops_when_told() {
    let admin = local(Recorder::default()).await;
    assert_eq!(admin.get("/livez").await.status, 200);
    admin.stop.send(()).unwrap();
    admin.served.await.unwrap().unwrap();
    assert!(TcpStream::connect(admin.address).await.is_err());
}
