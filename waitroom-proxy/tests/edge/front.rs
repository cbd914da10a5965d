//! Two ways through the edge, one answer: the front answers polls and waiting pages, Pingora everything else, on the
//! same connections.

use testbed::origin::{Origin, Script};
use testbed::process::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Jar, PATIENCE, Proxy, Response, exchange, room};

/// Means nothing to any answer, and makes a request one for Pingora.
const PINGORAS: &str = "TE: trailers\r\n";

const CLOSED: &str = "rate_per_s = 0\nbypass_paths = [\"/assets/\"]\ncors_origins = [\"https://shop.example\"]";

/// A client that keeps its connection.
struct Client {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Client {
    async fn new(proxy: &Proxy) -> Self {
        Self { stream: TcpStream::connect(proxy.visitors).await.unwrap(), read: Vec::new() }
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// The next answer, by its length or its chunks; `None`: the connection is over.
    async fn answer(&mut self) -> Option<Response> {
        let reading = async {
            loop {
                if let Some(end) = end_of_answer(&self.read) {
                    let rest = self.read.split_off(end);
                    return Some(Response::parse(&std::mem::replace(&mut self.read, rest)));
                }
                let mut piece = [0; 4_096];
                match self.stream.read(&mut piece).await {
                    Ok(read) if read > 0 => self.read.extend_from_slice(&piece[..read]),
                    _ => return None,
                }
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("an answer or the end")
    }
}

fn end_of_answer(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    let end = match length {
        Some(length) => head + length,
        None if text.contains("chunked") => head + bytes[head..].windows(5).position(|w| w == b"0\r\n\r\n")? + 5,
        None => head,
    };
    (bytes.len() >= end).then_some(end)
}

fn request(line: &str, fields: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n")
}

fn poll(fields: &str) -> String {
    request("GET /queue/status?room=concert", fields)
}

/// An answer without what is another one each time: figures, tickets and the random half of an interval.
fn timeless(response: &Response) -> (u16, Vec<(String, String)>, String) {
    let plain = |text: &str| -> String {
        let words: Vec<String> = text
            .split_inclusive(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)))
            .map(|word| match word {
                word if word.len() > 60 => "SEALED".to_owned(),
                word => word.chars().filter(|c| !c.is_ascii_digit()).collect(),
            })
            .collect();
        words.concat()
    };
    let dates = ["date", "content-length"];
    let headers = response.headers.iter().filter(|(name, _)| !dates.contains(&name.as_str()));
    (response.status, headers.map(|(name, value)| (name.clone(), plain(value))).collect(), plain(&response.body))
}

async fn in_line(proxy: &Proxy) -> Jar {
    let mut jar = Jar::default();
    jar.take(&proxy.page("/", "").await);
    proxy.poll_until(&mut jar, |status| status["position"].is_u64()).await;
    jar
}

#[tokio::test]
async fn both_ways_answer_the_same() {
    let origin = Origin::start().await.unwrap();
    let proxy = Proxy::start(&origin, &room(CLOSED)).await;
    let ticket = in_line(&proxy).await.header();
    let bare = ticket.split_once('=').unwrap().1.to_owned();
    let cookie = format!("Cookie: {ticket}\r\n");
    let browser = "Accept: text/html,*/*;q=0.8\r\n";
    for (line, fields) in [
        ("GET /queue/status?room=concert", cookie.clone()),
        ("GET /queue/status", cookie.clone()),
        ("HEAD /queue/status", cookie.clone()),
        ("GET /queue/status?room=concert", String::new()),
        ("GET /queue/status?room=concert", format!("X-Queue-Ticket: {bare}\r\n")),
        ("GET /queue/status?room=concert", format!("{cookie}Origin: https://shop.example\r\n")),
        ("GET /queue/status?room=concert", "Cookie: wr_ticket_concert=forged\r\n".to_owned()),
        ("GET /queue/status?room=nobodys", String::new()),
        ("GET /queue/status?room=%20", String::new()),
        ("GET /.well-known/jwks.json", String::new()),
        ("HEAD /.well-known/jwks.json", String::new()),
        ("GET /buy", browser.to_owned()),
        ("GET /buy?a=b", format!("{browser}Accept-Language: ko\r\n{cookie}")),
        ("HEAD /buy", format!("{browser}{cookie}")),
        ("GET /buy", cookie.clone()),
        ("GET /buy", format!("X-Queue-Ticket: {bare}\r\nOrigin: https://shop.example\r\n")),
        ("GET /buy", format!("{cookie}Origin: https://evil.example\r\n")),
        ("GET /a/../b", browser.to_owned()),
        ("GET /buy", "X-Queue-Token: a.b.c\r\n".to_owned()),
        ("GET /buy", format!("{cookie}Connection: close\r\n")),
    ] {
        let mut answers = Vec::new();
        for more in ["", PINGORAS] {
            let mut client = Client::new(&proxy).await;
            client.send(request(line, &format!("{fields}{more}"))).await;
            if line.starts_with("HEAD") {
                // Its length is that of the body which does not come.
                client.stream.shutdown().await.unwrap();
                let mut all = Vec::new();
                client.stream.read_to_end(&mut all).await.unwrap();
                answers.push(Response::parse(&all));
            } else {
                answers.push(client.answer().await.unwrap());
            }
        }
        assert_eq!(timeless(&answers[0]), timeless(&answers[1]), "{line} {fields}");
        let lengths: Vec<&str> = answers.iter().map(|answer| answer.header("content-length")).collect();
        assert_eq!(answers[0].header("date").len(), answers[1].header("date").len());
        assert!(lengths[0].parse::<u64>().unwrap() > 0, "{line}: {lengths:?}");
        if line.starts_with("HEAD") {
            assert!(answers.iter().all(|answer| answer.body.is_empty()), "{line}");
        }
    }
    assert!(origin.requests().is_empty());
}

#[tokio::test]
async fn polls_and_forwarded_requests_share_a_connection() {
    let origin = Origin::start().await.unwrap();
    origin.script("/assets/echo", Script::new().echo());
    origin.script("/assets/chunks", Script::new().chunks(["a", "b"], std::time::Duration::from_millis(1)));
    let proxy = Proxy::start(&origin, &room(CLOSED)).await;
    let cookie = format!("Cookie: {}\r\n", in_line(&proxy).await.header());
    let mut client = Client::new(&proxy).await;
    for round in 0..3 {
        client.send(poll(&cookie)).await;
        assert_eq!(client.answer().await.unwrap().json()["position"], 1, "{round}");
        let body = "x".repeat(70_000);
        let odd = "X-Odd:  a\tb\r\nx-CASE: Kept\r\nCookie: a=1; wr_ticket_concert=T\r\nCookie: b=2\r\n";
        let post = request("POST /assets/echo?q=%41&r", &format!("{odd}Content-Length: {}\r\n", body.len()));
        client.send(post + &body).await;
        assert_eq!(client.answer().await.unwrap().body, body);
        let seen = origin.requests().pop().unwrap();
        assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/assets/echo"));
        assert_eq!(seen.query.as_deref(), Some("q=%41&r"));
        assert_eq!((seen.header("x-odd"), seen.header("x-case")), (Some("a\tb"), Some("Kept")));
        assert_eq!(seen.header("cookie"), Some("a=1; b=2"));
        client.send(request("GET /buy", &format!("{cookie}Accept: text/html\r\n"))).await;
        assert_eq!(client.answer().await.unwrap().status, 200);
        client.send(request("GET /assets/chunks", "")).await;
        let chunks = client.answer().await.unwrap();
        assert!(chunks.body.contains('a') && chunks.body.contains('b'), "{chunks:?}");
        client.send(request("GET /buy", &cookie)).await;
        assert_eq!(client.answer().await.unwrap().status, 429);
    }
    assert_eq!(origin.requests().len(), 6, "and nothing else went upstream");
}

#[tokio::test]
async fn heads_in_pieces_are_put_together() {
    let origin = Origin::start().await.unwrap();
    let proxy = Proxy::start(&origin, &room(CLOSED)).await;
    let mut client = Client::new(&proxy).await;
    client.stream.set_nodelay(true).unwrap();
    for text in [poll(""), request("GET /assets/a", "X-B: c\r\n"), poll(PINGORAS), request("GET /buy", "")] {
        for byte in text.as_bytes() {
            client.send([*byte]).await;
            tokio::task::yield_now().await;
        }
        assert!(client.answer().await.is_some(), "{text}");
    }
    // The end of one and the beginning of the next in one piece.
    let two = poll("") + &poll("");
    let (begin, end) = two.split_at(two.len() - 30);
    client.send(begin).await;
    assert_eq!(client.answer().await.unwrap().status, 200);
    client.send(end).await;
    assert_eq!(client.answer().await.unwrap().status, 200);
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn requests_that_come_together_are_answered_in_their_order() {
    let origin = Origin::start().await.unwrap();
    let proxy = Proxy::start(&origin, &room(CLOSED)).await;
    let cookie = format!("Cookie: {}\r\n", in_line(&proxy).await.header());
    let mut all = String::new();
    for _ in 0..200 {
        all += &poll(&cookie);
        all += &request("GET /buy", &cookie);
        all += &request("GET /.well-known/jwks.json", "");
    }
    let (mut read, mut write) = Client::new(&proxy).await.stream.into_split();
    all += &request("GET /assets/last", "");
    let sending = async {
        write.write_all(all.as_bytes()).await.unwrap();
    };
    let receiving = async {
        let (mut bytes, mut statuses) = (Vec::new(), Vec::new());
        while statuses.len() < 601 {
            let mut piece = [0; 4_096];
            let more = read.read(&mut piece).await.unwrap();
            assert!(more > 0, "ended after {} answers", statuses.len());
            bytes.extend_from_slice(&piece[..more]);
            while let Some(end) = end_of_answer(&bytes) {
                let rest = bytes.split_off(end);
                statuses.push(Response::parse(&std::mem::replace(&mut bytes, rest)).status);
            }
        }
        statuses
    };
    let both = async { tokio::join!(sending, receiving).1 };
    let statuses = tokio::time::timeout(PATIENCE, both).await.expect("all are answered");
    let expected: Vec<u16> = [200, 429, 200].repeat(200).into_iter().chain([200]).collect();
    assert_eq!(statuses, expected);
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn what_comes_behind_a_request_under_way_waits_for_its_turn() {
    let origin = Origin::start().await.unwrap();
    let proxy = Proxy::start(&origin, &room(CLOSED)).await;
    origin.script("/assets/slow", Script::new().delay(std::time::Duration::from_millis(300)).body("slow"));
    let mut client = Client::new(&proxy).await;
    client.send(request("GET /assets/slow", "")).await;
    let begun = async || origin.requests().len() == 1;
    testbed::wait::until("the upstream to have the request", PATIENCE, begun).await.unwrap();
    client.send(poll("")).await;
    let slow = client.answer().await.unwrap();
    assert_eq!((slow.status, slow.body.as_str()), (200, "slow"), "{slow:?}");
    assert_eq!(client.answer().await.unwrap().json()["state"], "waiting");
    assert_eq!(origin.requests().len(), 1, "and the upstream had it once");
}

#[tokio::test]
async fn refused_bodies_that_are_none_get_the_answer_all_the_same() {
    let origin = Origin::start().await.unwrap();
    let proxy = Proxy::start(&origin, &room(CLOSED)).await;
    let mut client = Client::new(&proxy).await;
    let line = "POST /queue/leave?room=concert";
    client.send(request(line, "Transfer-Encoding: chunked\r\n") + "-1\r\n").await;
    assert_eq!(client.answer().await.unwrap().status, 204);
}

#[tokio::test]
async fn refused_heads_that_pingora_had_no_answer_for() {
    let origin = Origin::start().await.unwrap();
    let proxy = Proxy::start(&origin, &room(CLOSED)).await;
    let many: String = (0..300).map(|i| format!("X-{i}: y\r\n")).collect();
    let huge = format!("X-Huge: {}\r\n", "x".repeat(900_000));
    for fields in [many, huge] {
        let answer = exchange(proxy.visitors, request("GET /assets/a", &fields).as_bytes()).await;
        let answer = Response::parse(&answer);
        assert_eq!((answer.status, answer.header("connection")), (431, "close"));
        assert_eq!(answer.json()["type"], "/problems/bad-request");
    }
    assert!(origin.requests().is_empty());
}

#[tokio::test]
async fn refused_smuggling_on_a_connection_that_polls() {
    let origin = Origin::start().await.unwrap();
    let proxy = Proxy::start(&origin, &room(CLOSED)).await;
    let inner = "GET /assets/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let status = "GET /queue/status?room=concert HTTP/1.1\r\nHost: localhost\r\n";
    for (what, bad) in [
        ("CL and TE", format!("{status}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}")),
        ("two lengths", format!("{status}Content-Length: 0\r\nContent-Length: {}\r\n\r\n{inner}", inner.len())),
        ("a coding that is none", format!("{status}Transfer-Encoding: xchunked\r\n\r\n{inner}")),
        ("two hosts", format!("{status}Host: other\r\n\r\n{inner}")),
        ("a bare line feed", format!("{status}X: y\n\r\n{inner}")),
        ("a space before the colon", format!("{status}Content-Length : 5\r\n\r\n{inner}")),
        ("a folded line", format!("{status}X: y\r\n Content-Length: 5\r\n\r\n{inner}")),
    ] {
        let mut client = Client::new(&proxy).await;
        client.send(poll("")).await;
        assert_eq!(client.answer().await.unwrap().status, 200, "{what}");
        client.send(bad).await;
        assert_eq!(client.answer().await.unwrap().status, 400, "{what}");
        assert!(client.answer().await.is_none(), "{what}: the connection goes on");
    }
    // A body is no request, whoever asks for what.
    let mut client = Client::new(&proxy).await;
    client.send(format!("{status}Content-Length: {}\r\n\r\n{inner}", inner.len())).await;
    assert_eq!(client.answer().await.unwrap().status, 200);
    client.send(poll("")).await;
    assert_eq!(client.answer().await.unwrap().json()["state"], "waiting");
    assert!(origin.requests().is_empty());
}

#[tokio::test]
async fn idle_connections_do_not_keep_the_process_from_ending() {
    let origin = Origin::start().await.unwrap();
    let proxy = Proxy::start(&origin, &room(CLOSED)).await;
    let (mut poller, mut visitor, mut mute) =
        (Client::new(&proxy).await, Client::new(&proxy).await, Client::new(&proxy).await);
    poller.send(poll("")).await;
    assert_eq!(poller.answer().await.unwrap().header("connection"), "keep-alive");
    visitor.send(request("GET /assets/a", "")).await;
    assert_eq!(visitor.answer().await.unwrap().body, "ok");
    proxy.process.signal(Signal::Terminate).unwrap();
    for client in [&mut poller, &mut visitor, &mut mute] {
        assert!(client.answer().await.is_none());
    }
    assert!(proxy.process.wait(PATIENCE).await.unwrap().success());
    assert!(proxy.process.log().contains("nothing is under way"), "at once, not after a fixed time");
}
