//! What is on, when, and the seat map.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::App;
use super::body::IntegerId;
use super::caller::{Admitted, now_ms};
use super::marks::Mark;
use super::openapi::ProblemView;
use super::paging;
use super::problem::{Kind, Problem};
use super::views::catalogue::{ConcertsView, SchedulesView, SeatsView};
use crate::catalogue::{Page as Listed, Written};
use crate::ledger::LedgerError;
use crate::seat::ScheduleId;
use crate::seatmap::{Rendered, Wish};

/// A page of a list that is short by nature: all of it, unless asked otherwise.
type Page = paging::Page<i64, 1_000, 1_000>;

/// The concerts. With an ETag: nothing is sent while nothing has changed.
#[utoipa::path(get, path = "/concerts", tag = "catalogue",
    params(("limit" = Option<i64>, Query, minimum = 1, maximum = 1_000, description = "Rows on a page, 1,000 unless given"),
           ("cursor" = Option<i64>, Query, description = "next_cursor of the page before"),
           ("If-None-Match" = Option<String>, Header, description = "The ETag of the page at hand")),
    responses(
        (status = 200, body = ConcertsView, headers(("ETag" = String))),
        (status = 304, description = "The page at hand is current"),
        (status = 422, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/invalid-query")))]
pub async fn concerts(State(app): State<Arc<App>>, page: Page, headers: HeaderMap) -> Result<Response, Problem> {
    let listed = app.catalogue.get(Listed::Concerts(page.cursor, page.limit)).await;
    let listed = listed.map_err(|error| LedgerError::clone(&error))?;
    let nothing = || Problem::new(Kind::NotFound, "There is nothing at this path.");
    Ok(list(&headers, &*listed.ok_or_else(nothing)?))
}

/// The evenings of a concert. With an ETag: nothing is sent while nothing has changed.
#[utoipa::path(get, path = "/concerts/{id}/schedules", tag = "catalogue",
    params(("id" = i64, Path, description = "The concert"),
           ("limit" = Option<i64>, Query, minimum = 1, maximum = 1_000, description = "Rows on a page, 1,000 unless given"),
           ("cursor" = Option<i64>, Query, description = "next_cursor of the page before"),
           ("If-None-Match" = Option<String>, Header, description = "The ETag of the page at hand")),
    responses(
        (status = 200, body = SchedulesView, headers(("ETag" = String))),
        (status = 304, description = "The page at hand is current"),
        (status = 404, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/concert-not-found, /problems/not-found"),
        (status = 422, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/invalid-query")))]
pub async fn schedules(
    State(app): State<Arc<App>>,
    IntegerId(concert): IntegerId,
    page: Page,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let listed = app.catalogue.get(Listed::Schedules(concert, page.cursor, page.limit)).await;
    let listed = listed.map_err(|error| LedgerError::clone(&error))?;
    let unknown = || Problem::new(Kind::ConcertNotFound, format!("There is no concert {concert}."));
    Ok(list(&headers, &*listed.ok_or_else(unknown)?))
}

/// A list, or that the one at hand is current.
fn list(headers: &HeaderMap, list: &Written) -> Response {
    let etag = format!("W/\"{}\"", list.etag);
    let caching = caching(&etag);
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| matches(known, &etag)) {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    let json = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (caching, json, list.json.clone()).into_response()
}

/// The seat map of an evening. With an ETag: nothing is sent while nothing has changed.
#[utoipa::path(get, path = "/schedules/{id}/seats", tag = "catalogue", security(("queue_token" = [])),
    params(("id" = i64, Path, description = "The schedule"),
           ("If-None-Match" = Option<String>, Header, description = "The ETag of the map at hand")),
    responses(
        (status = 200, body = SeatsView, headers(("ETag" = String))),
        (status = 304, description = "The map at hand is current"),
        (status = 403, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/queue-token-required"),
        (status = 404, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/schedule-not-found, /problems/not-found")))]
pub async fn seats(
    State(app): State<Arc<App>>,
    _admitted: Admitted,
    IntegerId(schedule): IntegerId,
    Extension(mark): Extension<Mark>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let wish = if mark.has_written { Wish::Fresh } else { Wish::AsShown };
    let map = app.maps.get(ScheduleId(schedule), wish, now_ms()).await.map_err(|error| LedgerError::clone(&error))?;
    let map = map.ok_or_else(|| Problem::new(Kind::ScheduleNotFound, format!("There is no schedule {schedule}.")))?;
    let etag = etag(schedule, &map);
    let caching = caching(&etag);
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| matches(known, &etag)) {
        return Ok((StatusCode::NOT_MODIFIED, caching).into_response());
    }
    let json = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    if !takes_gzip(&headers) {
        return Ok((caching, json, map.json()).into_response());
    }
    let gzip = [(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"))];
    Ok((caching, json, gzip, map.gzip()).into_response())
}

/// Weak, because the same map goes out compressed or not.
fn etag(schedule: i64, map: &Rendered) -> String {
    format!("W/\"{schedule}-{}\"", map.etag())
}

fn caching(etag: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Ok(etag) = HeaderValue::from_str(etag) {
        headers.insert(header::ETAG, etag);
    }
    // Kept, but asked for every time: a seat map of a second ago sells nothing.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    headers
}

/// Whether gzip is among what the client takes. A quality is only looked at for being none: there is no other choice.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let listed = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    listed.flat_map(|value| value.split(',')).any(|coding| {
        let (name, quality) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = quality.trim().trim_start_matches("q=").parse() == Ok(0.0);
        name.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

/// Weak comparison, as If-None-Match wants it.
fn matches(known: &HeaderValue, etag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    known.to_str().is_ok_and(|known| known.split(',').any(|tag| tag.trim() == "*" || opaque(tag) == opaque(etag)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_to_who_takes_it() {
        let takes = |value: &'static str| {
            takes_gzip(&HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(value))]))
        };
        assert!(takes("gzip") && takes("br, gzip;q=0.5") && takes("deflate,GZIP"));
        assert!(!takes("identity") && !takes("gzip;q=0") && !takes("br, gzip; q=0.0") && !takes(""));
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
