//! Polls: where somebody stands, and what they must be told besides.

use http::{Method, request::Parts};

use super::{Answered, carrier, news_by_cookie, only, own_preflight, room_of, verify};
use crate::credentials::{Credentials, TICKET_HEADER, TOKEN_HEADER};
use crate::edge::answer::Answer;
use crate::edge::mint::Minted;
use crate::edge::news::Carrier;
use crate::edge::problem::ProblemKind;
use crate::edge::reception::{Counter, Reception, Verified};
use crate::edge::request::Cors;
use crate::edge::site::{Site, SiteRoom};
use crate::edge::{Outcome, request, waiting};
use crate::status::{State, Status};
use crate::ticket::Ticket;

/// Answers a poll.
pub(super) async fn status(site: &Site, parts: &Parts, now_ms: u64) -> Answered {
    let index = match status_room(site, parts, now_ms) {
        Ok(index) => index,
        Err(answered) => return answered,
    };
    polled(index, poll(site, &site.rooms[index], parts, now_ms).await)
}

/// The same if nobody has to be asked; otherwise nothing has happened.
pub(super) fn status_now(site: &Site, parts: &Parts, now_ms: u64) -> Option<Answered> {
    let index = match status_room(site, parts, now_ms) {
        Ok(index) => index,
        Err(answered) => return Some(answered),
    };
    let site_room = &site.rooms[index];
    let poller = Poller::new(site, site_room, parts, now_ms);
    let told = match poller.left() {
        Some(polled) => Ok(polled),
        None => {
            let counter = poller.counter();
            poller.tell(counter.poll_now(&poller.verified)?)
        }
    };
    Some(polled(index, told))
}

/// The room that a poll is about, or the answer to what is none.
fn status_room(site: &Site, parts: &Parts, now_ms: u64) -> Result<usize, Answered> {
    if let Some(answered) = own_preflight(site, parts) {
        return Err(answered);
    }
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        return Err(only(site, parts, "GET, HEAD"));
    }
    room_of(site, parts, now_ms)
}

fn polled(room: usize, told: Result<Polled, Answer>) -> Answered {
    let answer = match told {
        Ok(Polled { status, answer, .. }) => answer.body(json(&status)),
        Err(answer) => answer,
    };
    Answered { room: Some(room), outcome: Outcome::Poll, answer }
}

/// What a poll is told.
pub struct Polled {
    /// The status.
    pub status: Status,
    /// The answer without its body: whatever the client must be told besides.
    pub answer: Answer,
    /// Whose place it is; `None` when admitted, or when there is no place.
    pub ticket: Option<Ticket>,
}

pub(super) async fn poll(site: &Site, site_room: &SiteRoom, parts: &Parts, now_ms: u64) -> Result<Polled, Answer> {
    let poller = Poller::new(site, site_room, parts, now_ms);
    match poller.left() {
        Some(polled) => Ok(polled),
        None => poller.tell(poller.counter().poll(poller.verified.clone()).await),
    }
}

/// Somebody who polls.
struct Poller<'p> {
    site: &'p Site,
    site_room: &'p SiteRoom,
    shown: Credentials<'p>,
    verified: Verified,
    cors: Cors<'p>,
    now_ms: u64,
}

impl<'p> Poller<'p> {
    fn new(site: &'p Site, site_room: &'p SiteRoom, parts: &'p Parts, now_ms: u64) -> Self {
        let now_ms = site_room.room.by_the_store(now_ms);
        let shown = site_room.cookies.read(&parts.headers);
        let verified = verify(site, site_room, &shown, now_ms);
        let cors = request::cors(&parts.headers, &site_room.cors_origins);
        Self { site, site_room, shown, verified, cors, now_ms }
    }

    fn counter(&self) -> Counter<'_> {
        Counter { room: &self.site_room.room, mint: &self.site.mint, now_ms: self.now_ms }
    }

    fn empty(&self) -> Answer {
        Answer::json(200, "").cors(self.cors)
    }

    /// For those who gave up their place or their session, or whose session was ended.
    fn left(&self) -> Option<Polled> {
        let room = &self.site_room.room;
        let session =
            self.verified.session.as_ref().map(|shown| {
                room.is_over(shown.session.epoch, shown.session.seq) || room.has_ended_here(&shown.session)
            });
        let ticket = self.verified.ticket.map(|ticket| match ticket.is_pre() {
            true => room.has_left(ticket.vid),
            false => room.is_over(ticket.epoch, ticket.seq),
        });
        // A live session is inside, and a live ticket has a place, whatever else is shown beside it.
        let left = match (session, ticket) {
            (Some(false), _) | (None, None) => false,
            (Some(true), None) => true,
            (Some(true) | None, Some(over)) => over,
        };
        left.then(|| {
            let status = waiting::status_without_place(self.site_room, State::None, self.now_ms);
            Polled { status, answer: self.empty(), ticket: None }
        })
    }

    fn tell(&self, reception: Reception) -> Result<Polled, Answer> {
        let (site, site_room, now_ms) = (self.site, self.site_room, self.now_ms);
        match reception {
            Reception::Admitted { minted, news } => Ok(self.admitted(&minted, news)),
            Reception::Held(held) => {
                let status = waiting::status_of(site_room, &held, now_ms, rand::random());
                let mut answer = waiting::with_ticket(self.empty(), site_room, &site.mint, &held);
                if held.news {
                    answer = answer
                        .text(TICKET_HEADER, &held.ticket.seal(site.mint.sealer(), site_room.room.name().as_str()));
                }
                Ok(Polled { status, answer, ticket: Some(held.ticket) })
            }
            Reception::Open | Reception::Broken => Err(Answer::problem(ProblemKind::Internal, None).cors(self.cors)),
        }
    }

    fn admitted(&self, minted: &Minted, news: bool) -> Polled {
        let (site, site_room) = (self.site, self.site_room);
        let mut status = waiting::status_without_place(site_room, State::Admitted, self.now_ms);
        status.poll_after_ms = 0;
        status.expires_at_ms = Some(minted.session.expires_s * 1_000);
        let carrier = carrier(site, site_room, &self.shown, &self.verified, false);
        let mut answer = self.empty();
        if carrier == Carrier::Headers || (carrier == Carrier::Either && self.shown.by_header()) {
            status.token = Some(minted.token.to_string());
            answer = answer.text(TOKEN_HEADER, &minted.token);
        }
        if news && carrier != Carrier::Headers {
            let cookies = news_by_cookie(site, site_room, minted, self.now_ms / 1_000);
            answer = cookies.iter().fold(answer, |answer, cookie| answer.cookie(cookie));
        }
        Polled { status, answer, ticket: None }
    }
}

fn json(status: &Status) -> Vec<u8> {
    /// What a status takes, as a rule; a token makes it longer.
    const BYTES: usize = 320;
    let mut json = Vec::with_capacity(BYTES);
    // Strings and finite numbers always serialise.
    let _always = serde_json::to_writer(&mut json, status);
    json
}
