//! The edge: the proxy as Pingora sees it. Reads a request, asks the reception, acts on its word.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use http::header::HeaderValue;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, OrErr as _, Result};

use crate::classify::{Refusal, RouteKind, RoutingTable};

pub mod answer;
pub mod connection;
pub mod desk;
pub mod events;
mod failure;
pub mod forward;
pub mod front;
pub mod gate;
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
use forward::ClientSide;
use news::{Carrier, ClientNews};
use problem::ProblemKind;
use reception::{Counter, Held, Reception};
use request::{Cors, RequestId};
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

/// What is known of a request while it is under way.
pub struct Ctx {
    site: Arc<Site>,
    room: Option<usize>,
    outcome: Outcome,
    began: Instant,
    request_id: RequestId,
    peer: Option<IpAddr>,
    /// Session and token that go upstream.
    admitted: Option<mint::Minted>,
    /// The client must be told of the token.
    news: bool,
    /// How the client carries its token.
    carrier: Carrier,
    /// The id that a trusted proxy gave the request.
    their_id: Option<HeaderValue>,
    /// The origin of a front end that the room allows.
    origin: Option<HeaderValue>,
    tries: usize,
    /// How long the upstream may keep the client of an upgrade waiting.
    patience: Option<Duration>,
    /// What runs beside a WebSocket, from its upgrade on; ends with the request.
    tunnel: Option<websocket::Beside>,
}

impl Ctx {
    /// By which the request is known, upstream and to the client.
    fn id(&self) -> &str {
        self.their_id.as_ref().and_then(|id| id.to_str().ok()).unwrap_or(self.request_id.as_str())
    }
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
        connection::head_is_whole();
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

/// Makes the target a path, as the upstream will see it: what is matched and what is forwarded must be the
/// same bytes. Pingora keeps others verbatim beside a path of its own making.
fn as_path(session: &mut Session) -> std::result::Result<(), String> {
    let header = session.req_header();
    let target = std::str::from_utf8(header.raw_path()).map_err(|_| "the request target is not UTF-8".to_owned())?;
    let path = RoutingTable::origin_form(request::host(header), target).map_err(|refusal| refusal.to_string())?;
    match path {
        None => Ok(()),
        Some(path) => session.req_header_mut().set_raw_path(path.as_bytes()).map_err(|error| error.to_string()),
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

#[async_trait]
impl ProxyHttp for Edge {
    type CTX = Ctx;

    fn new_ctx(&self) -> Ctx {
        Ctx {
            site: self.site.load_full(),
            room: None,
            outcome: Outcome::default(),
            began: Instant::now(),
            request_id: RequestId::new(rand::random()),
            peer: None,
            admitted: None,
            news: false,
            carrier: Carrier::default(),
            their_id: None,
            origin: None,
            tries: 0,
            patience: None,
            tunnel: None,
        }
    }

    /// None: Pingora would make one for every request, and nothing is compressed here.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn request_filter(&self, session: &mut Session, ctx: &mut Ctx) -> Result<bool> {
        Self::prepare(session, ctx);
        let raw = session.to_h1_raw();
        let parts = session.req_header();
        if let Err(refused) = refuse::inspect(&raw, &parts.method, parts.version, &parts.headers) {
            session.set_keepalive(None);
            let kind = if refused.status() == 431 { ProblemKind::HeadTooLarge } else { ProblemKind::BadRequest };
            let answer = Answer::problem_body(refused.status(), kind.document(Some(&refused.to_string())));
            return self.respond(session, answer).await;
        }
        if let Some(harmless) = request::harmless_connection(&session.req_header().headers) {
            session.req_header_mut().insert_header(http::header::CONNECTION, harmless)?;
        }
        if let Err(refusal) = as_path(session) {
            return self.refuse(session, ProblemKind::BadRequest, Some(&refusal)).await;
        }
        // A path is what survives this, and a path is what it is now.
        forward::plainly(session.req_header_mut(), |_| ());
        let site = ctx.site.clone();
        let now_ms = (self.clock)();
        if let Some(answered) = desk::reserved(&site, session.req_header(), now_ms).await {
            ctx.room = answered.room;
            ctx.outcome = answered.outcome;
            keep_alive(session, KEEP_WAITING_S);
            return self.respond(session, answered.answer).await;
        }
        if let Some(events) = desk::events(&site, session.req_header(), now_ms).await {
            return self.events(session, ctx, events).await;
        }
        let parts = session.req_header();
        // Valid UTF-8 since `as_path`; anything else would match nothing.
        let target = std::str::from_utf8(parts.raw_path()).unwrap_or_default();
        let (index, kind) = match site.routing.classify(request::host(parts), target) {
            Ok(route) => (route.room.index, route.kind),
            Err(Refusal::UnknownHost) => return self.refuse(session, ProblemKind::UnknownHost, None).await,
            Err(refusal) => {
                return self.refuse(session, ProblemKind::BadRequest, Some(&refusal.to_string())).await;
            }
        };
        ctx.room = Some(index);
        self.receive(session, ctx, index, kind, now_ms).await
    }

    async fn upstream_peer(&self, session: &mut Session, ctx: &mut Ctx) -> Result<Box<HttpPeer>> {
        let host = request::host(session.req_header()).unwrap_or_default();
        let room = ctx.room.and_then(|index| ctx.site.rooms.get(index));
        let peer = room.and_then(|room| room.upstreams.pick(host));
        let mut peer = peer.ok_or_else(|| Error::explain(ErrorType::HTTPStatus(503), "no upstream is well"))?;
        if session.req_header().headers.contains_key(http::header::UPGRADE) {
            ctx.patience = websocket::may_become_one(&mut peer);
        }
        Ok(Box::new(peer))
    }

    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        upstream: &mut RequestHeader,
        ctx: &mut Ctx,
    ) -> Result<()> {
        ctx.tunnel = ctx.patience.take().and_then(websocket::Beside::upgrading);
        let Some(room) = ctx.room.and_then(|index| ctx.site.rooms.get(index)) else { return Ok(()) };
        let client = ClientSide {
            address: ctx.peer,
            trusted: request::trusted(ctx.peer, &ctx.site.trusted_proxies),
            request_id: &ctx.request_id,
            their_id: ctx.their_id.as_ref(),
            fixed_host: room.upstreams.fixed_host(),
            token: ctx.admitted.as_ref().map(|minted| minted.token.as_ref()),
        };
        let dressed = forward::plainly(upstream, |parts| forward::dress_request(parts, &client));
        dressed.or_err(ErrorType::InternalError, "a field for the upstream can't be written")
    }

    async fn response_filter(&self, session: &mut Session, response: &mut ResponseHeader, ctx: &mut Ctx) -> Result<()> {
        let upgraded = response.status == http::StatusCode::SWITCHING_PROTOCOLS;
        if response.status.is_informational() && !upgraded {
            return Ok(());
        }
        let Some(room) = ctx.room.and_then(|index| ctx.site.rooms.get(index)) else { return Ok(()) };
        let admitted = ctx.admitted.as_ref().map(|minted| minted.session);
        let ends = news::take_session_end(response);
        match admitted {
            Some(ended) if ends => {
                room.room.end(ended.epoch, ended.vid, ended.seq);
                let cookies = [room.cookies.clear_token(), room.cookies.clear_ticket()];
                news::dress_response(response, &Self::news(ctx, room, (&cookies, None)))?;
            }
            _ => {
                let (cookies, token) = self.news_of_session(ctx, room);
                news::dress_response(response, &Self::news(ctx, room, (&cookies, token)))?;
            }
        }
        if upgraded {
            websocket::may_be_idle(session);
            let now_s = room.room.by_the_store((self.clock)()) / 1_000;
            let kept = admitted.filter(|_| !ends);
            ctx.tunnel = kept.map(|session| websocket::Beside::open(room.room.clone(), session, now_s));
        }
        Ok(())
    }

    fn response_body_filter(
        &self,
        _session: &mut Session,
        _body: &mut Option<bytes::Bytes>,
        _end_of_stream: bool,
        ctx: &mut Ctx,
    ) -> Result<Option<Duration>> {
        if let Some(beside) = &ctx.tunnel {
            beside.heard();
        }
        Ok(None)
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        ctx: &mut Ctx,
        mut error: Box<Error>,
    ) -> Box<Error> {
        ctx.tries += 1;
        // Nothing has been sent yet, so another upstream may be asked, whatever the method.
        error.set_retry(ctx.tries < upstream::MAX_TRIES);
        error
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, ctx: &mut Ctx) -> FailToProxy {
        // An answer that has begun can't be answered again.
        let kind = match connection::is_stopped() {
            true => Some(ProblemKind::UpstreamTimeout),
            false => failure::kind_of(error),
        };
        let Some(kind) = kind.filter(|_| session.response_written().is_none()) else {
            return FailToProxy { error_code: 0, can_reuse_downstream: false };
        };
        session.set_keepalive(None);
        let mut answer = refusal(session, kind, None);
        // Who was let in is told so here too, or the next try would take another's turn.
        if let Some(room) = ctx.room.and_then(|index| ctx.site.rooms.get(index)) {
            let (cookies, token) = self.news_of_session(ctx, room);
            answer = answer.news(&Self::news(ctx, room, (&cookies, token)));
        }
        if let Err(error) = self.respond(session, answer).await {
            tracing::debug!(%error, "the client did not wait for the answer");
        }
        FailToProxy { error_code: kind.status(), can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut Ctx) {
        ctx.tunnel = None;
        connection::request_is_over();
        let status = session.response_written().map_or(0, |response| response.status.as_u16());
        if let Some(error) = error {
            tracing::debug!(%error, request_id = ctx.request_id.as_str(), status, "a request failed");
        }
        self.observer.answered(ctx.room, ctx.outcome, status, ctx.began.elapsed());
    }

    /// Said once, in [`Edge::logging`] and the metrics.
    fn suppress_error_log(&self, _session: &Session, _ctx: &Ctx, _error: &Error) -> bool {
        true
    }
}
