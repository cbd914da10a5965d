//! Which room a request to the proxy itself is about.

use http::HeaderMap;
use http::request::Parts;

use crate::edge::request;
use crate::edge::site::{Site, SiteRoom};
use crate::seal::Purpose;

/// Which room a status or leave request is about.
pub(super) enum Which {
    One(usize),
    /// Named, but not there (any more).
    Gone(String),
    Ambiguous,
    BadName,
}

/// By the parameter, then the host, then what is shown.
pub(super) fn which(site: &Site, parts: &Parts) -> Which {
    if let Some(name) = request::query(parts, "room") {
        return match (site.room(name), crate::store::RoomName::new(name)) {
            (Some(index), _) => Which::One(index),
            (None, Some(name)) => Which::Gone(name.to_string()),
            (None, None) => Which::BadName,
        };
    }
    if let Some(index) = request::host(parts).and_then(|host| site.only_room_of(host)) {
        return Which::One(index);
    }
    by_what_is_shown(site, &parts.headers).map_or(Which::Ambiguous, Which::One)
}

/// The room of the only ticket; without any, of the only session in a cookie. Only what we sealed speaks for a room:
/// a header names none, and a cookie can be planted.
fn by_what_is_shown(site: &Site, headers: &HeaderMap) -> Option<usize> {
    let (mut tickets, mut sessions) = (Vec::new(), Vec::new());
    for (index, room) in site.rooms.iter().enumerate() {
        let shown = room.cookies.read(headers);
        if opens(site, room, shown.header_ticket) || opens(site, room, shown.cookie_ticket) {
            tickets.push(index);
        } else if shown.cookie_token.is_some_and(|sealed| sealed_for(site, room, Purpose::Session, sealed)) {
            sessions.push(index);
        }
    }
    match (&tickets[..], &sessions[..]) {
        ([only], _) | ([], [only]) => Some(*only),
        _ => None,
    }
}

/// Whether this is a ticket of the room, be it too old by now.
pub(super) fn opens(site: &Site, room: &SiteRoom, ticket: Option<&str>) -> bool {
    ticket.is_some_and(|sealed| sealed_for(site, room, Purpose::Ticket, sealed))
}

fn sealed_for(site: &Site, room: &SiteRoom, purpose: Purpose, sealed: &str) -> bool {
    site.mint.sealer().open(purpose, room.room.name().as_str(), sealed).is_some()
}
