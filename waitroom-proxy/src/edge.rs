//! The edge: the proxy as Pingora sees it. Reads a request, asks the reception, acts on its word.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use pingora::Result;
use pingora::proxy::Session;

use crate::classify::RouteKind;

pub mod answer;
pub mod connection;
pub mod ctx;
pub mod desk;
pub mod events;
mod failure;
pub mod forward;
pub mod front;
pub mod gate;
mod hooks;
pub mod news;
pub mod problem;
pub mod refuse;
pub mod request;
pub mod site;
pub mod upstream;
pub mod waiting;
mod websocket;

pub use crate::{mint, reception};

use crate::renewal;
use answer::Answer;
use ctx::Ctx;
use news::ClientNews;
use problem::ProblemKind;
use reception::{Counter, Held, Reception};
use request::Cors;
use site::{Site, SiteRoom};

/// How long an unused connection of an admitted visitor is kept.
const KEEP_ALIVE_S: u64 = 60;
/// How long one of a waiting visitor is kept: until the page's own first requests, not until the next
/// poll. Two kilobytes each are no reason, but a crowd's idle connections would fill `max_connections`.
const KEEP_WAITING_S: u64 = 5;
/// Longest pause within a request's head or body, and within writing an answer.
const CLIENT_PAUSE: Duration = Duration::from_secs(30);

/// What the edge tells the outside of each request.
pub trait Observer: Send + Sync + 'static {
    /// A request has been answered.
    fn answered(&self, room: Option<usize>, outcome: Outcome, status: u16, took: Duration);
}

/// How a request was dealt with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// Refused, or answered by the proxy for itself.
    #[default]
    Own,
    /// Forwarded without a session.
    Open,
    /// Forwarded with a session.
    Admitted,
    /// Told to wait.
    Held,
    /// A poll.
    Poll,
    /// An event stream.
    Stream,
}

/// The proxy.
pub struct Edge {
    site: Arc<ArcSwap<Site>>,
    clock: crate::room::Clock,
    observer: Arc<dyn Observer>,
}

impl Edge {
    /// An edge in front of a site that may be swapped at any time.
    #[must_use]
    pub fn new(site: Arc<ArcSwap<Site>>, clock: crate::room::Clock, observer: Arc<dyn Observer>) -> Self {
        Self { site, clock, observer }
    }

    /// What the client of a request for this room is told on its answer. `session`: cookies and token.
    fn news<'n>(ctx: &'n Ctx, room: &'n SiteRoom, session: (&'n [String], Option<&'n str>)) -> ClientNews<'n> {
        let cors = Cors { origin: ctx.origin.as_ref(), varies: !room.cors_origins.is_empty() };
        ClientNews { cookies: session.0, token: session.1, cors, request_id: ctx.id() }
    }

    /// The session that a client has yet to be told of, as cookies and token.
    fn news_of_session<'n>(&self, ctx: &'n Ctx, room: &SiteRoom) -> (Vec<String>, Option<&'n str>) {
        let Some(minted) = ctx.admitted.as_ref().filter(|_| ctx.news) else { return (Vec::new(), None) };
        let now_s = room.room.by_the_store((self.clock)()) / 1_000;
        news::of_session(&ctx.site, room, minted, ctx.carrier, now_s)
    }

    async fn respond(&self, session: &mut Session, answer: Answer) -> Result<bool> {
        answer.send(session).await?;
        Ok(true)
    }

    /// Refuses in the words of the client: a page for browsers, a problem document for programs.
    async fn refuse(&self, session: &mut Session, kind: ProblemKind, detail: Option<&str>) -> Result<bool> {
        let answer = refusal(session, kind, detail);
        self.respond(session, answer).await
    }

    fn prepare(session: &mut Session, ctx: &mut Ctx) {
        connection::head_is_whole(request::is_head_alone(&session.req_header().headers));
        session.set_read_timeout(Some(CLIENT_PAUSE));
        session.set_write_timeout(Some(CLIENT_PAUSE));
        keep_alive(session, KEEP_ALIVE_S);
        ctx.peer = session.client_addr().and_then(|address| address.as_inet()).map(std::net::SocketAddr::ip);
        if request::trusted(ctx.peer, &ctx.site.trusted_proxies) {
            let theirs = session.req_header().headers.get(request::REQUEST_ID);
            ctx.their_id = theirs.filter(|id| id.to_str().is_ok_and(|id| !id.is_empty())).cloned();
        }
    }

    async fn events(&self, session: &mut Session, ctx: &mut Ctx, events: desk::Events) -> Result<bool> {
        match events {
            desk::Events::Answered(desk::Answered { room, outcome, answer }) => {
                (ctx.room, ctx.outcome) = (room, outcome);
                keep_alive(session, KEEP_WAITING_S);
                self.respond(session, answer).await
            }
            desk::Events::Open { room, polled, place } => {
                (ctx.room, ctx.outcome) = (Some(room), Outcome::Stream);
                let stream = events::Stream::new(&self.site, &self.clock, ctx.site.clone(), room, place);
                stream.run(session, polled, events::process_ends()).await.map(|()| true)
            }
        }
    }

    async fn receive(
        &self,
        session: &mut Session,
        ctx: &mut Ctx,
        index: usize,
        kind: RouteKind,
        now_ms: u64,
    ) -> Result<bool> {
        let site = ctx.site.clone();
        let site_room = &site.rooms[index];
        let now_ms = site_room.room.by_the_store(now_ms);
        let parts = session.req_header();
        let cors = request::cors(&parts.headers, &site_room.cors_origins);
        if cors.origin.is_some() && request::is_preflight(parts) {
            let answer = desk::preflight(&parts.headers, cors);
            return self.respond(session, answer).await;
        }
        ctx.origin = cors.origin.cloned();
        if kind != RouteKind::Protected {
            ctx.outcome = Outcome::Open;
            return Ok(false);
        }
        let shown = site_room.cookies.read(&parts.headers);
        let verified = desk::verify(&site, site_room, &shown, now_ms);
        ctx.carrier = desk::carrier(&site, site_room, &shown, &verified, request::wants_page(parts));
        let counter = Counter { room: &site_room.room, mint: &site.mint, now_ms };
        match counter.receive(kind, verified).await {
            Reception::Open => Ok(false),
            Reception::Admitted { minted, news } => {
                ctx.outcome = Outcome::Admitted;
                ctx.admitted = Some(minted);
                ctx.news = news;
                Ok(false)
            }
            Reception::Held(held) => {
                ctx.outcome = Outcome::Held;
                let answer = hold(site_room, &site, &held, session.req_header(), now_ms);
                keep_alive(session, KEEP_WAITING_S);
                self.respond(session, answer).await
            }
            Reception::Broken => {
                let answer = refusal(session, ProblemKind::Internal, None);
                self.respond(session, answer.news(&Self::news(ctx, site_room, (&[], None)))).await
            }
        }
    }
}

fn hold(site_room: &SiteRoom, site: &Site, held: &Held, parts: &http::request::Parts, now_ms: u64) -> Answer {
    let status = waiting::status_of(site_room, held, now_ms, rand::random());
    match request::wants_page(parts) {
        true => waiting::page(site_room, &site.mint, held, &status, &parts.headers),
        false => waiting::too_early(site_room, &site.mint, held, &status, &parts.headers),
    }
}

/// A refusal in the words of the client: a page for browsers, a problem document for programs.
fn refusal(session: &Session, kind: ProblemKind, detail: Option<&str>) -> Answer {
    match request::wants_page(session.req_header()) {
        true => Answer::page(kind.status(), kind.page()),
        false => Answer::problem(kind, detail),
    }
}

/// Without a limit Pingora keeps an unused connection for ever; a client that asked to close is heard.
fn keep_alive(session: &mut Session, seconds: u64) {
    if session.get_keepalive().is_some() {
        session.set_keepalive(Some(seconds));
        connection::keep_for(Duration::from_secs(seconds));
    }
}
