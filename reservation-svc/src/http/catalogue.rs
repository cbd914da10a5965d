//! What is on, when, and the seat map.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};

use super::App;
use super::body::IntegerId;
use super::caller::{Admitted, now_ms};
use super::marks::Mark;
use super::openapi::ProblemView;
use super::problem::{Kind, Problem};
use super::views::{ConcertsView, SchedulesView, SeatsView};
use crate::ledger::LedgerError;
use crate::seat::ScheduleId;
use crate::seatmap::{Rendered, Wish};

/// All concerts.
#[utoipa::path(get, path = "/concerts", tag = "catalogue", responses((status = 200, body = ConcertsView)))]
pub async fn concerts(State(app): State<Arc<App>>) -> Result<Json<ConcertsView>, Problem> {
    let concerts = app.ledger.concerts().await?.into_iter().map(Into::into).collect();
    Ok(Json(ConcertsView { concerts }))
}

/// The evenings of a concert.
#[utoipa::path(get, path = "/concerts/{id}/schedules", tag = "catalogue",
    params(("id" = i64, Path, description = "The concert")),
    responses(
        (status = 200, body = SchedulesView),
        (status = 404, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/concert-not-found, /problems/not-found")))]
pub async fn schedules(
    State(app): State<Arc<App>>,
    IntegerId(concert): IntegerId,
) -> Result<Json<SchedulesView>, Problem> {
    let found = app.ledger.schedules(concert).await?;
    let found = found.ok_or_else(|| Problem::new(Kind::ConcertNotFound, format!("There is no concert {concert}.")))?;
    Ok(Json(SchedulesView { schedules: found.into_iter().map(Into::into).collect() }))
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
