//! The event stream: tells a waiting visitor of every change, until it is their turn.
//!
//! A stream costs a connection, a poll does not: so streams are capped, and pages poll. The stream itself never
//! claims a turn, because a running answer can set no cookie: it says `admitted`, and the next poll takes it up. Until
//! when that may be done the store does not say to those who do not claim, so the event has no `expires_at_ms`.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::HeaderValue;
use http::header::{CONTENT_TYPE, HeaderName};
use pingora::Result;
use tokio::time::Instant;

use super::answer::Answer;
use super::desk::Polled;
use super::reception::Held;
use super::site::{Site, SiteRoom};
use super::waiting;
use crate::room::{Clock, Patience, StreamPlace};
use crate::status::{State, Status};
use crate::store::Standing as InStore;
use crate::ticket::Ticket;
use crate::view::{Place, Standing};

mod listener;

pub use listener::{Direct, Listener, process_ends};

/// Positions are as of the last snapshot, and there is one a second.
const LOOK: Duration = Duration::from_secs(1);
/// A comment this often keeps proxies in between from closing a quiet stream.
const COMMENT: Duration = Duration::from_secs(15);
/// After the end of a stream a browser comes back this late, spread by as much again.
const RETRY_MS: u64 = 2_000;

const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// One running stream.
pub struct Stream<'s> {
    site: &'s ArcSwap<Site>,
    clock: &'s Clock,
    index: usize,
    /// As of the stream's beginning; a reload that removes the room ends the stream.
    at_start: Arc<Site>,
    /// Given back with the stream.
    _place: StreamPlace,
    told: Option<Status>,
}

/// What comes next on a stream.
enum Step {
    /// Nothing new.
    Quiet,
    /// An event, and the stream goes on.
    Tell(Bytes),
    /// A last event.
    Last(Bytes),
}

impl<'s> Stream<'s> {
    /// A stream about a room, in one of its places.
    #[must_use]
    pub fn new(
        site: &'s ArcSwap<Site>,
        clock: &'s Clock,
        at_start: Arc<Site>,
        index: usize,
        place: StreamPlace,
    ) -> Self {
        Self { site, clock, index, at_start, _place: place, told: None }
    }

    /// Runs until the turn comes, the client goes or the process ends.
    ///
    /// # Errors
    /// When the client is gone or takes nothing.
    pub async fn run(
        mut self,
        listener: &mut impl Listener,
        opening: Box<Polled>,
        process_ends: impl Future<Output = ()> + Send,
    ) -> Result<()> {
        let Polled { status, answer, ticket } = *opening;
        let retry = format!("retry: {}\n\n", RETRY_MS + rand::random_range(0..RETRY_MS));
        let first = Bytes::from(retry + &event(&status));
        self.told = Some(status);
        listener.begin(head(answer)).await?;
        listener.tell(first).await?;
        // A ticket without a number was given just now: who comes back with it is put in line.
        if let Some(ticket) = ticket.filter(|ticket| !ticket.is_pre()) {
            self.follow(listener, ticket, process_ends).await?;
        }
        listener.end().await
    }

    async fn follow(
        &mut self,
        listener: &mut impl Listener,
        ticket: Ticket,
        process_ends: impl Future<Output = ()> + Send,
    ) -> Result<()> {
        tokio::pin!(process_ends);
        let mut next_comment = Instant::now() + COMMENT;
        loop {
            tokio::select! {
                () = &mut process_ends => return Ok(()),
                gone = listener.gone() => gone?,
                () = tokio::time::sleep(LOOK) => {}
            }
            match self.step(ticket).await {
                Step::Quiet => {}
                Step::Tell(words) => listener.tell(words).await?,
                Step::Last(words) => return listener.tell(words).await,
            }
            if Instant::now() >= next_comment {
                next_comment += COMMENT;
                listener.tell(Bytes::from_static(b":\n\n")).await?;
            }
        }
    }

    async fn step(&mut self, ticket: Ticket) -> Step {
        let at_start = self.at_start.clone();
        let site_room = &at_start.rooms[self.index];
        let now_ms = site_room.room.by_the_store((self.clock)());
        let site = self.site.load();
        let still_there = site.rooms.iter().any(|room| Arc::ptr_eq(&room.room, &site_room.room));
        let (room, view) = (&site_room.room, site_room.room.view().clone());
        let ended = room.ended_here(ticket.epoch, ticket.seq);
        let position = match view.standing_of(&ticket) {
            _ if !still_there => return self.last(site_room, State::None, now_ms),
            // Nothing can be told until the store answers.
            _ if !view.known => None,
            Standing::Ahead | Standing::ProvesMore => None,
            // Whoever is not in line any more may join anew: by a poll, which can hand out a ticket.
            Standing::Void => return self.last(site_room, State::None, now_ms),
            Standing::Current if ended || view.has_ended(ticket.seq) => {
                return self.last(site_room, State::None, now_ms);
            }
            Standing::Current => {
                // They are there for as long as they listen.
                room.beat(ticket.seq);
                match view.place(ticket.seq) {
                    Place::Waiting(position) => Some(position),
                    Place::AskStore => match room.join(&ticket, Patience::begins()).await {
                        Ok(InStore::Waiting(seq)) => Some(room.view().position_of_joined(seq)),
                        Ok(InStore::Granted(_) | InStore::Active(_)) => {
                            return self.last(site_room, State::Admitted, now_ms);
                        }
                        Ok(InStore::Void(_)) => return self.last(site_room, State::None, now_ms),
                        Err(_) => None,
                    },
                }
            }
        };
        let held = Held { ticket, news: false, position, blind: position.is_none() };
        let status = waiting::status_of(site_room, &held, now_ms, rand::random());
        if self.told.as_ref().is_some_and(|told| says_the_same(told, &status)) {
            return Step::Quiet;
        }
        let words = Bytes::from(event(&status));
        self.told = Some(status);
        Step::Tell(words)
    }

    fn last(&self, site_room: &SiteRoom, state: State, now_ms: u64) -> Step {
        let mut status = waiting::status_without_place(site_room, state, now_ms);
        status.poll_after_ms = 0;
        Step::Last(Bytes::from(event(&status)))
    }
}

/// The times in a status change with every look, and mean nothing new.
fn says_the_same(told: &Status, now: &Status) -> bool {
    let timeless = |status: &Status| Status { poll_after_ms: 0, server_time_ms: 0, ..status.clone() };
    timeless(told) == timeless(now)
}

fn event(status: &Status) -> String {
    let name = if status.state == State::Admitted { "admitted" } else { "status" };
    // JSON has no line breaks of its own, so this is one line.
    format!("event: {name}\ndata: {}\n\n", serde_json::to_string(status).unwrap_or_default())
}

fn head(answer: Answer) -> Answer {
    answer
        .without(&CONTENT_TYPE)
        .field(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"))
        .field(BUFFERING, HeaderValue::from_static("no"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(position: u64, at: u64) -> Status {
        Status {
            room: "concert".to_owned(),
            state: State::Waiting,
            seq: Some(7),
            position: Some(position),
            waiting: 9,
            rate_per_s: 1.0,
            eta_s: None,
            poll_after_ms: at,
            paused: false,
            stale: false,
            server_time_ms: at,
            expires_at_ms: None,
            token: None,
        }
    }

    #[test]
    fn time_alone_is_no_news() {
        assert!(says_the_same(&status(3, 1), &status(3, 2)));
        assert!(!says_the_same(&status(3, 1), &status(2, 1)));
    }

    #[test]
    fn an_event_is_a_name_a_line_and_an_empty_line() {
        let text = event(&status(3, 1));
        assert!(text.starts_with("event: status\ndata: {\"room\":\"concert\""), "{text}");
        assert!(text.ends_with("}\n\n") && text.lines().count() == 3, "{text}");
        assert!(event(&Status { state: State::Admitted, ..status(1, 1) }).starts_with("event: admitted\n"));
    }
}
