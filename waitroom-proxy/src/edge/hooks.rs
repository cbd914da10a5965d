//! The edge's hooks, in the order in which Pingora calls them for a request. What they do stands elsewhere.

use std::time::Duration;

use async_trait::async_trait;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, OrErr as _, Result};

use super::answer::Answer;
use super::ctx::Ctx;
use super::forward::{self, ClientSide};
use super::problem::ProblemKind;
use super::{
    Edge, KEEP_WAITING_S, connection, desk, failure, keep_alive, news, refusal, refuse, request, upstream, websocket,
};
use crate::classify::{Refusal, RoutingTable};

#[async_trait]
impl ProxyHttp for Edge {
    type CTX = Ctx;

    fn new_ctx(&self) -> Ctx {
        Ctx::new(self.site.load_full())
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
                room.room.end_session(&ended, room.room.by_the_store((self.clock)()));
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
