//! A crowd of API clients that stand in line, take their turns and use them once; whatever they are told is written down.

use std::cell::RefCell;
use std::time::Instant;

use base64::Engine as _;
use futures_util::future::join_all;
use serde_json::Value;
use testbed::history::{Count, History, Rules, Saw};

use crate::harness::{Proxy, Response};
use crate::wire::Kept;

/// Connections at once.
const CONNECTIONS: usize = 64;

/// One in so many polls is followed by a try without a session (I10).
const TRIES: usize = 40;

/// Where admitted visitors go.
const INSIDE: &str = "/inside";

/// One of them.
#[derive(Clone, Debug, Default)]
struct Visitor {
    ticket: Option<String>,
    inside: bool,
    /// What the last status said.
    last: Option<Value>,
}

/// All of them, and what they saw.
pub(crate) struct Crowd {
    began: Instant,
    visitors: Vec<Visitor>,
    history: RefCell<History>,
    /// Polls so far.
    polls: RefCell<usize>,
}

impl Crowd {
    pub(crate) fn of(count: usize) -> Self {
        Self {
            began: Instant::now(),
            visitors: vec![Visitor::default(); count],
            history: RefCell::default(),
            polls: RefCell::default(),
        }
    }

    /// Milliseconds since the history began.
    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap()
    }

    /// How many were let in.
    pub(crate) fn inside(&self) -> usize {
        self.visitors.iter().filter(|visitor| visitor.inside).count()
    }

    /// What those still outside were last told.
    pub(crate) fn told(&self) -> impl Iterator<Item = &Value> {
        self.visitors.iter().filter(|visitor| !visitor.inside).filter_map(|visitor| visitor.last.as_ref())
    }

    /// Everybody joins: the first poll brings a ticket, the second a number, unless the store is slow to answer.
    pub(crate) async fn line_up(&mut self, proxies: &[&Proxy]) {
        let began = Instant::now();
        let unnumbered = |visitor: &Visitor| !visitor.last.as_ref().is_some_and(|told| told["seq"].is_u64());
        while self.visitors.iter().any(|visitor| !visitor.inside && unnumbered(visitor)) {
            assert!(began.elapsed() < crate::site::PATIENCE, "not everybody gets a number");
            self.round_of(proxies, unnumbered).await;
        }
    }

    /// More come, who have not asked for anything yet.
    pub(crate) fn grow(&mut self, by: usize) {
        self.visitors.resize(self.visitors.len() + by, Visitor::default());
    }

    /// Everybody outside polls once, each at one of the proxies; the store and the nodes are counted meanwhile.
    pub(crate) async fn round(&mut self, proxies: &[&Proxy]) {
        self.round_of(proxies, |_| true).await;
    }

    /// The same, of some of them.
    async fn round_of(&mut self, proxies: &[&Proxy], poll: impl Fn(&Visitor) -> bool) {
        let visitors = std::mem::take(&mut self.visitors);
        let mut shares: Vec<Vec<(usize, Visitor)>> = vec![Vec::new(); CONNECTIONS];
        let mut others = Vec::new();
        for (number, visitor) in visitors.into_iter().enumerate() {
            let polls = !visitor.inside && poll(&visitor);
            let list = if polls { &mut shares[number % CONNECTIONS] } else { &mut others };
            list.push((number, visitor));
        }
        let polled = {
            let mut polling = std::pin::pin!(join_all(shares.into_iter().enumerate().map(|(worker, share)| {
                // Neighbours in line poll at different proxies.
                self.poll_all(share, proxies[worker % proxies.len()])
            })));
            loop {
                tokio::select! {
                    polled = &mut polling => break polled,
                    () = self.count(proxies) => {}
                }
            }
        };
        self.count(proxies).await;
        let mut all: Vec<(usize, Visitor)> = polled.into_iter().flatten().chain(others).collect();
        all.sort_by_key(|(number, _)| *number);
        self.visitors = all.into_iter().map(|(_, visitor)| visitor).collect();
    }

    async fn poll_all(&self, share: Vec<(usize, Visitor)>, proxy: &Proxy) -> Vec<(usize, Visitor)> {
        let mut wire = Kept::to(proxy.visitors);
        let mut polled = Vec::with_capacity(share.len());
        for (number, mut visitor) in share {
            self.poll(number, &mut visitor, &mut wire).await;
            polled.push((number, visitor));
        }
        polled
    }

    async fn poll(&self, number: usize, visitor: &mut Visitor, wire: &mut Kept) {
        let ticket = visitor.ticket.as_ref().map(|ticket| format!("X-QUEUE-TICKET: {ticket}\r\n")).unwrap_or_default();
        let asked_ms = self.now_ms();
        let request = format!("GET /queue/status?room=concert HTTP/1.1\r\nHost: localhost\r\n{ticket}\r\n");
        // A proxy that is gone tells nothing; the next round tries again.
        let Some(response) = wire.ask(&request).await else { return };
        if let [ticket] = response.all("x-queue-ticket")[..] {
            visitor.ticket = Some(ticket.to_owned());
        }
        let saw = saw(&response);
        if matches!(saw, Saw::Admitted { .. }) {
            visitor.inside = true;
            self.go_inside(number, response.header("x-queue-token"), wire).await;
        } else {
            visitor.last = serde_json::from_str(&response.body).ok();
            let polls = self.polls.replace_with(|polls| *polls + 1);
            if polls.is_multiple_of(TRIES) && !ticket.is_empty() {
                self.try_the_door(number, &ticket, wire).await;
            }
        }
        self.history.borrow_mut().saw(number, asked_ms, self.now_ms(), saw);
    }

    /// Uses the token once.
    async fn go_inside(&self, number: usize, token: &str, wire: &mut Kept) {
        let request = format!("GET {INSIDE} HTTP/1.1\r\nHost: localhost\r\nX-QUEUE-TOKEN: {token}\r\n\r\n");
        let at_ms = self.now_ms();
        match wire.ask(&request).await {
            Some(response) if response.status == 200 && response.body == "ok" => {}
            Some(response) => self.wrong(number, at_ms, &response, "a token that was just given"),
            None => {}
        }
    }

    /// Asks for a protected page with a ticket only.
    async fn try_the_door(&self, number: usize, ticket: &str, wire: &mut Kept) {
        let at_ms = self.now_ms();
        match wire.ask(&format!("GET {INSIDE} HTTP/1.1\r\nHost: localhost\r\n{ticket}\r\n")).await {
            Some(response) if response.status != 429 && response.all("x-queue-token").is_empty() => {
                self.wrong(number, at_ms, &response, "a ticket");
            }
            _ => {}
        }
    }

    fn wrong(&self, number: usize, at_ms: u64, response: &Response, showed: &str) {
        let what = format!("{} for {showed}: {}", response.status, response.body);
        self.history.borrow_mut().saw(number, at_ms, self.now_ms(), Saw::Wrong(what));
    }

    /// What operators see of the store and of each node, written down, and then a short pause.
    async fn count(&self, proxies: &[&Proxy]) {
        for proxy in proxies {
            let asked_ms = self.now_ms();
            let metrics = proxy.look("/metrics").await.body;
            let prefix = "waitroom_grants_total{room=\"concert\"} ";
            if let Some(total) = metrics.lines().find_map(|line| line.strip_prefix(prefix)) {
                self.history.borrow_mut().given(
                    &proxy.operators.to_string(),
                    asked_ms,
                    self.now_ms(),
                    total.parse::<f64>().unwrap() as u64,
                );
            }
        }
        let room = proxies[0].look("/admin/rooms/concert").await.json();
        if room["stale"] == false {
            let number = |name: &str| room[name].as_u64().unwrap();
            self.history.borrow_mut().counted(Count {
                answered_ms: self.now_ms(),
                store_ms: number("as_of_ms"),
                admitted: number("admitted_total"),
                occupied: number("granted") + number("active"),
            });
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }

    /// At most so many turns may have been lost since then.
    pub(crate) fn lost_turns_since(&self, since_ms: u64, at_most: u64) {
        let now_ms = self.now_ms();
        self.history.borrow_mut().lost_turns(since_ms..now_ms, at_most);
    }

    /// Verifies the whole history, with what reached the upstream.
    pub(crate) fn verify(&self, origin: &testbed::origin::Origin, rules: &Rules) {
        let mut history = self.history.borrow().clone();
        for request in origin.requests() {
            history.passed(match request.header_all("x-queue-token")[..] {
                [token] => Some(claims(token)["seq"].as_u64().unwrap()),
                _ => None,
            });
        }
        println!("{}", history.summary());
        let broken = history.broken(rules);
        assert!(broken.is_empty(), "{broken:#?}");
    }
}

/// What an answer to a poll says.
fn saw(response: &Response) -> Saw {
    let wrong = || Saw::Wrong(format!("{}: {}", response.status, response.body));
    if response.status != 200 {
        return wrong();
    }
    let status = response.json();
    match (status["state"].as_str(), status["seq"].as_u64()) {
        (Some("waiting"), Some(seq)) => {
            Saw::Waiting { seq, position: status["position"].as_u64(), stale: status["stale"] == true }
        }
        (Some("waiting"), None) => Saw::Unnumbered,
        (Some("admitted"), _) => {
            Saw::Admitted { seq: claims(response.header("x-queue-token"))["seq"].as_u64().unwrap() }
        }
        _ => wrong(),
    }
}

/// What a token says of itself; nothing is verified.
fn claims(token: &str) -> Value {
    let body = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(body).unwrap()).unwrap()
}
