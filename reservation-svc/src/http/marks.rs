//! Read your own write: who has changed something carries a mark for a moment, and what they read next has it in it.
//! The mark is a cookie, so that any instance can read it; clients that keep none are remembered by this instance.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use tokio::time::Instant;

use super::App;
use crate::ledger::position::Position;

/// The cookie: the position in the primary's log behind the last write, in hexadecimal. Not signed: who makes one up
/// gets what everybody gets without a replica.
const COOKIE: &str = "rs_wrote";

/// How long a mark lasts. A replica that is later than that is not read from at all, and a seat map is not as old.
const LASTS: Duration = Duration::from_secs(10);

/// Marks kept for clients without cookies, at most; a client may have two.
const MOST_KEPT: usize = 20_000;

/// What a request's own past asks of what it reads.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mark {
    /// The client has written something a moment ago.
    pub has_written: bool,
    /// Behind this position of the primary's log; 0 where there is no replica.
    after: u64,
}

/// Who has just written, by a digest of their tokens.
#[derive(Debug, Default)]
pub struct Recent {
    /// A plain mutex: held for a look-up.
    marks: Mutex<HashMap<u64, (Instant, u64)>>,
    /// Keyed anew in every process: nobody can make two clients one.
    hasher: RandomState,
}

impl Recent {
    fn of(&self, clients: &[u64]) -> Mark {
        let marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        let of_each = clients.iter().filter_map(|client| marks.get(client)).filter(|(at, _)| at.elapsed() < LASTS);
        of_each.fold(Mark::default(), |mark, (_, after)| Mark { has_written: true, after: mark.after.max(*after) })
    }

    fn remember(&self, clients: &[u64], after: u64) {
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        if marks.len() >= MOST_KEPT {
            marks.retain(|_, (at, _)| at.elapsed() < LASTS);
        }
        let room = MOST_KEPT.saturating_sub(marks.len());
        marks.extend(clients.iter().take(room).map(|client| (*client, (Instant::now(), after))));
    }

    /// A client is the tokens it sends; whether they are good is for others to say.
    fn clients(&self, headers: &HeaderMap) -> Vec<u64> {
        let tokens = [header::AUTHORIZATION.as_str(), "x-queue-token"].into_iter();
        tokens.filter_map(|name| headers.get(name)).map(|token| self.hasher.hash_one(token.as_bytes())).collect()
    }
}

/// Reads the mark before the request, and leaves one behind it if it has written.
pub(super) async fn follow(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    if !app.maps.are_kept() && app.ledger.replica_usable().is_none() {
        // Everything is read from the primary.
        request.extensions_mut().insert(Mark::default());
        return next.run(request).await;
    }
    let clients = app.recent.clients(request.headers());
    let remembered = app.recent.of(&clients);
    let mark = match from_cookie(request.headers()) {
        Some(after) => Mark { has_written: true, after: after.max(remembered.after) },
        None => remembered,
    };
    request.extensions_mut().insert(mark);
    let position = Position::at(mark.after);
    let mut answer = position.clone().during(next.run(request)).await;
    if position.wrote() {
        app.recent.remember(&clients, position.after());
        let lasts = LASTS.as_secs();
        let cookie = format!("{COOKIE}={:x}; Max-Age={lasts}; Path=/; HttpOnly; SameSite=Lax", position.after());
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            answer.headers_mut().append(header::SET_COOKIE, cookie);
        }
    }
    answer
}

/// The position in the cookie; none when there is no cookie or it does not fit.
fn from_cookie(headers: &HeaderMap) -> Option<u64> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, position) = pairs.find(|(name, _)| *name == COOKIE)?;
    u64::from_str_radix(position, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_mark_lasts_a_moment_and_belongs_to_one_client() {
        let recent = Recent::default();
        let headers =
            |token: &'static str| HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(token))]);
        let (one, two) = (recent.clients(&headers("Bearer 1")), recent.clients(&headers("Bearer 2")));
        recent.remember(&one, 7);
        assert!(recent.of(&one).has_written && recent.of(&one).after == 7);
        assert!(!recent.of(&two).has_written && !recent.of(&recent.clients(&HeaderMap::new())).has_written);
        tokio::time::advance(LASTS).await;
        assert!(!recent.of(&one).has_written);
    }

    #[test]
    fn cookies_that_do_not_fit_are_none() {
        let cookie = |value: &'static str| {
            from_cookie(&HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_static(value))]))
        };
        assert_eq!(cookie("a=b; rs_wrote=1f"), Some(31));
        for bad in ["rs_wrote=", "rs_wrote=xyz", "rs_wrote=10000000000000000", "xrs_wrote=1", "rs_wrote"] {
            assert_eq!(cookie(bad), None, "{bad}");
        }
    }
}
