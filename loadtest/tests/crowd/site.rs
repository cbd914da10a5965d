//! A small site that plays the public contract, waiting room and shop in one, and can be told to cheat.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// What the site does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cheat {
    Nothing,
    /// Held and sold seats stay available: two buyers get one seat.
    DoubleSale,
    /// A confirmed reservation is not in the list.
    ForgetsReservations,
    /// Takes a coin too many.
    WrongBalance,
    /// A position rises.
    PositionRises,
    /// Two visitors get one number.
    SharedNumbers,
    /// Sessions end once in the middle of the visit.
    LosesSessions,
    /// Every first request of a kind meets a 503.
    Overloaded,
    /// The session ends with the purchase.
    EndsWithPurchase,
}

const SEATS: usize = 40;
const PRICE: i64 = 100;
const OPENING: i64 = 250;

/// The site's memory.
#[derive(Default)]
pub(crate) struct State {
    next_seq: u64,
    admitted: u64,
    polls: u64,
    sessions: BTreeSet<u64>,
    lost: BTreeSet<u64>,
    seats: BTreeMap<String, &'static str>,
    holds: HashMap<String, (String, Vec<String>)>,
    /// By user.
    pub(crate) reservations: BTreeMap<String, Vec<Value>>,
    ledgers: BTreeMap<String, Vec<i64>>,
    answers: HashMap<String, (u16, Value)>,
    overloads: BTreeSet<String>,
    pub(crate) left: usize,
}

pub(crate) struct Site {
    pub(crate) addr: SocketAddr,
    pub(crate) state: Arc<Mutex<State>>,
}

impl Site {
    pub(crate) async fn start(cheat: Cheat) -> Self {
        let seats = (0..SEATS).map(|n| (format!("{}-{}", ["A", "B"][n % 2], n / 2 + 1), "available")).collect();
        let state = Arc::new(Mutex::new(State { seats, ..State::default() }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let state = Arc::clone(&shared);
                let service = service_fn(move |request| answer(Arc::clone(&state), cheat, request));
                let mut http = http1::Builder::new();
                http.timer(TokioTimer::new());
                tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { addr, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }
}

/// Status, JSON, and cookies to set.
type Reply = (u16, Value, Vec<String>);

async fn answer(
    state: Arc<Mutex<State>>,
    cheat: Cheat,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let header = |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let call = Call {
        method: parts.method.clone(),
        path: parts.uri.path().to_owned(),
        cookies: header("cookie").unwrap_or_default(),
        user: header("authorization").unwrap_or_default(),
        key: header("idempotency-key"),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    let (status, json, cookies) = state.lock().unwrap().answer(cheat, &call);
    let mut response = Response::builder().status(status).header("retry-after", "0");
    for cookie in cookies {
        response = response.header("set-cookie", cookie);
    }
    Ok(response.body(Full::from(if status == 204 { String::new() } else { json.to_string() })).unwrap())
}

struct Call {
    method: Method,
    path: String,
    cookies: String,
    user: String,
    key: Option<String>,
    body: Value,
}

impl Call {
    fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.split("; ").find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }
}

fn problem(status: u16, name: &str) -> Reply {
    (status, json!({"type": format!("/problems/{name}"), "status": status}), vec![])
}

fn ok(json: Value) -> Reply {
    (200, json, vec![])
}

impl State {
    fn answer(&mut self, cheat: Cheat, call: &Call) -> Reply {
        let kind = call.path.split('/').take(3).collect::<Vec<_>>().join("/");
        if cheat == Cheat::Overloaded && self.overloads.insert(format!("{} {kind}", call.method)) {
            return problem(503, "store-unavailable");
        }
        match call.path.as_str() {
            "/queue/status" => return self.status(cheat, call),
            "/queue/leave" => {
                self.left += 1;
                let gone = |name| format!("wr_{name}_show=; Path=/; Max-Age=0");
                return (204, Value::Null, vec![gone("ticket"), gone("token")]);
            }
            _ => {}
        }
        if call.cookies.is_empty() && call.path.starts_with("/wallet") {
            // As at the service itself, which wants no session for it.
            return self.shop(cheat, call);
        }
        let session = call.cookie("wr_token_show").and_then(|seq| seq.parse().ok());
        let Some(session) = session.filter(|seq| self.sessions.contains(seq)) else {
            let pre_ticket = "wr_ticket_show=0; HttpOnly; Path=/; Max-Age=600".to_owned();
            let status = if call.user.is_empty() { 200 } else { 429 };
            let (_, json, _) = problem(429, "waiting");
            return (status, json, vec![pre_ticket]);
        };
        if cheat == Cheat::LosesSessions
            && call.path.ends_with("/seats")
            && self.lost.len() < 3
            && self.lost.insert(session)
        {
            self.sessions.remove(&session);
            return self.answer(Cheat::Nothing, call);
        }
        let Some(key) = &call.key else { return self.shop(cheat, call) };
        let key = format!("{} {key}", call.user);
        if let Some((status, json)) = self.answers.get(&key) {
            return (*status, json.clone(), vec![]);
        }
        let reply = self.shop(cheat, call);
        self.answers.insert(key, (reply.0, reply.1.clone()));
        reply
    }

    /// Lets one more in at every third poll.
    fn status(&mut self, cheat: Cheat, call: &Call) -> Reply {
        let mut seq: u64 = call.cookie("wr_ticket_show").unwrap_or("0").parse().unwrap();
        if seq == 0 {
            self.next_seq += 1;
            seq = self.next_seq;
            if cheat == Cheat::SharedNumbers && seq == 4 {
                seq = 3;
            }
        }
        self.polls += 1;
        if self.polls.is_multiple_of(3) && self.admitted < self.next_seq {
            self.admitted += 1;
        }
        let set = |name: &str, value: u64| format!("wr_{name}_show={value}; HttpOnly; Path=/; Max-Age=600");
        let common = |state: &str| json!({"room": "show", "state": state, "waiting": 9, "poll_after_ms": 5});
        if seq <= self.admitted {
            self.sessions.insert(seq);
            return (200, common("admitted"), vec![set("token", seq), "wr_ticket_show=; Max-Age=0".to_owned()]);
        }
        let mut json = common("waiting");
        let wobble = if cheat == Cheat::PositionRises && self.polls % 10 == 9 { 100 } else { 0 };
        (json["seq"], json["position"]) = (json!(seq), json!(seq - self.admitted + wobble));
        (200, json, vec![set("ticket", seq)])
    }

    fn shop(&mut self, cheat: Cheat, call: &Call) -> Reply {
        let parts: Vec<&str> = call.path.split('/').skip(1).collect();
        match (call.method.as_str(), parts.as_slice()) {
            ("GET", ["concerts"]) => ok(json!({"concerts": [{"id": 1, "title": "One"}]})),
            ("GET", ["concerts", "1", "schedules"]) => ok(json!({"schedules": [{"id": 7, "starts_at": "later"}]})),
            ("GET", ["schedules", "7", "seats"]) => {
                let seat = |(seat, status)| json!({"seat": seat, "section": "R", "price": PRICE, "status": status, "version": 1});
                ok(json!({"seats": self.seats.iter().map(seat).collect::<Vec<_>>()}))
            }
            ("POST", ["schedules", "7", "holds"]) => self.hold(cheat, call),
            ("DELETE", ["holds", id]) => {
                let (_, seats) = self.holds.remove(*id).unwrap();
                self.mark(&seats, "available");
                (204, Value::Null, vec![])
            }
            ("POST", ["reservations"]) => self.pay(cheat, call),
            ("GET", ["reservations"]) => {
                let list = self.reservations.get(&call.user).cloned().unwrap_or_default();
                let kept = if cheat == Cheat::ForgetsReservations { 0 } else { list.len() };
                ok(json!({"reservations": list[..kept], "next_cursor": null}))
            }
            ("GET", ["reservations", id]) => {
                let list = &self.reservations[&call.user];
                ok(list.iter().find(|reservation| reservation["reservation_id"] == *id).unwrap().clone())
            }
            ("GET", ["wallet"]) => ok(json!({"balance": self.balance(&call.user)})),
            ("GET", ["wallet", "transactions"]) => {
                let rows: Vec<Value> = self.ledger(&call.user).iter().map(|amount| json!({"amount": amount})).collect();
                ok(json!({"transactions": rows}))
            }
            ("POST", ["wallet", "charges"]) => {
                let amount = call.body["amount"].as_i64().unwrap();
                self.ledger(&call.user).push(amount);
                (201, json!({"amount": amount}), vec![])
            }
            _ => problem(404, "not-found"),
        }
    }

    fn hold(&mut self, cheat: Cheat, call: &Call) -> Reply {
        let seats: Vec<String> = serde_json::from_value(call.body["seats"].clone()).unwrap();
        if seats.iter().any(|seat| self.seats[seat] != "available") {
            return problem(409, "seat-taken");
        }
        if cheat != Cheat::DoubleSale {
            self.mark(&seats, "held");
        }
        let id = format!("h{}", self.holds.len() + self.answers.len());
        let amount = PRICE * seats.len() as i64;
        self.holds.insert(id.clone(), (call.user.clone(), seats.clone()));
        (201, json!({"hold_id": id, "seats": seats, "amount": amount, "currency": "KRW"}), vec![])
    }

    fn pay(&mut self, cheat: Cheat, call: &Call) -> Reply {
        let hold_id = call.body["hold_id"].as_str().unwrap();
        let (user, seats) = self.holds[hold_id].clone();
        assert_eq!(user, call.user);
        let amount = PRICE * seats.len() as i64;
        if self.balance(&user) < amount {
            return problem(402, "insufficient-balance");
        }
        let taken = if cheat == Cheat::WrongBalance { amount + 1 } else { amount };
        self.ledger(&user).push(-taken);
        if cheat != Cheat::DoubleSale {
            self.mark(&seats, "reserved");
        }
        let reservation =
            json!({"reservation_id": format!("r-{hold_id}"), "schedule_id": 7, "seats": seats, "amount": amount});
        self.reservations.entry(user).or_default().push(reservation.clone());
        let ended = "wr_token_show=; Path=/; Max-Age=0".to_owned();
        (201, reservation, if cheat == Cheat::EndsWithPurchase { vec![ended] } else { vec![] })
    }

    fn mark(&mut self, seats: &[String], status: &'static str) {
        for seat in seats {
            self.seats.insert(seat.clone(), status);
        }
    }

    fn ledger(&mut self, user: &str) -> &mut Vec<i64> {
        self.ledgers.entry(user.to_owned()).or_insert_with(|| vec![OPENING])
    }

    fn balance(&mut self, user: &str) -> i64 {
        self.ledger(user).iter().sum()
    }
}
