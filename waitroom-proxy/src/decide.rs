//! What to do with a request, from what it shows and what this node knows. Pure: one function
//! chooses, everything with a socket or a clock acts on the choice.

use crate::classify::RouteKind;
use crate::session::Session;
use crate::ticket::Ticket;
use crate::view::{Place, RoomView, Standing};

/// What a request shows of itself, already verified.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    /// A live session that we signed.
    pub session: Option<Session>,
    /// A ticket that we signed.
    pub ticket: Option<Ticket>,
}

/// What the operator wants when the store is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Nobody new enters.
    Guarded,
    /// The store has been away for longer than the grace time, and the policy is to let everybody through.
    ThrownOpen,
}

/// The next step for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Not protected: forward without a token.
    ForwardOpen,
    /// Admitted: forward with the token.
    Forward(Session),
    /// Forward with a short token that no store knows of.
    ForwardUnguarded,
    /// Nobody waits: try to let the visitor straight in.
    Enter,
    /// A first sight while people wait: answer with a pre-ticket, without asking the store.
    FirstSight,
    /// Put the ticket (back) in line.
    Join(Ticket),
    /// The ticket's turn may have come: claim it.
    Claim(Ticket),
    /// Still in line, at this position.
    Wait(Ticket, u64),
    /// The ticket is of a former incarnation: begin anew at the tail.
    Rejoin,
    /// Nothing can be told until the store answers; the ticket stays as it is.
    HoldBlind(Ticket),
    /// The ticket proves that the store lost the room: tell it, then join.
    Prove(Ticket),
}

/// Chooses. A session that the view does not honour counts as none.
#[must_use]
pub fn decide(kind: RouteKind, shown: Shown, view: &RoomView, door: Door) -> Decision {
    let session = shown.session.filter(|session| view.honours(session));
    match (kind, session, shown.ticket) {
        (RouteKind::Open | RouteKind::Bypass, ..) => Decision::ForwardOpen,
        (RouteKind::Protected, Some(session), _) => Decision::Forward(session),
        (RouteKind::Protected, None, _) if door == Door::ThrownOpen => Decision::ForwardUnguarded,
        (RouteKind::Protected, None, Some(ticket)) => decide_ticket(ticket, view),
        (RouteKind::Protected, None, None) if view.open_door() => Decision::Enter,
        (RouteKind::Protected, None, None) => Decision::FirstSight,
    }
}

fn decide_ticket(ticket: Ticket, view: &RoomView) -> Decision {
    if !view.known {
        // Fail closed: the upstream is worth more than a prompt page.
        return Decision::HoldBlind(ticket);
    }
    if ticket.is_pre() {
        return Decision::Join(ticket);
    }
    match view.standing_of(&ticket) {
        Standing::Void => Decision::Rejoin,
        Standing::Ahead => Decision::HoldBlind(ticket),
        Standing::ProvesMore => Decision::Prove(ticket),
        Standing::Current => match view.place(ticket.seq) {
            Place::Waiting(position) => Decision::Wait(ticket, position),
            // Above the highest number ever given a turn nobody can have one.
            Place::AskStore if ticket.seq > view.seen.watermark => Decision::Join(ticket),
            Place::AskStore => Decision::Claim(ticket),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Epoch, Vid};

    const NOTHING: Shown = Shown { session: None, ticket: None };

    /// A known, empty room of generation and life 1, changed as the test wants.
    fn room_with(change: impl FnOnce(&mut RoomView)) -> RoomView {
        let mut room = RoomView::default();
        room.epoch = Epoch { generation: 1, life: 1 };
        room.known = true;
        room.stale = false;
        change(&mut room);
        room
    }

    fn open_room() -> RoomView {
        room_with(|_| {})
    }

    fn crowded() -> RoomView {
        room_with(|room| (room.waiting, room.head) = (3, Some(1)))
    }

    fn ticket(seq: u64, generation: u64) -> Ticket {
        Ticket { epoch: Epoch { generation, life: 1 }, vid: Vid([1; 12]), seq, arrived_ms: 0, renewed_ms: 0 }
    }

    fn with(ticket: Ticket) -> Shown {
        Shown { ticket: Some(ticket), ..NOTHING }
    }

    #[test]
    fn i10_nothing_shown_is_never_forwarded() {
        for view in [RoomView::default(), open_room(), crowded()] {
            let decision = decide(RouteKind::Protected, NOTHING, &view, Door::Guarded);
            assert!(matches!(decision, Decision::Enter | Decision::FirstSight), "{decision:?}");
        }
    }

    #[test]
    fn first_sight_asks_the_store_only_while_nobody_waits() {
        let protected = |view: &RoomView| decide(RouteKind::Protected, NOTHING, view, Door::Guarded);
        assert_eq!(protected(&open_room()), Decision::Enter);
        assert_eq!(protected(&crowded()), Decision::FirstSight);
        assert_eq!(protected(&room_with(|room| room.paused = true)), Decision::FirstSight);
        assert_eq!(protected(&room_with(|room| room.stale = true)), Decision::FirstSight);
    }

    #[test]
    fn a_ticket_joins_claims_or_begins_anew() {
        let view = room_with(|room| room.seen.watermark = 10);
        let go = |t: Ticket| decide(RouteKind::Protected, with(t), &view, Door::Guarded);
        assert_eq!(go(ticket(0, 0)), Decision::Join(ticket(0, 0)), "a pre-ticket is of no epoch");
        assert_eq!(go(ticket(5, 1)), Decision::Claim(ticket(5, 1)));
        assert_eq!(go(ticket(11, 1)), Decision::Join(ticket(11, 1)));
        assert_eq!(go(ticket(5, 0)), Decision::Rejoin, "i11");
        assert_eq!(go(ticket(5, 2)), Decision::HoldBlind(ticket(5, 2)));
    }

    #[test]
    fn before_the_first_picture_a_ticket_is_kept_and_nobody_enters() {
        let t = ticket(5, 1);
        assert_eq!(decide(RouteKind::Protected, with(t), &RoomView::default(), Door::Guarded), Decision::HoldBlind(t));
        let thrown_open = decide(RouteKind::Protected, with(t), &RoomView::default(), Door::ThrownOpen);
        assert_eq!(thrown_open, Decision::ForwardUnguarded);
    }
}
