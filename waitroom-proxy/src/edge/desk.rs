//! The addresses that the proxy answers itself: status, events, leave, JWKS, preflights.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ALLOW, CONTENT_ENCODING, HeaderMap, HeaderValue,
};
use http::{Method, request::Parts};

use super::answer::Answer;
use super::mint::Minted;
use super::news::Carrier;
use super::problem::ProblemKind;
use super::reception::{Counter, Verified};
use super::request::Cors;
use super::site::{Site, SiteRoom};
use super::{Outcome, request};
use crate::credentials::Credentials;
use crate::room::StreamPlace;

mod poll;
mod which;

pub use poll::Polled;
use poll::{poll, status, status_now};
use which::{Which, opens, which};

const STATUS: &str = "/queue/status";
const EVENTS: &str = "/queue/events";
const LEAVE: &str = "/queue/leave";
const JWKS: &str = "/.well-known/jwks.json";

/// Backends keep the keys for this long.
const JWKS_AGE_S: u32 = 300;

/// An answer of the desk.
pub struct Answered {
    /// The room it was about.
    pub room: Option<usize>,
    /// What it was.
    pub outcome: Outcome,
    /// The answer.
    pub answer: Answer,
}

/// Answers, if the path is one of the proxy's own.
pub async fn reserved(site: &Site, parts: &Parts, now_ms: u64) -> Option<Answered> {
    match parts.uri.path() {
        STATUS => Some(status(site, parts, now_ms).await),
        LEAVE => Some(leave(site, parts, now_ms)),
        JWKS => Some(jwks(site, parts)),
        _ => None,
    }
}

/// What the desk can say at once.
pub enum AtOnce {
    /// The answer.
    Answered(Answered),
    /// Somebody must be asked: [`reserved`] does it. Nothing has happened yet.
    Ask,
    /// None of the desk's addresses, or one that takes a whole session.
    NotHere,
}

/// Answers a poll or a request for the keys, if nobody has to be asked.
#[must_use]
pub fn at_once(site: &Site, parts: &Parts, now_ms: u64) -> AtOnce {
    match parts.uri.path() {
        STATUS => status_now(site, parts, now_ms).map_or(AtOnce::Ask, AtOnce::Answered),
        JWKS => AtOnce::Answered(jwks(site, parts)),
        _ => AtOnce::NotHere,
    }
}

/// What an address needs of the connection besides a head and an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Nothing.
    Nothing,
    /// All of it, for an event stream.
    Stream,
    /// A body, perhaps.
    Session,
}

/// What this address needs of the connection.
#[must_use]
pub fn takes(parts: &Parts) -> Takes {
    match parts.uri.path() {
        EVENTS => Takes::Stream,
        LEAVE => Takes::Session,
        _ => Takes::Nothing,
    }
}

/// Verifies what a request shows of itself for a room.
#[must_use]
pub fn verify(site: &Site, site_room: &SiteRoom, shown: &Credentials<'_>, now_ms: u64) -> Verified {
    if !shown.any() {
        return Verified::default();
    }
    let name = site_room.room.name().as_str();
    let max_age = site_room.room.settings().ticket_max_age;
    let counter = Counter { room: &site_room.room, mint: &site.mint, now_ms };
    let mut session = site.mint.session(name, shown, now_ms / 1_000);
    // A cookie of a session that is over must not hide another one in the header.
    if shown.header_token.is_some()
        && session.as_ref().is_some_and(|cookie| !cookie.by_header && !counter.counts(&cookie.session))
    {
        let header = Credentials { cookie_token: None, ..*shown };
        let other = site.mint.session(name, &header, now_ms / 1_000);
        session = other.filter(|header| counter.counts(&header.session)).or(session);
    }
    Verified { session, ticket: site.mint.ticket(name, shown, now_ms, max_age) }
}

/// How the client that shows this is told of a session.
#[must_use]
pub fn carrier(
    site: &Site,
    site_room: &SiteRoom,
    shown: &Credentials<'_>,
    verified: &Verified,
    browser: bool,
) -> Carrier {
    let counter = Counter { room: &site_room.room, mint: &site.mint, now_ms: 0 };
    let session = verified.session.as_ref().filter(|shown| counter.counts(&shown.session));
    let proved = match (session, verified.ticket) {
        (Some(session), _) => Some(session.by_header),
        // The one in the header counts first, if it is one.
        (None, Some(_)) if shown.cookie_ticket.is_none() => Some(true),
        (None, Some(_)) => Some(opens(site, site_room, shown.header_ticket)),
        (None, None) => None,
    };
    Carrier::of(shown, proved, browser)
}

/// Cookies that tell a client of its session.
#[must_use]
pub fn news_by_cookie(site: &Site, room: &SiteRoom, minted: &Minted, now_s: u64) -> Vec<String> {
    let name = room.room.name().as_str();
    let sealed = minted.session.seal(site.mint.sealer(), name, &minted.token);
    let age_s = minted.session.expires_s.saturating_sub(now_s);
    let token = room.cookies.set_token(&sealed, age_s);
    match minted.session.seq {
        // Let through while the store is away: the place in line is all that is left when it comes back.
        0 => vec![token],
        // The ticket is spent: whoever comes back after the session begins anew.
        _ => vec![token, room.cookies.clear_ticket()],
    }
}

/// Answers a preflight of an allowed origin.
#[must_use]
pub fn preflight(headers: &HeaderMap, cors: Cors<'_>) -> Answer {
    let copy = |answer: Answer, from, to| match headers.get(from) {
        Some(value) => answer.field(to, HeaderValue::clone(value)),
        None => answer,
    };
    let answer = Answer::new(204, "").cors(cors);
    let answer = copy(answer, ACCESS_CONTROL_REQUEST_METHOD, ACCESS_CONTROL_ALLOW_METHODS);
    let answer = copy(answer, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_ALLOW_HEADERS);
    answer.field(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"))
}

/// The room that a request for its status is about, or the answer that there is none.
fn room_of(site: &Site, parts: &Parts, now_ms: u64) -> Result<usize, Answered> {
    match which(site, parts) {
        Which::One(index) => Ok(index),
        Which::Gone(name) => Err(own(gone(&name, now_ms).cors(cors_of_any(site, parts)))),
        Which::Ambiguous => Err(own(Answer::problem(ProblemKind::RoomAmbiguous, None).cors(cors_of_any(site, parts)))),
        Which::BadName => Err(own(bad_name().cors(cors_of_any(site, parts)))),
    }
}

fn bad_name() -> Answer {
    Answer::problem(ProblemKind::BadRequest, Some("this is not a room's name"))
}

/// Where an answer is about no room, a front end of any of them may read it.
fn cors_of_any<'p>(site: &Site, parts: &'p Parts) -> Cors<'p> {
    site.rooms
        .iter()
        .map(|room| request::cors(&parts.headers, &room.cors_origins))
        .fold(Cors::default(), |all, one| Cors { origin: all.origin.or(one.origin), varies: all.varies || one.varies })
}

fn own_preflight(site: &Site, parts: &Parts) -> Option<Answered> {
    request::is_preflight(parts).then(|| own(preflight(&parts.headers, cors_of_any(site, parts))))
}

fn only(site: &Site, parts: &Parts, methods: &'static str) -> Answered {
    let answer = Answer::problem(ProblemKind::MethodNotAllowed, None).field(ALLOW, HeaderValue::from_static(methods));
    own(answer.cors(cors_of_any(site, parts)))
}

/// What a request for the event stream gets.
pub enum Events {
    /// No stream.
    Answered(Answered),
    /// A stream.
    Open {
        /// The room it is about.
        room: usize,
        /// Its first event, and whose it is.
        polled: Box<Polled>,
        /// One of the room's streams.
        place: StreamPlace,
    },
}

/// Answers a request for the event stream, if this is one: everything but the stream itself.
pub async fn events(site: &Site, parts: &Parts, now_ms: u64) -> Option<Events> {
    if parts.uri.path() != EVENTS {
        return None;
    }
    if let Some(answered) = own_preflight(site, parts) {
        return Some(Events::Answered(answered));
    }
    if parts.method != Method::GET {
        return Some(Events::Answered(only(site, parts, "GET")));
    }
    let index = match room_of(site, parts, now_ms) {
        Ok(index) => index,
        Err(answered) => return Some(Events::Answered(answered)),
    };
    let site_room = &site.rooms[index];
    let answered = |answer| Some(Events::Answered(Answered { room: Some(index), outcome: Outcome::Stream, answer }));
    // Asked before the poll: who is turned away polls, and finds everything as it was.
    let Some(place) = site_room.room.stream() else {
        let cors = request::cors(&parts.headers, &site_room.cors_origins);
        return answered(Answer::problem(ProblemKind::TooMany, Some("too many event streams: poll")).cors(cors));
    };
    match poll(site, site_room, parts, now_ms).await {
        Ok(polled) => Some(Events::Open { room: index, polled: Box::new(polled), place }),
        Err(answer) => answered(answer),
    }
}

/// The status of a room that is not there.
fn gone(name: &str, now_ms: u64) -> Answer {
    Answer::json(200, serde_json::json!({ "room": name, "state": "none", "server_time_ms": now_ms }).to_string())
}

fn leave(site: &Site, parts: &Parts, now_ms: u64) -> Answered {
    if let Some(answered) = own_preflight(site, parts) {
        return answered;
    }
    if parts.method != Method::POST {
        return only(site, parts, "POST");
    }
    let index = match which(site, parts) {
        Which::One(index) => index,
        // There is nothing left to give up.
        Which::Gone(_) => return own(Answer::new(204, "").cors(cors_of_any(site, parts))),
        Which::Ambiguous | Which::BadName => match room_of(site, parts, now_ms) {
            Ok(index) => index,
            Err(answered) => return answered,
        },
    };
    let site_room = &site.rooms[index];
    let now_ms = site_room.room.by_the_store(now_ms);
    let verified = verify(site, site_room, &site_room.cookies.read(&parts.headers), now_ms);
    if let Some(shown) = &verified.session {
        site_room.room.end_session(&shown.session, now_ms);
    }
    match verified.ticket {
        Some(ticket) if ticket.is_pre() => site_room.room.leave(ticket.vid, ticket.good_until_ms(), now_ms),
        Some(ticket) => site_room.room.end(ticket.epoch, ticket.vid, ticket.seq),
        None => {}
    }
    // A form sent without script navigates: it gets a page to look at.
    let answer = if request::navigates(&parts.headers) {
        let encoding = request::encoding(&parts.headers);
        let page = Answer::page(200, site_room.page.left(request::language(&parts.headers), encoding))
            .field(http::header::CONTENT_SECURITY_POLICY, site_room.csp.clone());
        match encoding.content_encoding() {
            Some(coding) => page.field(CONTENT_ENCODING, HeaderValue::from_static(coding)),
            None => page,
        }
    } else {
        Answer::new(204, "")
    };
    let answer = answer
        .cookie(&site_room.cookies.clear_ticket())
        .cookie(&site_room.cookies.clear_token())
        .cors(request::cors(&parts.headers, &site_room.cors_origins));
    Answered { room: Some(index), outcome: Outcome::Own, answer }
}

fn jwks(site: &Site, parts: &Parts) -> Answered {
    if let Some(answered) = own_preflight(site, parts) {
        return answered;
    }
    match parts.method {
        Method::GET | Method::HEAD => {
            let keys = Answer::json(200, site.jwks.clone()).cacheable(JWKS_AGE_S);
            own(keys.cors(cors_of_any(site, parts)))
        }
        _ => only(site, parts, "GET, HEAD"),
    }
}

fn own(answer: Answer) -> Answered {
    Answered { room: None, outcome: Outcome::Own, answer }
}
