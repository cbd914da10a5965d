//! Holding seats and giving them back.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, SecondsFormat, Utc};
use uuid::Uuid;

use super::body::{self, IntegerId, UuidId};
use super::caller::{Admitted, User};
use super::idempotency::key_of;
use super::openapi::ProblemView;
use super::problem::{Kind, Problem};
use super::views::{HoldBody, HoldView};
use super::{App, to_the_end};
use crate::ledger::LedgerError;
use crate::ledger::holds::{HoldAnswer, HoldRequest, ReleaseAnswer, Wanted};
use crate::seat::{BestSeats, ScheduleId, Seats, SeatsError};

/// Holds seats for the user, all of them or none: named ones, or adjacent ones that the service chooses.
#[utoipa::path(post, path = "/schedules/{id}/holds", tag = "booking", request_body = HoldBody,
    security(("user" = [], "queue_token" = [])),
    params(("id" = i64, Path, description = "The schedule"),
           ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = r"^[!-~]([ -~]*[!-~])?$",
            description = "The same key gets the same answer for 24 hours")),
    responses(
        (status = 201, body = HoldView),
        (status = 401, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/unauthorized"),
        (status = 403, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/queue-token-required, /problems/unknown-user"),
        (status = 404, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/schedule-not-found, /problems/seat-not-found (with seats), \
                        /problems/section-not-found, /problems/not-found"),
        (status = 409, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/seat-taken (with seats), /problems/no-adjacent-seats, \
                        /problems/sales-not-open (with sales_start and sales_end), \
                        /problems/idempotency-key-in-progress"),
        (status = 422, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/invalid-body, /problems/invalid-seats, /problems/too-many-seats, \
                        /problems/seat-limit-reached, /problems/invalid-idempotency-key, \
                        /problems/idempotency-key-reused")))]
pub async fn create(
    State(app): State<Arc<App>>,
    _admitted: Admitted,
    User(user): User,
    IntegerId(schedule): IntegerId,
    headers: HeaderMap,
    body::Json(body): body::Json<HoldBody>,
) -> Result<Response, Problem> {
    let key = key_of(&headers, &format!("POST /schedules/{schedule}/holds"), &body)?;
    let request = HoldRequest {
        hold: Uuid::now_v7(),
        user,
        schedule: ScheduleId(schedule),
        wanted: wanted(&body, app.holds.max_seats)?,
        ttl: app.holds.ttl,
        max_per_user: app.holds.max_per_user,
        key,
    };
    let held = to_the_end(async move { app.booking.hold(&request).await }).await?;
    answer(held, schedule)
}

/// Exactly one of the two ways to ask.
fn wanted(body: &HoldBody, max: usize) -> Result<Wanted, Problem> {
    match (&body.seats, body.count, &body.section) {
        (Some(seats), None, None) => Ok(Wanted::Named(Seats::parse(seats, max)?)),
        (None, Some(count), Some(section)) => Ok(Wanted::Best(BestSeats::parse(count, section, max)?)),
        _ => Err(Problem::new(Kind::InvalidBody, "Send either seats, or count and section.")),
    }
}

fn answer(held: HoldAnswer, schedule: i64) -> Result<Response, Problem> {
    match held {
        HoldAnswer::Held { hold } => Ok((StatusCode::CREATED, Json(HoldView::from(hold))).into_response()),
        HoldAnswer::SeatTaken { seats } => {
            let detail = format!("Somebody else has {}.", seats.join(", "));
            Err(Problem::new(Kind::SeatTaken, detail).with("seats", seats))
        }
        HoldAnswer::SeatUnknown { seats } => {
            let detail = format!("This schedule has no {}.", seats.join(", "));
            Err(Problem::new(Kind::SeatNotFound, detail).with("seats", seats))
        }
        HoldAnswer::SalesNotOpen { sales_start, sales_end } => Err(not_open(sales_start, sales_end)),
        HoldAnswer::SectionUnknown => Err(Problem::new(Kind::SectionNotFound, "This schedule has no such section.")),
        HoldAnswer::SeatsBusy => Err(LedgerError::Contended.into()),
        HoldAnswer::NoAdjacentSeats => Err(Problem::new(
            Kind::NoAdjacentSeats,
            "The section has no longer so many free seats side by side; try fewer, or another section.",
        )),
        HoldAnswer::ScheduleUnknown => {
            Err(Problem::new(Kind::ScheduleNotFound, format!("There is no schedule {schedule}.")))
        }
        HoldAnswer::SeatLimit { limit, live } => Err(Problem::new(
            Kind::SeatLimitReached,
            format!("A user has at most {limit} seats in a schedule; this one has {live}."),
        )
        .with("limit", limit)
        .with("live", live)),
    }
}

/// A hold of the user.
#[utoipa::path(get, path = "/holds/{id}", tag = "booking", security(("user" = [], "queue_token" = [])),
    params(("id" = Uuid, Path, description = "The hold")),
    responses(
        (status = 200, body = HoldView),
        (status = 401, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/unauthorized"),
        (status = 403, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/queue-token-required"),
        (status = 404, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/hold-not-found, /problems/not-found")))]
pub async fn read(
    State(app): State<Arc<App>>,
    _admitted: Admitted,
    User(user): User,
    UuidId(hold): UuidId,
) -> Result<Json<HoldView>, Problem> {
    let found = app.ledger.hold_of(user, hold).await?;
    found.map(|hold| Json(hold.into())).ok_or_else(unknown)
}

/// Gives the seats of a hold back; they are free at once. A hold that has ended already stays so.
#[utoipa::path(delete, path = "/holds/{id}", tag = "booking", security(("user" = [], "queue_token" = [])),
    params(("id" = Uuid, Path, description = "The hold")),
    responses(
        (status = 204, description = "The seats are free"),
        (status = 401, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/unauthorized"),
        (status = 403, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/queue-token-required"),
        (status = 404, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/hold-not-found, /problems/not-found"),
        (status = 409, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/hold-paid")))]
pub async fn release(
    State(app): State<Arc<App>>,
    _admitted: Admitted,
    User(user): User,
    UuidId(hold): UuidId,
) -> Result<StatusCode, Problem> {
    match to_the_end(async move { app.booking.release(user, hold).await }).await? {
        ReleaseAnswer::Released { .. } => Ok(StatusCode::NO_CONTENT),
        ReleaseAnswer::HoldUnknown => Err(unknown()),
        ReleaseAnswer::HoldPaid => Err(Problem::new(Kind::HoldPaid, "It has become a reservation.")),
    }
}

/// The same for a hold of somebody else: ids tell nothing.
fn unknown() -> Problem {
    Problem::new(Kind::HoldNotFound, "The user has no such hold.")
}

/// The database's clock has decided; the words only name the times.
fn not_open(start: Option<DateTime<Utc>>, end: Option<DateTime<Utc>>) -> Problem {
    let text = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let (start, end) = (start.map(text), end.map(text));
    let detail = match (&start, &end) {
        (Some(start), Some(end)) => format!("Seats are on sale from {start} until {end}."),
        (Some(start), None) => format!("Seats are on sale from {start} on."),
        (None, Some(end)) => format!("Seats were on sale until {end}."),
        (None, None) => "Seats are not on sale.".to_owned(),
    };
    Problem::new(Kind::SalesNotOpen, detail).with("sales_start", start).with("sales_end", end)
}

impl From<SeatsError> for Problem {
    fn from(error: SeatsError) -> Self {
        match error {
            SeatsError::TooMany { max, .. } => Self::new(Kind::TooManySeats, error.to_string()).with("limit", max),
            SeatsError::None | SeatsError::Twice(_) | SeatsError::Misspelt | SeatsError::Section => {
                Self::new(Kind::InvalidSeats, error.to_string())
            }
        }
    }
}
