//! The reception: acts on a decision by asking the room, until it is known what the request gets.
//!
//! Knows no HTTP: credentials come in verified, a reception goes out.

use std::sync::Arc;
use std::time::Duration;

use crate::classify::RouteKind;
use crate::decide::{Decision, Door, Shown, decide};
use crate::mint::{Mint, Minted, ShownSession};
use crate::renewal::due_for;
use crate::room::{Patience, Room, Unanswered};
use crate::session::Session;
use crate::store::{Begun, ClaimItem, Epoch, Standing, TouchItem, Verdict, Vid};
use crate::ticket::Ticket;

pub mod told;

/// How long a token is good that was given while the store was away and the door thrown open.
const UNGUARDED: Duration = Duration::from_secs(60);

/// What a request gets.
#[derive(Clone, Debug)]
pub enum Reception {
    /// Forward; the path is not protected.
    Open,
    /// Forward with the token.
    Admitted {
        /// Session and token.
        minted: Minted,
        /// The token is not the one that the client showed: tell it.
        news: bool,
    },
    /// Not yet: the page, a 429 or a status.
    Held(Held),
    /// The token could not be signed. Nothing is forwarded.
    Broken,
}

/// Somebody who waits.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// The ticket.
    pub ticket: Ticket,
    /// It is not the one that the client showed: tell it.
    pub news: bool,
    /// From 1; `None` without a number, or when nobody can tell now.
    pub position: Option<u64>,
    /// The store was needed and did not answer.
    pub blind: bool,
}

/// The counter of a room: where one request is received.
pub struct Counter<'r> {
    /// The room.
    pub room: &'r Arc<Room>,
    /// Keys.
    pub mint: &'r Mint,
    /// Milliseconds since the Unix epoch.
    pub now_ms: u64,
}

/// What a client showed, verified.
#[derive(Clone, Debug, Default)]
pub struct Verified {
    /// A live session that we signed.
    pub session: Option<ShownSession>,
    /// A ticket that we signed.
    pub ticket: Option<Ticket>,
}

impl Counter<'_> {
    /// Receives a request for a page or call.
    pub async fn receive(&self, kind: RouteKind, shown: Verified) -> Reception {
        let decision = self.decide(kind, &shown);
        let patience = Patience::begins();
        match decision {
            Decision::ForwardOpen => Reception::Open,
            Decision::Forward(_) => self.keep_alive(shown, patience).await,
            Decision::ForwardUnguarded => self.unguarded(),
            Decision::Enter => self.enter(patience).await,
            waiting => self.hold(waiting, patience).await,
        }
    }

    /// Receives a request for a page or call if it waits and nobody has to be asked; otherwise nothing has happened.
    #[must_use]
    pub fn receive_now(&self, kind: RouteKind, shown: &Verified) -> Option<Reception> {
        match self.decide(kind, shown) {
            Decision::Enter => None,
            decision => self.hold_now(decision),
        }
    }

    /// Receives a poll: like a protected request, but nobody enters without a ticket.
    pub async fn poll(&self, shown: Verified) -> Reception {
        let patience = Patience::begins();
        match self.decide(RouteKind::Protected, &shown) {
            Decision::Forward(_) => self.keep_alive(shown, patience).await,
            Decision::ForwardUnguarded => self.unguarded(),
            waiting => self.hold(waiting, patience).await,
        }
    }

    /// Receives a poll if nobody has to be asked; otherwise nothing has happened.
    #[must_use]
    pub fn poll_now(&self, shown: &Verified) -> Option<Reception> {
        self.hold_now(self.decide(RouteKind::Protected, shown))
    }

    fn decide(&self, kind: RouteKind, shown: &Verified) -> Decision {
        let session = shown.session.as_ref().map(|shown| shown.session);
        let session = session.filter(|session| self.may_count(session));
        // Given up for good before it was put in line: as if it had never been (I8).
        let ticket = shown.ticket.filter(|ticket| !(ticket.is_pre() && self.room.has_left(ticket.vid)));
        decide(kind, Shown { session, ticket }, &self.room.view(), self.door())
    }

    /// Whether this session is one to be forwarded with, as far as this node knows.
    #[must_use]
    pub fn counts(&self, session: &Session) -> bool {
        self.may_count(session) && self.room.view().honours(session)
    }

    /// Not what ended here; and where no other node remembers what ended before this one started, only
    /// sessions of the room's present life: an ended one must not come back (I8).
    fn may_count(&self, session: &Session) -> bool {
        let alone_and_older = self.room.is_alone() && session.epoch != self.room.view().epoch;
        !alone_and_older && !self.room.has_ended_here(session)
    }

    async fn hold(&self, decision: Decision, patience: Patience) -> Reception {
        if let Some(reception) = self.hold_now(decision) {
            return reception;
        }
        match decision {
            Decision::Join(ticket) => {
                self.beat(&ticket);
                self.join(ticket, patience).await
            }
            Decision::Claim(ticket) => {
                self.beat(&ticket);
                self.claim(ticket, patience).await
            }
            // The other decisions forward, and are taken before.
            _ => self.first_sight(),
        }
    }

    /// What this node can tell by itself. `None`: the store must be asked, or the request is not held at all, and
    /// nothing has happened.
    fn hold_now(&self, decision: Decision) -> Option<Reception> {
        let reception = match decision {
            Decision::Wait(ticket, position) => {
                self.beat(&ticket);
                Reception::Held(Held { ticket, news: false, position: Some(position), blind: false })
            }
            // Somebody new, at the tail. By way of a pre-ticket, or every replay of a void ticket would take a place.
            Decision::Rejoin | Decision::FirstSight | Decision::Enter => self.first_sight(),
            Decision::Prove(ticket) => {
                self.room.prove(ticket.epoch, ticket.seq);
                self.blind(ticket)
            }
            Decision::HoldBlind(ticket) => {
                self.room.nudge();
                self.blind(ticket)
            }
            Decision::Join(_)
            | Decision::Claim(_)
            | Decision::ForwardOpen
            | Decision::Forward(_)
            | Decision::ForwardUnguarded => return None,
        };
        Some(reception)
    }

    /// Whoever shows a number was heard.
    fn beat(&self, ticket: &Ticket) {
        if !ticket.is_pre() {
            self.room.beat(ticket.seq);
        }
    }

    fn door(&self) -> Door {
        let silent = self.room.silent_for(self.now_ms);
        match (self.room.settings().pass_after, silent) {
            (Some(after), Some(silent)) if silent >= after => Door::ThrownOpen,
            _ => Door::Guarded,
        }
    }

    fn first_sight(&self) -> Reception {
        let ticket = Ticket::pre(self.mint.draw_vid(), self.now_ms);
        let blind = !self.room.view().known;
        Reception::Held(Held { ticket, news: true, position: None, blind })
    }

    async fn enter(&self, patience: Patience) -> Reception {
        let vid = self.mint.draw_vid();
        match self.room.enter(vid, self.now_ms, patience).await {
            Ok(Verdict::Session { seq, expires_at_ms, began_ms }) => {
                self.begin(vid, seq, expires_at_ms, began_ms, true)
            }
            Ok(Verdict::No | Verdict::Waiting(_)) | Err(_) => self.first_sight(),
        }
    }

    async fn join(&self, ticket: Ticket, patience: Patience) -> Reception {
        match self.room.join(&ticket, patience).await {
            Ok(Standing::Waiting(seq)) => self.in_line(ticket, seq),
            Ok(Standing::Granted(seq) | Standing::Active(seq)) => {
                self.claim(self.numbered(ticket, seq), patience).await
            }
            Ok(Standing::Void(_)) => self.first_sight(),
            Err(_) => self.blind(ticket),
        }
    }

    async fn claim(&self, ticket: Ticket, patience: Patience) -> Reception {
        match self.claim_once(&ticket, patience).await {
            Ok(Verdict::Session { seq, expires_at_ms, began_ms }) => {
                self.begin(ticket.vid, seq, expires_at_ms, began_ms, false)
            }
            Ok(Verdict::Waiting(seq)) => self.in_line(ticket, seq),
            // The turn ran out unclaimed, or the ticket is spent: the store knows which when it joins.
            Ok(Verdict::No) => match self.room.join(&ticket, patience).await {
                Ok(Standing::Waiting(seq)) => self.in_line(ticket, seq),
                Ok(Standing::Void(_)) => self.first_sight(),
                Ok(Standing::Granted(_) | Standing::Active(_)) | Err(_) => self.blind(ticket),
            },
            Err(_) => self.blind(ticket),
        }
    }

    async fn claim_once(&self, ticket: &Ticket, patience: Patience) -> Result<Verdict, Unanswered> {
        let item = ClaimItem { vid: ticket.vid, seq: ticket.seq, proof: false };
        self.room.claim(ticket.epoch, item, patience).await
    }

    fn blind(&self, ticket: Ticket) -> Reception {
        let kept = ticket.kept_good(self.now_ms);
        Reception::Held(Held { ticket: kept, news: kept != ticket, position: None, blind: true })
    }

    fn in_line(&self, ticket: Ticket, seq: u64) -> Reception {
        let numbered = self.numbered(ticket, seq);
        self.room.beat(seq);
        let position = self.room.view().position_of_joined(seq);
        Reception::Held(Held { ticket: numbered, news: numbered != ticket, position: Some(position), blind: false })
    }

    fn numbered(&self, ticket: Ticket, seq: u64) -> Ticket {
        Ticket { seq, epoch: self.room.view().epoch, renewed_ms: 0, ..ticket }
    }

    fn begin(&self, vid: Vid, seq: u64, expires_at_ms: u64, began_ms: u64, provisional: bool) -> Reception {
        let settings = self.room.settings();
        let now_s = self.now_ms / 1_000;
        let epoch = self.room.view().epoch;
        let lasts = if provisional { settings.provisional() } else { settings.session_ttl };
        self.room.tell(epoch, Begun { vid, seq, began_ms, expires_ms: expires_at_ms });
        self.room.note_spent(epoch, seq);
        let session = Session {
            epoch,
            vid,
            seq,
            // As the store has it, to the second: claiming again with the old ticket, at whichever proxy, is no way around
            // the session's end, and backends count by it.
            began_s: began_ms / 1_000,
            // The store's clock decides when the slot is free; ours, what the token says. The earlier holds.
            expires_s: (expires_at_ms / 1_000).min(now_s + lasts.as_secs().max(1)).max(now_s + 1),
            provisional,
        };
        self.signed(session)
    }

    fn unguarded(&self) -> Reception {
        let now_s = self.now_ms / 1_000;
        let epoch = self.room.view().epoch;
        let settings = self.room.settings();
        let lasts = UNGUARDED.min(settings.session_ttl).min(settings.session_max);
        let expires_s = now_s + lasts.as_secs();
        self.signed(Session { epoch, vid: self.mint.draw_vid(), seq: 0, began_s: now_s, expires_s, provisional: true })
    }

    fn signed(&self, session: Session) -> Reception {
        match self.mint.sign(session, self.room.name().as_str(), self.now_ms / 1_000) {
            Ok(minted) => Reception::Admitted { minted, news: true },
            Err(error) => {
                tracing::error!(%error, "a queue token could not be signed");
                Reception::Broken
            }
        }
    }

    /// Forwards with the session shown, renewed where due; a session that the store says is over is none.
    async fn keep_alive(&self, mut shown: Verified, patience: Patience) -> Reception {
        let Some(ShownSession { session, token, .. }) = shown.session.take() else { return self.first_sight() };
        self.room.vouch_for(&session);
        let as_it_is = |session, token| Reception::Admitted { minted: Minted { session, token }, news: false };
        let settings = self.room.settings().clone();
        let Some(ttl) = due_for(&session, &settings, self.now_ms / 1_000) else { return as_it_is(session, token) };
        let (name, quarter) = (self.room.name().as_str(), settings.session_ttl / 4);
        if let Some(minted) = self.mint.recent_renewal(name, session.seq, self.now_ms, quarter)
            && minted.session.vid == session.vid
            && minted.session.epoch == session.epoch
        {
            return Reception::Admitted { minted, news: true };
        }
        let expires_s = match self.touch(&session, ttl, patience).await {
            Ok(Verdict::Session { expires_at_ms, .. }) => expires_at_ms / 1_000,
            Ok(Verdict::No | Verdict::Waiting(_)) => {
                return self.hold_after_the_end(shown, patience).await;
            }
            // Sessions go on while the store is away: nobody is thrown out of a payment.
            Err(_)
                if session.provisional
                    || session.expires_s < self.now_ms / 1_000 + settings.session_ttl.as_secs() / 2 =>
            {
                self.now_ms / 1_000 + ttl.as_secs()
            }
            Err(_) => return as_it_is(session, token),
        };
        let renewed = Session { expires_s: expires_s.max(session.expires_s), provisional: false, ..session };
        match self.signed(renewed) {
            Reception::Admitted { minted, news } => {
                self.mint.note_renewal(name, self.now_ms, quarter, &minted);
                Reception::Admitted { minted, news }
            }
            other => other,
        }
    }

    async fn hold_after_the_end(&self, shown: Verified, patience: Patience) -> Reception {
        match self.decide(RouteKind::Protected, &shown) {
            Decision::Enter => self.enter(patience).await,
            waiting => self.hold(waiting, patience).await,
        }
    }

    async fn touch(&self, session: &Session, ttl: Duration, patience: Patience) -> Result<Verdict, Unanswered> {
        let current: Epoch = self.room.view().epoch;
        if session.epoch != current {
            // Of a life that the store has not been told of yet.
            self.room.prove(session.epoch, session.seq);
            return Err(Unanswered::Unavailable);
        }
        let began_ms = session.began_s.saturating_mul(1_000);
        let item = TouchItem { vid: session.vid, seq: session.seq, ttl, proof: true, began_ms };
        self.room.touch(session.epoch, item, patience).await
    }
}
