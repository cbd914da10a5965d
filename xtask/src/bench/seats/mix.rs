//! A sale's requests at a fixed rate through the proxy, whether or not the answers keep up: maps, holds, payments.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, StatusCode};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use rand::RngExt;
use tokio::task::JoinSet;

use super::holds::percentile;
use super::site::Site;

/// Requests of all kinds in a second.
const RATE: u64 = 1_000;

/// Of a hundred requests so many are maps; half of those come with the map's ETag at hand.
const MAPS: u32 = 80;

/// And so many holds, of one seat each; the rest are payments of holds that were made.
const HOLDS: u32 = 15;

/// Seeded schedules of a thousand seats.
const SCHEDULES: i64 = 5;

const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// One kind of request, and how long its answers took.
#[derive(Debug, Default, Clone)]
pub(super) struct Kind {
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) answers: usize,
    /// Of those: seats given, reservations made, maps sent in full.
    pub(super) full: usize,
}

/// What the sale came to.
#[derive(Debug, Default, Clone)]
pub(super) struct Sale {
    pub(super) per_s: f64,
    pub(super) maps: Kind,
    pub(super) holds: Kind,
    pub(super) payments: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ask {
    Map,
    Hold,
    Pay,
}

/// What one answer was: its kind, how long it took, whether it was in full.
type Seen = (Ask, f64, bool);

struct Crowd {
    http: Client<HttpConnector, Full<Bytes>>,
    front: String,
    sessions: Vec<String>,
    users: Vec<String>,
    /// Holds that nobody has paid for yet: user and id.
    held: Mutex<Vec<(usize, String)>>,
    etags: Mutex<Vec<Option<String>>>,
}

/// Runs the sale for `time`.
pub(super) async fn run(site: &Site, time: Duration) -> Result<Sale> {
    site.clear().await?;
    let crowd = Arc::new(Crowd {
        http: Client::builder(TokioExecutor::new()).pool_max_idle_per_host(256).build(HttpConnector::new()),
        front: format!("http://{}", site.front),
        sessions: site.sessions.clone(),
        users: site.users.clone(),
        held: Mutex::default(),
        etags: Mutex::new(vec![None; SCHEDULES as usize + 1]),
    });
    let mut tick = tokio::time::interval(Duration::from_micros(1_000_000 / RATE));
    let (began, mut under_way) = (Instant::now(), JoinSet::new());
    while began.elapsed() < time {
        tick.tick().await;
        let crowd = Arc::clone(&crowd);
        // From when it was due: a client that waits for its turn waits.
        let due = Instant::now();
        under_way.spawn(async move { crowd.ask(due).await });
    }
    let mut seen: Vec<Seen> = Vec::new();
    while let Some(answer) = under_way.join_next().await {
        seen.push(answer.context("a request of the sale")??);
    }
    let kind = |ask: Ask| {
        let of_kind = seen.iter().filter(|(kind, ..)| *kind == ask);
        let mut took: Vec<f64> = of_kind.clone().map(|(_, ms, _)| *ms).collect();
        took.sort_by(f64::total_cmp);
        Kind {
            p50_ms: percentile(&took, 0.5),
            p99_ms: percentile(&took, 0.99),
            answers: took.len(),
            full: of_kind.filter(|(.., full)| *full).count(),
        }
    };
    let per_s = seen.len() as f64 / began.elapsed().as_secs_f64();
    Ok(Sale { per_s, maps: kind(Ask::Map), holds: kind(Ask::Hold), payments: kind(Ask::Pay) })
}

impl Crowd {
    async fn ask(&self, due: Instant) -> Result<Seen> {
        let dice = rand::rng().random_range(0..100);
        let paying =
            if dice >= MAPS + HOLDS { self.held.lock().unwrap_or_else(PoisonError::into_inner).pop() } else { None };
        let (ask, status) = match paying {
            Some((user, hold)) => (Ask::Pay, self.pay(user, &hold).await?),
            None if dice < MAPS => (Ask::Map, self.map(dice < MAPS / 2).await?),
            None => (Ask::Hold, self.hold().await?),
        };
        let full = matches!(status, StatusCode::OK | StatusCode::CREATED);
        let known = full || matches!(status, StatusCode::NOT_MODIFIED | StatusCode::CONFLICT);
        ensure!(known, "an answer of the sale was {status}");
        Ok((ask, due.elapsed().as_secs_f64() * 1_000.0, full))
    }

    async fn map(&self, again: bool) -> Result<StatusCode> {
        let schedule = rand::rng().random_range(1..=SCHEDULES) as usize;
        let etag = self.etags.lock().unwrap_or_else(PoisonError::into_inner)[schedule].clone().filter(|_| again);
        let mut request = self.request(Method::GET, &format!("/schedules/{schedule}/seats"), None);
        request = request.header("accept-encoding", "gzip");
        if let Some(etag) = etag {
            request = request.header("if-none-match", etag);
        }
        let (head, _) = self.send(request, Bytes::new()).await?;
        if let Some(etag) = head.headers.get("etag").and_then(|etag| etag.to_str().ok()) {
            self.etags.lock().unwrap_or_else(PoisonError::into_inner)[schedule] = Some(etag.to_owned());
        }
        Ok(head.status)
    }

    async fn hold(&self) -> Result<StatusCode> {
        let (user, schedule, row, place) = {
            let mut dice = rand::rng();
            let user = dice.random_range(0..self.users.len());
            (user, dice.random_range(1..=SCHEDULES), dice.random_range(b'A'..=b'Y'), dice.random_range(1..=40))
        };
        let body = format!("{{\"seats\":[\"{}-{place}\"]}}", char::from(row));
        let request = self.request(Method::POST, &format!("/schedules/{schedule}/holds"), Some(user));
        let (head, body) = self.send(request, body.into()).await?;
        if head.status == StatusCode::CREATED {
            let hold: serde_json::Value = serde_json::from_slice(&body).context("a hold")?;
            let hold = hold["hold_id"].as_str().context("a hold without id")?.to_owned();
            self.held.lock().unwrap_or_else(PoisonError::into_inner).push((user, hold));
        }
        Ok(head.status)
    }

    async fn pay(&self, user: usize, hold: &str) -> Result<StatusCode> {
        let body = format!("{{\"hold_id\":\"{hold}\",\"payment\":{{\"method\":\"wallet\"}}}}");
        let (head, body) = self.send(self.request(Method::POST, "/reservations", Some(user)), body.into()).await?;
        // Who has bought enough has no money left; that is an answer, and no reservation.
        if head.status == StatusCode::PAYMENT_REQUIRED {
            return Ok(StatusCode::CONFLICT);
        }
        ensure!(head.status == StatusCode::CREATED, "paying: {} {}", head.status, String::from_utf8_lossy(&body));
        Ok(head.status)
    }

    /// As one of the visitors; as a user too, where one is asked for.
    fn request(&self, method: Method, path: &str, user: Option<usize>) -> hyper::http::request::Builder {
        let session = &self.sessions[rand::rng().random_range(0..self.sessions.len())];
        let request =
            Request::builder().method(method).uri(format!("{}{path}", self.front)).header("x-queue-token", session);
        match user {
            None => request,
            Some(user) => request
                .header("authorization", format!("Bearer {}", self.users[user]))
                .header("content-type", "application/json")
                .header("idempotency-key", format!("{:032x}", rand::random::<u128>())),
        }
    }

    async fn send(
        &self,
        request: hyper::http::request::Builder,
        body: Bytes,
    ) -> Result<(hyper::http::response::Parts, Bytes)> {
        let exchange = async {
            let (head, body) = self.http.request(request.body(Full::new(body))?).await?.into_parts();
            Ok::<_, anyhow::Error>((head, body.collect().await?.to_bytes()))
        };
        tokio::time::timeout(ANSWERED_WITHIN, exchange).await.context("no answer of the sale in time")?
    }
}
