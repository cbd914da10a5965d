//! A crowd of API clients that stand in line, take their turns and use them once; whatever they are told is written down.
//! Everybody polls at another proxy each time, where there are several.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Instant;

use base64::Engine as _;
use futures_util::future::join_all;
use serde_json::Value;
use testbed::history::{History, Node, Rules, Saw};

use crate::harness::{Proxy, Response};
use crate::site::OPEN;
use crate::wire::Kept;

mod look;

pub(crate) use look::hears;

/// Connections at once.
const CONNECTIONS: usize = 64;

/// One in so many polls is followed by a try without a session (I10).
const TRIES: usize = 40;

/// After so many polls the store and the nodes are looked at.
const LOOKS: usize = 250;

/// Where admitted visitors go.
const INSIDE: &str = "/inside";

/// Where they go in order to leave: the origin ends the session there.
pub(crate) const EXIT: &str = "/exit";

/// One of them.
#[derive(Clone, Debug, Default)]
struct Visitor {
    ticket: Option<String>,
    inside: Option<Inside>,
    /// What the last status said.
    last: Option<Value>,
}

/// Somebody who was let in.
#[derive(Clone, Debug)]
struct Inside {
    token: String,
    since_ms: u64,
    /// Has given the session up, or has begun to.
    left: bool,
}

/// All of them, and what they saw.
pub(crate) struct Crowd {
    began: Instant,
    visitors: Vec<Visitor>,
    /// Sessions are given up in the round after the one that began them.
    leaves: bool,
    history: RefCell<History>,
    /// Polls so far; shared with those who wait for a round to be under way.
    polls: Rc<Cell<usize>>,
    /// Rounds so far.
    rounds: usize,
    /// One look at a time.
    looking: Cell<bool>,
}

impl Crowd {
    pub(crate) fn of(count: usize) -> Self {
        Self {
            began: Instant::now(),
            visitors: vec![Visitor::default(); count],
            leaves: false,
            history: RefCell::default(),
            polls: Rc::default(),
            rounds: 0,
            looking: Cell::default(),
        }
    }

    /// Whoever was let in leaves one round later, by [`EXIT`].
    pub(crate) fn that_leaves(self) -> Self {
        Self { leaves: true, ..self }
    }

    /// Milliseconds since the history began.
    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap()
    }

    /// How many were let in.
    pub(crate) fn inside(&self) -> usize {
        self.visitors.iter().filter(|visitor| visitor.inside.is_some()).count()
    }

    /// What those still outside were last told.
    pub(crate) fn told(&self) -> impl Iterator<Item = &Value> {
        self.visitors.iter().filter(|visitor| visitor.inside.is_none()).filter_map(|visitor| visitor.last.as_ref())
    }

    /// The numbers of those still outside.
    pub(crate) fn numbers(&self) -> BTreeSet<u64> {
        self.told().map(|told| told["seq"].as_u64().unwrap()).collect()
    }

    /// The ticket and the place of whoever is this far from the front of those outside, counting from 0.
    pub(crate) fn in_line(&self, from_front: usize) -> (&str, &Value) {
        let mut outside: Vec<&Visitor> = self.visitors.iter().filter(|visitor| visitor.inside.is_none()).collect();
        outside.sort_by_key(|visitor| visitor.last.as_ref().unwrap()["seq"].as_u64());
        let visitor = outside[from_front];
        (visitor.ticket.as_deref().unwrap(), visitor.last.as_ref().unwrap())
    }

    /// Counts polls while a round is under way.
    pub(crate) fn polls(&self) -> Rc<Cell<usize>> {
        self.polls.clone()
    }

    /// Everybody joins: the first poll brings a ticket, the second a number, unless the store is slow to answer.
    pub(crate) async fn line_up(&mut self, proxies: &[&Proxy]) {
        let began = Instant::now();
        let unnumbered = |visitor: &Visitor| !visitor.last.as_ref().is_some_and(|told| told["seq"].is_u64());
        while self.visitors.iter().any(|visitor| visitor.inside.is_none() && unnumbered(visitor)) {
            assert!(began.elapsed() < crate::site::PATIENCE, "not everybody gets a number");
            self.round_of(proxies, unnumbered).await;
        }
    }

    /// More come, who have not asked for anything yet.
    pub(crate) fn grow(&mut self, by: usize) {
        self.visitors.resize(self.visitors.len() + by, Visitor::default());
    }

    /// Everybody outside polls once, each at one of the proxies; the store and the nodes are looked at meanwhile.
    pub(crate) async fn round(&mut self, proxies: &[&Proxy]) {
        self.round_of(proxies, |_| true).await;
    }

    /// The same, of some of them.
    async fn round_of(&mut self, proxies: &[&Proxy], poll: impl Fn(&Visitor) -> bool) {
        self.rounds += 1;
        let visitors = std::mem::take(&mut self.visitors);
        let mut shares: Vec<Vec<(usize, Visitor)>> = vec![Vec::new(); CONNECTIONS];
        let mut others = Vec::new();
        for (number, visitor) in visitors.into_iter().enumerate() {
            let acts = match &visitor.inside {
                Some(inside) => self.leaves && !inside.left,
                None => poll(&visitor),
            };
            let list = if acts { &mut shares[number % CONNECTIONS] } else { &mut others };
            list.push((number, visitor));
        }
        let acting = shares.into_iter().enumerate().map(|(worker, share)| {
            // Neighbours in line are at different proxies, and each is at another one the next time.
            self.act_all(share, proxies[(worker + self.rounds) % proxies.len()], proxies)
        });
        let acted = join_all(acting).await;
        self.look(proxies).await;
        let mut all: Vec<(usize, Visitor)> = acted.into_iter().flatten().chain(others).collect();
        all.sort_by_key(|(number, _)| *number);
        self.visitors = all.into_iter().map(|(_, visitor)| visitor).collect();
    }

    async fn act_all(&self, share: Vec<(usize, Visitor)>, proxy: &Proxy, proxies: &[&Proxy]) -> Vec<(usize, Visitor)> {
        let mut wire = Kept::to(proxy.visitors);
        let mut acted = Vec::with_capacity(share.len());
        for (number, mut visitor) in share {
            match &mut visitor.inside {
                Some(inside) => self.leave(number, inside, &mut wire).await,
                None => self.poll(number, &mut visitor, &mut wire).await,
            }
            acted.push((number, visitor));
            let polls = self.polls.replace(self.polls.get() + 1);
            if polls.is_multiple_of(LOOKS) {
                self.look(proxies).await;
            }
        }
        acted
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
        let (saw, answered_ms) = (saw(&response), self.now_ms());
        self.history.borrow_mut().saw(number, wire.node(), asked_ms, answered_ms, saw.clone());
        if matches!(saw, Saw::Admitted { .. }) {
            let token = response.header("x-queue-token").to_owned();
            self.go_inside(number, &token, wire).await;
            visitor.inside = Some(Inside { token, since_ms: answered_ms, left: false });
        } else {
            visitor.last = serde_json::from_str(&response.body).ok();
            if self.polls.get().is_multiple_of(TRIES) && !ticket.is_empty() {
                visitor.inside = self.try_the_door(number, &ticket, wire).await;
            }
        }
    }

    /// Gives the session up.
    async fn leave(&self, number: usize, inside: &mut Inside, wire: &mut Kept) {
        let at_ms = self.now_ms();
        if !std::mem::replace(&mut inside.left, true) {
            self.history.borrow_mut().stayed(inside.since_ms, at_ms);
        }
        self.enter(number, EXIT, &inside.token, wire).await;
    }

    /// Uses the token once.
    async fn go_inside(&self, number: usize, token: &str, wire: &mut Kept) {
        self.enter(number, INSIDE, token, wire).await;
    }

    async fn enter(&self, number: usize, path: &str, token: &str, wire: &mut Kept) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nX-QUEUE-TOKEN: {token}\r\n\r\n");
        let at_ms = self.now_ms();
        match wire.ask(&request).await {
            Some(response) if response.status == 200 && response.body == "ok" => {}
            Some(response) => self.wrong(number, at_ms, &response, "a token that was just given", wire.node()),
            None => {}
        }
    }

    /// Asks for a protected page with a ticket only: held, or let in whose turn it is by now, who gets a token with it.
    async fn try_the_door(&self, number: usize, ticket: &str, wire: &mut Kept) -> Option<Inside> {
        let asked_ms = self.now_ms();
        let response = wire.ask(&format!("GET {INSIDE} HTTP/1.1\r\nHost: localhost\r\n{ticket}\r\n")).await?;
        match response.all("x-queue-token")[..] {
            [token] if response.status == 200 => {
                let (seq, since_ms) = (claims(token)["seq"].as_u64()?, self.now_ms());
                self.history.borrow_mut().saw(number, wire.node(), asked_ms, since_ms, Saw::Admitted { seq });
                Some(Inside { token: token.to_owned(), since_ms, left: false })
            }
            _ if response.status == 429 => None,
            _ => {
                self.wrong(number, asked_ms, &response, "a ticket", wire.node());
                None
            }
        }
    }

    fn wrong(&self, number: usize, at_ms: u64, response: &Response, showed: &str, node: Node) {
        let what = format!("{} for {showed}: {}", response.status, response.body);
        self.history.borrow_mut().saw(number, node, at_ms, self.now_ms(), Saw::Wrong(what));
    }

    /// The history begins now: what anybody saw before is another story.
    pub(crate) fn forget(&mut self) {
        self.history = RefCell::default();
    }

    /// Verifies only that nobody got what no visitor should get.
    pub(crate) fn verify_no_error(&self, rules: &Rules) {
        let broken = self.history.borrow().broken(rules);
        let wrong: Vec<_> = broken.into_iter().filter(|broken| broken.invariant == "answer").collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    /// At most so many turns may have been lost since then.
    pub(crate) fn lost_turns_since(&self, since_ms: u64, at_most: u64) {
        let now_ms = self.now_ms();
        self.history.borrow_mut().lost_turns(since_ms..now_ms, at_most);
    }

    /// Verifies the whole history, with what reached the upstream.
    pub(crate) fn verify(&self, origin: &testbed::origin::Origin, rules: &Rules) {
        let mut history = self.history.borrow().clone();
        let now_ms = self.now_ms();
        for inside in self.visitors.iter().filter_map(|visitor| visitor.inside.as_ref()).filter(|inside| !inside.left) {
            history.stayed(inside.since_ms, now_ms);
        }
        for request in origin.requests().iter().filter(|request| !request.path.starts_with(OPEN)) {
            history.passed(match request.header_all("x-queue-token")[..] {
                [token] => Some(claims(token)["seq"].as_u64().unwrap()),
                _ => None,
            });
        }
        println!("{}", history.summary());
        let broken = history.broken(rules);
        assert!(broken.is_empty(), "{broken:#?}");
    }

    /// The same, where everybody was let in in the end (I12).
    pub(crate) fn verify_all_in(&self, origin: &testbed::origin::Origin, rules: &Rules) {
        assert_eq!(self.history.borrow().left_outside(), 0, "i12");
        self.verify(origin, rules);
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
