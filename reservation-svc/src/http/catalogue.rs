//! What is on, when, and the seat map.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::App;
use super::body::IntegerId;
use super::caller::Admitted;
use super::openapi::ProblemView;
use super::problem::{Kind, Problem};
use super::views::{ConcertsView, SchedulesView, SeatsView};
use crate::ledger::catalogue::MapVersion;
use crate::seat::ScheduleId;

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
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let unknown = || Problem::new(Kind::ScheduleNotFound, format!("There is no schedule {schedule}."));
    if let Some(known) = headers.get(header::IF_NONE_MATCH) {
        // Counting is cheaper than reading and sending a thousand seats.
        let version = app.ledger.map_version(ScheduleId(schedule)).await?.ok_or_else(unknown)?;
        if matches(known, &etag(schedule, version)) {
            return Ok((StatusCode::NOT_MODIFIED, caching(schedule, version)).into_response());
        }
    }
    let (version, seats) = app.ledger.seats(ScheduleId(schedule)).await?.ok_or_else(unknown)?;
    let seats = seats.into_iter().map(Into::into).collect();
    Ok((caching(schedule, version), Json(SeatsView { seats })).into_response())
}

/// Weak, because the same map goes out compressed or not.
fn etag(schedule: i64, version: MapVersion) -> String {
    format!("W/\"{schedule}-{}-{}\"", version.versions, version.run_out)
}

fn caching(schedule: i64, version: MapVersion) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Ok(etag) = HeaderValue::from_str(&etag(schedule, version)) {
        headers.insert(header::ETAG, etag);
    }
    // Kept, but asked for every time: a seat map of a second ago sells nothing.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers
}

/// Weak comparison, as If-None-Match wants it.
fn matches(known: &HeaderValue, etag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    known.to_str().is_ok_and(|known| known.split(',').any(|tag| tag.trim() == "*" || opaque(tag) == opaque(etag)))
}
