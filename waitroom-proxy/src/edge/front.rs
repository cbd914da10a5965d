//! The front: reads the heads of a visitor's requests, answers polls and waiting pages itself, runs event streams, hands
//! everything else to Pingora with its bytes untouched, and takes the connection over again when Pingora is done with
//! the request.
//!
//! It decides nothing that the desk and the reception have not decided, and nothing at all about what goes upstream.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use http::Method;
use http::request::Parts;
use pingora::apps::{HttpServerApp as _, ServerApp as _};
use pingora::protocols::http::ServerSession;
use pingora::protocols::{ALPN, Stream};
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;
use std::future::poll_fn;

use super::answer::{Answer, How};
use super::connection::{Connection, Watched};
use super::desk::{self, Answered, AtOnce};
use super::events::{self, Direct};
use super::problem::ProblemKind;
use super::reception::{Counter, Reception};
use super::refuse::Refused;
use super::site::Site;
use super::{Edge, KEEP_ALIVE_S, KEEP_WAITING_S, Observer, Outcome, hold, request};
use crate::classify::RouteKind;

mod head;
mod talk;

use head::{Judged, Plain, judge};
use talk::{Next, Step, Talk};

/// How long an unused connection is kept after an answer of the front's own.
const KEEP: Duration = Duration::from_secs(KEEP_WAITING_S);

/// The front.
pub struct Front {
    site: Arc<ArcSwap<Site>>,
    clock: crate::room::Clock,
    observer: Arc<dyn Observer>,
}

/// What the front can say of a request by itself.
enum Known {
    Answered(Answered),
    /// The store must be asked. Nothing has happened yet.
    Ask,
    /// An event stream is asked for. Nothing has happened yet.
    Stream,
    /// Pingora's. Nothing has happened yet.
    NotOurs,
}

impl Front {
    /// A front of a site that may be swapped at any time.
    #[must_use]
    pub fn new(site: Arc<ArcSwap<Site>>, clock: crate::room::Clock, observer: Arc<dyn Observer>) -> Self {
        Self { site, clock, observer }
    }

    /// Serves a connection to its end.
    pub async fn serve(&self, proxy: &Arc<HttpProxy<Edge>>, stream: Stream, shutdown: &ShutdownWatch) {
        if stream.selected_alpn_proto() == Some(ALPN::H2) {
            // Pingora keeps such a connection for itself until it is over.
            let _over = proxy.process_new(stream, shutdown).await;
            return;
        }
        let mut talk = Talk::new(stream, shutdown);
        loop {
            match poll_fn(|cx| talk.poll(cx, &mut |bytes, out, keep| self.step(bytes, out, keep))).await {
                Next::Over => return,
                Next::Linger => return talk.linger().await,
                Next::Ask(head) => {
                    let mut out = Vec::new();
                    let keep = Box::pin(self.ask(&head, &mut out, talk.ends())).await;
                    talk.say(out, keep.then_some(KEEP));
                }
                Next::Stream(stream, head) => {
                    // In memory of its own: whatever led here is given back for as long as the stream lasts.
                    drop(talk);
                    return Box::pin(self.stream(&head, stream, shutdown)).await;
                }
                Next::HandOver(handed) => {
                    let back = Box::pin(hand_over(proxy, handed, shutdown)).await;
                    let Some((stream, rest, kept)) = back else { return };
                    talk.take_back(stream, rest, kept);
                }
            }
        }
    }

    /// What to do about the bytes that have come; an answer goes to `out`.
    fn step(&self, bytes: &[u8], out: &mut Vec<u8>, ends: bool) -> Step {
        let plain = match judge(bytes) {
            Judged::Partial => return Step::More,
            Judged::Other => return Step::HandOver,
            Judged::TooLarge => return self.too_large(out),
            Judged::Plain(plain) => plain,
        };
        let began = Instant::now();
        let Plain { parts, len, keep } = plain;
        let answered = match self.known(&self.site.load(), &parts) {
            Known::Answered(answered) => answered,
            Known::Ask => return Step::Ask { len },
            Known::Stream => return Step::Stream { len },
            Known::NotOurs => return Step::HandOver,
        };
        let keep = keep && !ends;
        answered.answer.write(out, How { head_only: parts.method == Method::HEAD, keep });
        self.observer.answered(answered.room, answered.outcome, answered.answer.status(), began.elapsed());
        Step::Answered { len, keep: keep.then_some(KEEP) }
    }

    fn known(&self, site: &Site, parts: &Parts) -> Known {
        let now_ms = (self.clock)();
        match desk::at_once(site, parts, now_ms) {
            AtOnce::Answered(answered) => return Known::Answered(answered),
            AtOnce::Ask => return Known::Ask,
            AtOnce::NotHere => {}
        }
        match desk::takes(parts) {
            desk::Takes::Nothing => self.held(site, parts, now_ms).map_or(Known::NotOurs, Known::Answered),
            desk::Takes::Stream => Known::Stream,
            desk::Takes::Session => Known::NotOurs,
        }
    }

    /// The page or the 429, for those who wait and of whom this node knows enough.
    fn held(&self, site: &Site, parts: &Parts, now_ms: u64) -> Option<Answered> {
        let target = parts.uri.path_and_query()?.as_str();
        let route = site.routing.classify(request::host(parts), target).ok()?;
        if route.kind != RouteKind::Protected {
            return None;
        }
        let index = route.room.index;
        let site_room = site.rooms.get(index)?;
        let shown = site_room.cookies.read(&parts.headers);
        if shown.cookie_token.is_some() || shown.header_token.is_some() {
            // Most likely a session: what it shows is verified once, by whoever forwards it.
            return None;
        }
        let now_ms = site_room.room.by_the_store(now_ms);
        let verified = desk::verify(site, site_room, &shown, now_ms);
        let counter = Counter { room: &site_room.room, mint: &site.mint, now_ms };
        match counter.receive_now(route.kind, &verified)? {
            Reception::Held(held) => {
                let answer = hold(site_room, site, &held, parts, now_ms);
                Some(Answered { room: Some(index), outcome: Outcome::Held, answer })
            }
            Reception::Open | Reception::Admitted { .. } | Reception::Broken => None,
        }
    }

    /// Answers a poll for which the store must be asked; whether the connection is kept.
    async fn ask(&self, head: &[u8], out: &mut Vec<u8>, ends: bool) -> bool {
        // Judged before, and the same bytes.
        let Judged::Plain(Plain { parts, keep, .. }) = judge(head) else { return false };
        let began = Instant::now();
        let site = self.site.load_full();
        let Some(answered) = desk::reserved(&site, &parts, (self.clock)()).await else { return false };
        let keep = keep && !ends;
        answered.answer.write(out, How { head_only: parts.method == Method::HEAD, keep });
        self.observer.answered(answered.room, answered.outcome, answered.answer.status(), began.elapsed());
        keep
    }

    /// Runs an event stream, or answers why there is none; the connection ends with it.
    async fn stream(&self, head: &[u8], stream: Stream, shutdown: &ShutdownWatch) {
        // Judged before, and the same bytes.
        let Judged::Plain(Plain { parts, .. }) = judge(head) else { return };
        let (began, site, head_only) = (Instant::now(), self.site.load_full(), parts.method == Method::HEAD);
        let events = Box::pin(desk::events(&site, &parts, (self.clock)())).await;
        drop(parts);
        let mut listener = Direct::new(stream);
        let (room, outcome, status, told) = match events {
            None => return,
            Some(desk::Events::Answered(Answered { room, outcome, answer })) => {
                (room, outcome, answer.status(), listener.answer(&answer, head_only).await)
            }
            Some(desk::Events::Open { room, polled, place }) => {
                let mut ends = shutdown.clone();
                let process_ends = async move {
                    // A sender that is gone has ended as well.
                    let _gone = ends.wait_for(|ends| *ends).await;
                };
                let events = events::Stream::new(&self.site, &self.clock, site, room, place);
                (Some(room), Outcome::Stream, 200, events.run(&mut listener, polled, process_ends).await)
            }
        };
        if let Err(error) = told {
            tracing::debug!(%error, "an event stream broke off");
        }
        self.observer.answered(room, outcome, status, began.elapsed());
    }

    fn too_large(&self, out: &mut Vec<u8>) -> Step {
        let (refused, kind) = (Refused::TooLarge, ProblemKind::HeadTooLarge);
        let answer = Answer::problem_body(refused.status(), kind.document(Some(&refused.to_string())));
        answer.write(out, How { head_only: false, keep: false });
        self.observer.answered(None, Outcome::Own, refused.status(), Duration::ZERO);
        Step::Refused
    }
}

/// Has Pingora serve one request. What comes back, if the connection is kept: the stream, what has been read and not
/// served, and how long it is kept.
async fn hand_over(
    proxy: &Arc<HttpProxy<Edge>>,
    handed: talk::Handed,
    shutdown: &ShutdownWatch,
) -> Option<(Stream, Vec<u8>, Duration)> {
    let talk::Handed { stream, bytes, deadline } = handed;
    let connection = Connection::new(shutdown);
    let mut session = ServerSession::new_http1(connection.watch(stream, bytes, deadline));
    session.set_keepalive((!*shutdown.borrow()).then_some(KEEP_ALIVE_S));
    let served = connection.serve(proxy.process_new_http(session, shutdown)).await?;
    let (stream, _settings) = served.consume();
    let (stream, rest) = stream.into_any().downcast::<Watched>().ok()?.take_back()?;
    Some((stream, rest, connection.kept_for()))
}
