//! One visitor, from arrival to leaving: a small state machine over HTTP.
//!
//! ```text
//! Door ──▶ Line ──▶ Door ──▶ Inside ──▶ Leaving ──▶ gone
//!   └────── straight through ──▲ │
//!              Line ◀────────────┘ session lost
//! ```
//! Must not know anything of the site but its public HTTP contract.

mod checkout;
mod line;
mod shop;

use std::{sync::Arc, time::Duration};

use http::Method;
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use serde::Serialize;
use std::sync::atomic::Ordering::Relaxed;

use crate::{
    audit::PlaceInLine,
    history::Seen,
    jar::Jar,
    site::{Answer, Ask, Failure},
    world::World,
};

/// How often a visitor whose session ended too early lines up again.
const MAX_RETURNS: u32 = 5;

/// How a visit ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome", content = "why")]
pub enum Outcome {
    /// Bought.
    Booked,
    /// Looked around, as meant.
    Browsed,
    /// Held seats and let them go, as meant.
    LetGo,
    /// Meant to buy and was turned down by the rules of the shop.
    Refused(String),
    /// Waited longer than patience lasts.
    GaveUp,
    /// The run was ended early.
    Stopped,
    /// The site did not do what it should.
    Failed(String),
}

/// What is kept of a visit for the summary.
#[derive(Debug, Clone)]
pub struct Visit {
    /// When the visitor arrived, counted from the start of the run.
    pub arrived: Duration,
    /// When the visitor got in line first; `None` when straight through.
    pub lined_up: Option<Duration>,
    /// When the visitor was let in first.
    pub entered: Option<Duration>,
    /// When the visitor stopped waiting, let in or not.
    pub stopped_waiting: Option<Duration>,
    /// The first ticket.
    pub seq: Option<u64>,
    /// Time between the last two polls before entering: how late the entry may have been noticed.
    pub poll_gap: Duration,
    /// How it ended.
    pub outcome: Outcome,
    /// Seats bought.
    pub seats: usize,
    /// How often a session was lost, or not honoured.
    pub returns: u32,
}

impl Visit {
    /// A visit of which only the end is known.
    pub fn lost(outcome: Outcome) -> Self {
        Self {
            arrived: Duration::ZERO,
            lined_up: None,
            entered: None,
            stopped_waiting: None,
            seq: None,
            poll_gap: Duration::ZERO,
            outcome,
            seats: 0,
            returns: 0,
        }
    }
}

/// What a visitor means to do once inside. Decided at arrival: the queue must not change the mix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Intent {
    Buy,
    HoldAndLetGo,
    Browse,
}

/// Where in the visit.
enum Stage {
    Door,
    Line,
    Inside,
    Leaving(Outcome),
    Gone(Outcome),
}

/// Why a walk through the shop ended early.
enum Stop {
    /// The waiting room answered: there is no session (any more).
    Lost,
    /// For the rest of the visit.
    End(Outcome),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::End(Outcome::Failed(failure.to_string()))
    }
}

/// One visitor.
struct Visitor {
    world: Arc<World>,
    number: usize,
    rng: SmallRng,
    jar: Jar,
    intent: Intent,
    authorization: Option<Box<str>>,
    place: PlaceInLine,
    /// Requests with an idempotency key so far: each has its own.
    keys: u32,
    visit: Visit,
    seen: Vec<Seen>,
}

#[derive(Serialize)]
struct HistoryLine<'a> {
    visitor: usize,
    user: Option<u64>,
    arrived_ms: u128,
    #[serde(flatten)]
    outcome: &'a Outcome,
    seen: &'a [Seen],
}

/// Plays the visitor with this number.
pub async fn visit(world: Arc<World>, number: usize, arrived: Duration) -> Visit {
    let tally = Arc::clone(&world.tally);
    tally.arrived.fetch_add(1, Relaxed);
    let mut visitor = Visitor::new(world, number, arrived);
    let mut stage = Stage::Door;
    let outcome = loop {
        stage = match stage {
            Stage::Door => visitor.door().await,
            Stage::Line => {
                tally.in_line.fetch_add(1, Relaxed);
                let next = visitor.line().await;
                tally.in_line.fetch_sub(1, Relaxed);
                next
            }
            Stage::Inside => {
                tally.inside.fetch_add(1, Relaxed);
                // On the heap: most visitors stand in line, and need no room for this.
                let next = Box::pin(visitor.inside()).await;
                tally.inside.fetch_sub(1, Relaxed);
                next
            }
            Stage::Leaving(outcome) => visitor.leave(outcome).await,
            Stage::Gone(outcome) => break outcome,
        }
    };
    tally.finished.fetch_add(1, Relaxed);
    visitor.finish(outcome)
}

impl Visitor {
    fn new(world: Arc<World>, number: usize, arrived: Duration) -> Self {
        let mut rng = SmallRng::seed_from_u64(world.habits.seed ^ (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let intent = if rng.random_bool(world.habits.buy_ratio) {
            Intent::Buy
        } else if rng.random_bool(0.5) {
            Intent::HoldAndLetGo
        } else {
            Intent::Browse
        };
        let visit = Visit { arrived, ..Visit::lost(Outcome::Stopped) };
        let (jar, place) = (Jar::default(), PlaceInLine::default());
        Self { world, number, rng, jar, intent, authorization: None, place, keys: 0, visit, seen: Vec::new() }
    }

    /// Asks for the page, as a browser does, and looks at who answers: the site or its waiting room.
    async fn door(&mut self) -> Stage {
        let world = Arc::clone(&self.world);
        let accept = "text/html,application/xhtml+xml,*/*;q=0.8";
        let ask = Ask { accept, ..Ask::get("page", &world.habits.entry) };
        let answer = match self.ask(ask).await {
            Ok(answer) => answer,
            Err(failure) => return Stage::Gone(Outcome::Failed(failure.to_string())),
        };
        if self.jar.has_session() && !answer.is_waiting_room() {
            self.entered();
            return Stage::Inside;
        }
        if self.jar.has_ticket() {
            return self.line_up();
        }
        if answer.status.is_success() || answer.status.is_redirection() {
            // No waiting room in front of this site, or not on this path.
            self.entered();
            return Stage::Inside;
        }
        Stage::Gone(Outcome::Failed(format!("page: {}", answer.status.as_u16())))
    }

    /// To the line, unless this has happened too often: then the site does not honour its own sessions.
    fn line_up(&mut self) -> Stage {
        if self.visit.entered.is_some() {
            self.visit.returns += 1;
            self.jar.drop_session();
            // A new ticket is a new place.
            self.place = PlaceInLine::default();
        }
        if self.visit.returns > MAX_RETURNS {
            return Stage::Leaving(Outcome::Failed("sessions end again and again".to_owned()));
        }
        self.visit.lined_up.get_or_insert(self.world.now());
        Stage::Line
    }

    fn entered(&mut self) {
        let now = self.world.now();
        if self.visit.entered.is_none() {
            self.world.tally.entered.fetch_add(1, Relaxed);
        }
        self.visit.entered.get_or_insert(now);
        self.visit.stopped_waiting.get_or_insert(now);
    }

    /// Does what the visitor came for.
    async fn inside(&mut self) -> Stage {
        match self.shop().await {
            Ok(outcome) | Err(Stop::End(outcome)) => Stage::Leaving(outcome),
            Err(Stop::Lost) => self.line_up(),
        }
    }

    /// Gives up ticket and session, so that the next one can come in.
    async fn leave(&mut self, outcome: Outcome) -> Stage {
        let Some(room) = self.jar.room() else { return Stage::Gone(outcome) };
        let path = format!("/queue/leave?room={room}");
        let ask = Ask { method: Method::POST, ..Ask::get("leave", &path) };
        match self.ask(ask).await {
            Ok(answer) if answer.status.is_success() => Stage::Gone(outcome),
            // Whatever came before matters more.
            _ if matches!(outcome, Outcome::Failed(_)) => Stage::Gone(outcome),
            Ok(answer) => Stage::Gone(Outcome::Failed(format!("leave: {}", answer.status.as_u16()))),
            Err(failure) => Stage::Gone(Outcome::Failed(failure.to_string())),
        }
    }

    /// Asks the site with this visitor's cookies, and takes up what it sets.
    async fn ask(&mut self, ask: Ask<'_>) -> Result<Answer, Failure> {
        let what = ask.what;
        let answer = self.world.site.ask(&Ask { cookie: self.jar.header(), ..ask }).await;
        if let Ok(answer) = &answer {
            self.jar.take(&answer.headers);
        }
        if self.world.history.is_some() {
            let at_ms = self.world.now().as_millis() as u64;
            let status = answer.as_ref().ok().map(|answer| answer.status.as_u16());
            self.seen.push(Seen { at_ms, what, status, ..Seen::default() });
        }
        answer
    }

    /// A pause between two steps, from nothing to twice the mean. False when the run is to end early.
    async fn think(&mut self) -> Result<(), Stop> {
        let pause = self.world.habits.think.mul_f64(self.rng.random_range(0.0..2.0));
        if self.world.sleep(pause).await { Ok(()) } else { Err(Stop::End(Outcome::Stopped)) }
    }

    fn finish(mut self, outcome: Outcome) -> Visit {
        if self.visit.lined_up.is_some() {
            self.visit.stopped_waiting.get_or_insert(self.world.now());
        }
        if let Some(history) = &self.world.history {
            let user = self.world.accounts.as_ref().and_then(|accounts| accounts.of_visitor(self.number));
            history.add(&HistoryLine {
                visitor: self.number,
                user: user.map(|account| account.user),
                arrived_ms: self.visit.arrived.as_millis(),
                outcome: &outcome,
                seen: &self.seen,
            });
        }
        Visit { outcome, ..self.visit }
    }
}
