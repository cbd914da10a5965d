//! Answers for those who wait: the page, the 429, the status object.

use http::header::{CONTENT_ENCODING, CONTENT_LANGUAGE, HeaderName, HeaderValue, RETRY_AFTER, VARY};
use serde::Serialize;

use super::answer::Answer;
use super::mint::Mint;
use super::problem::ProblemKind;
use super::reception::{Held, told};
use super::request;
use super::site::SiteRoom;
use crate::credentials::{TICKET_HEADER, TOKEN_HEADER};
use crate::status::{State, Status};
use crate::ticket::PRE_TICKET_AGE;

const ROBOTS: HeaderName = HeaderName::from_static("x-robots-tag");
const CSP: HeaderName = HeaderName::from_static("content-security-policy");
const REFERRER: HeaderName = HeaderName::from_static("referrer-policy");
const SNIFF: HeaderName = HeaderName::from_static("x-content-type-options");

/// The 429: a problem document with the members of the status object.
#[derive(Serialize)]
struct Waiting<'w> {
    r#type: &'static str,
    title: &'static str,
    #[serde(flatten)]
    status_object: &'w Status,
    status: u16,
    ticket: &'w str,
    status_url: String,
}

/// What a waiting visitor is told. `jitter` is a random number in [0, 1).
#[must_use]
pub fn status_of(site_room: &SiteRoom, held: &Held, now_ms: u64, jitter: f64) -> Status {
    told::waiting(&site_room.room, held, now_ms, jitter)
}

/// A status without a place.
#[must_use]
pub fn status_without_place(site_room: &SiteRoom, state: State, now_ms: u64) -> Status {
    told::without_place(&site_room.room, state, now_ms)
}

/// The waiting page.
#[must_use]
pub fn page(site_room: &SiteRoom, mint: &Mint, held: &Held, status: &Status, headers: &http::HeaderMap) -> Answer {
    let (lang, encoding) = (request::language(headers), request::encoding(headers));
    let page = &site_room.page;
    let first_sight = held.ticket.is_pre() && held.news && !status.stale;
    let body = match (first_sight, status.paused) {
        (true, false) => page.first_sight(lang, encoding),
        (true, true) => page.paused(lang, encoding),
        (false, _) => page.render(lang, status, whole_seconds(status.poll_after_ms), encoding),
    };
    let answer = Answer::page(site_room.waiting_status, body)
        .field(VARY, HeaderValue::from_static("Accept-Language, Accept-Encoding, Cookie"))
        .field(CONTENT_LANGUAGE, HeaderValue::from_static(lang.tag()))
        .field(ROBOTS, HeaderValue::from_static("noindex"))
        .field(REFERRER, HeaderValue::from_static("same-origin"))
        .field(SNIFF, HeaderValue::from_static("nosniff"))
        .field(CSP, site_room.csp.clone())
        .cors(request::cors(headers, &site_room.cors_origins));
    let answer = match encoding.content_encoding() {
        Some(coding) => answer.field(CONTENT_ENCODING, HeaderValue::from_static(coding)),
        None => answer,
    };
    // A client that says it wants pages and carries its ticket in a header.
    let answer = match held.news && (headers.contains_key(TICKET_HEADER) || headers.contains_key(TOKEN_HEADER)) {
        true => answer.text(TICKET_HEADER, &held.ticket.seal(mint.sealer(), site_room.room.name().as_str())),
        false => answer,
    };
    with_ticket(answer, site_room, mint, held)
}

/// The 429 for API clients.
#[must_use]
pub fn too_early(site_room: &SiteRoom, mint: &Mint, held: &Held, status: &Status, headers: &http::HeaderMap) -> Answer {
    let name = site_room.room.name().as_str();
    let ticket = held.ticket.seal(mint.sealer(), name);
    let waiting = Waiting {
        r#type: ProblemKind::Waiting.kind(),
        title: ProblemKind::Waiting.title(),
        status_object: status,
        status: ProblemKind::Waiting.status(),
        ticket: &ticket,
        status_url: format!("/queue/status?room={name}"),
    };
    let body = serde_json::to_vec(&waiting).unwrap_or_default();
    let answer = Answer::problem_body(ProblemKind::Waiting.status(), body)
        .text(RETRY_AFTER, &whole_seconds(status.poll_after_ms).to_string())
        .text(TICKET_HEADER, &ticket)
        .cors(request::cors(headers, &site_room.cors_origins));
    with_ticket(answer, site_room, mint, held)
}

/// Tells the client of a new ticket, by cookie.
#[must_use]
pub fn with_ticket(answer: Answer, site_room: &SiteRoom, mint: &Mint, held: &Held) -> Answer {
    if !held.news {
        return answer;
    }
    let sealed = held.ticket.seal(mint.sealer(), site_room.room.name().as_str());
    let age = match held.ticket.is_pre() {
        true => PRE_TICKET_AGE,
        false => site_room.room.settings().ticket_max_age,
    };
    answer.cookie(&site_room.cookies.set_ticket(&sealed, age.as_secs()))
}

/// Rounded up, and at least one: a client that comes back "after 0 seconds" would never stop coming.
#[must_use]
pub fn whole_seconds(poll_after_ms: u64) -> u32 {
    u32::try_from(poll_after_ms.div_ceil(1_000).max(1)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_rounded_up_and_never_zero() {
        assert_eq!([0, 1, 1_000, 1_001, 29_999].map(whole_seconds), [1, 1, 1, 2, 30]);
    }
}
