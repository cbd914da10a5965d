//! Turning holds into reservations, and reading those.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use super::body::{self, UuidId};
use super::caller::{Admitted, User};
use super::idempotency::key_of;
use super::openapi::ProblemView;
use super::paging::Page;
use super::problem::{Kind, Problem};
use super::views::{MethodBody, NothingBody, PaymentBody, ReservationBody, ReservationView, ReservationsView};
use super::{App, to_the_end};
use crate::auth::queue::QueueGate;
use crate::booking::Method;
use crate::ledger::payments::{CancelAnswer, PayAnswer, PayRequest};

/// Longest name of a means of payment accepted.
const MAX_SOURCE: usize = 255;

/// Pays for a hold, from the wallet or by the payment gateway. Paying again for the same hold gives the same reservation and takes nothing.
#[utoipa::path(post, path = "/reservations", tag = "booking", request_body = ReservationBody,
    security(("user" = [], "queue_token" = [])),
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = r"^[!-~]([ -~]*[!-~])?$",
            description = "The same key gets the same answer for 24 hours")),
    responses(
        (status = 201, body = ReservationView),
        (status = 401, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/unauthorized"),
        (status = 402, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/insufficient-balance (with amount and balance), \
                        /problems/payment-declined (with reason)"),
        (status = 403, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/queue-token-required, /problems/purchase-limit-reached, /problems/unknown-user"),
        (status = 404, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/hold-not-found"),
        (status = 409, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/hold-expired, /problems/payment-in-progress, /problems/idempotency-key-in-progress"),
        (status = 422, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/invalid-body, /problems/payment-method-unavailable, \
                        /problems/invalid-idempotency-key, /problems/idempotency-key-reused"),
        (status = 503, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/gateway-unavailable, /problems/busy, /problems/database-unavailable, \
                        /problems/keys-unavailable")))]
pub async fn create(
    State(app): State<Arc<App>>,
    Admitted(session): Admitted,
    User(user): User,
    headers: HeaderMap,
    body::Json(body): body::Json<ReservationBody>,
) -> Result<Response, Problem> {
    let request = PayRequest {
        user,
        hold: body.hold_id,
        reservation: Uuid::now_v7(),
        payment: Uuid::now_v7(),
        session,
        max_purchases: app.queue.as_ref().map_or(0, QueueGate::max_purchases),
        key: key_of(&headers, "POST /reservations", &body)?,
    };
    let method = method_of(body.payment.0)?;
    match to_the_end(async move { app.booking.pay(&request, &method).await }).await? {
        PayAnswer::Paid { reservation } => {
            Ok((StatusCode::CREATED, Json(ReservationView::from(reservation))).into_response())
        }
        refused => Err(refusal(refused)),
    }
}

/// What `source` may be is for the gateway to say; that it is short and harmless, for us.
fn method_of(body: PaymentBody) -> Result<Method, Problem> {
    let harmless = |source: &String| {
        (1..=MAX_SOURCE).contains(&source.len()) && source.bytes().all(|byte| byte.is_ascii_graphic())
    };
    match (body.method, body.source) {
        (MethodBody::Wallet, None) => Ok(Method::Wallet),
        (MethodBody::Wallet, Some(_)) => Err(Problem::new(Kind::InvalidBody, "source goes with the method card only.")),
        (MethodBody::Card, source) if source.as_ref().is_none_or(harmless) => Ok(Method::Card { source }),
        (MethodBody::Card, _) => Err(Problem::new(
            Kind::InvalidBody,
            format!("source is 1 to {MAX_SOURCE} printable ASCII characters without spaces."),
        )),
    }
}

fn refusal(refused: PayAnswer) -> Problem {
    match refused {
        // Said by the caller; there is no refusal in it.
        PayAnswer::Paid { .. } => Problem::internal(),
        PayAnswer::HoldUnknown => Problem::new(Kind::HoldNotFound, "The user has no such hold."),
        PayAnswer::HoldExpired => Problem::new(Kind::HoldExpired, "It ran out or was given back; nothing was taken."),
        PayAnswer::InsufficientBalance { amount, balance } => Problem::new(
            Kind::InsufficientBalance,
            format!("{amount} is to be paid and the wallet holds {balance}; the hold stands."),
        )
        .with("amount", amount)
        .with("balance", balance),
        PayAnswer::PurchaseLimit { limit } => {
            Problem::new(Kind::PurchaseLimitReached, format!("One turn in the queue buys at most {limit} times."))
                .with("limit", limit)
        }
        PayAnswer::PaymentDeclined { reason } => {
            Problem::new(Kind::PaymentDeclined, "Nothing was taken; the hold stands. Pay in another way.")
                .with("reason", reason)
        }
        PayAnswer::PaymentInProgress => {
            Problem::new(Kind::PaymentInProgress, "Wait for the other payment to end, or repeat it with its source.")
        }
        PayAnswer::PaymentUndone => {
            Problem::new(Kind::GatewayUnavailable, "It took too long; nothing was taken. Pay again.")
        }
        PayAnswer::GatewayUnavailable => Problem::new(
            Kind::GatewayUnavailable,
            "Repeat it with the same key and source; nothing is taken twice, and nothing without the seats.",
        ),
        PayAnswer::MethodUnavailable => {
            Problem::new(Kind::PaymentMethodUnavailable, "This service has no payment gateway; pay from the wallet.")
        }
    }
}

/// Cancels a reservation: its seats are free at once, its money is back in the wallet at once, or goes back the
/// way that it came. Until the evening begins;
/// cancelling again gives the same and gives nothing more.
#[utoipa::path(post, path = "/reservations/{id}/cancel", tag = "booking", request_body = Option<NothingBody>,
    security(("user" = [], "queue_token" = [])),
    params(("id" = Uuid, Path, description = "The reservation"),
           ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = r"^[!-~]([ -~]*[!-~])?$",
            description = "The same key gets the same answer for 24 hours")),
    responses(
        (status = 200, body = ReservationView),
        (status = 401, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/unauthorized"),
        (status = 403, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/queue-token-required, /problems/unknown-user"),
        (status = 404, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/reservation-not-found, /problems/not-found"),
        (status = 409, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/cancellation-closed, /problems/idempotency-key-in-progress"),
        (status = 422, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/invalid-body, /problems/invalid-idempotency-key, \
                        /problems/idempotency-key-reused, /problems/balance-limit-reached")))]
pub async fn cancel(
    State(app): State<Arc<App>>,
    _admitted: Admitted,
    User(user): User,
    UuidId(reservation): UuidId,
    headers: HeaderMap,
    _body: body::OptionalJson<NothingBody>,
) -> Result<Json<ReservationView>, Problem> {
    let key = key_of(&headers, &format!("POST /reservations/{reservation}/cancel"), &())?;
    match to_the_end(async move { app.booking.cancel(user, reservation, key.as_ref()).await }).await? {
        CancelAnswer::Cancelled { reservation } => Ok(Json(reservation.into())),
        CancelAnswer::ReservationUnknown => {
            Err(Problem::new(Kind::ReservationNotFound, "The user has no such reservation."))
        }
        CancelAnswer::CancellationClosed => {
            Err(Problem::new(Kind::CancellationClosed, "The evening has begun; the reservation stands."))
        }
    }
}

/// A reservation of the user.
#[utoipa::path(get, path = "/reservations/{id}", tag = "booking", security(("user" = [], "queue_token" = [])),
    params(("id" = Uuid, Path, description = "The reservation")),
    responses(
        (status = 200, body = ReservationView),
        (status = 401, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/unauthorized"),
        (status = 403, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/queue-token-required"),
        (status = 404, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/reservation-not-found, /problems/not-found")))]
pub async fn read(
    State(app): State<Arc<App>>,
    _admitted: Admitted,
    User(user): User,
    UuidId(reservation): UuidId,
) -> Result<Json<ReservationView>, Problem> {
    let found = app.ledger.reservation_of(user, reservation).await?;
    found
        .map(|reservation| Json(reservation.into()))
        .ok_or_else(|| Problem::new(Kind::ReservationNotFound, "The user has no such reservation."))
}

/// The user's reservations, newest first.
#[utoipa::path(get, path = "/reservations", tag = "booking", security(("user" = [], "queue_token" = [])),
    params(("limit" = Option<i64>, Query, minimum = 1, maximum = 200, description = "Rows on a page, 50 unless given"),
           ("cursor" = Option<Uuid>, Query, description = "next_cursor of the page before")),
    responses(
        (status = 200, body = ReservationsView),
        (status = 401, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/unauthorized"),
        (status = 403, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/queue-token-required"),
        (status = 422, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/invalid-query")))]
pub async fn list(
    State(app): State<Arc<App>>,
    _admitted: Admitted,
    User(user): User,
    page: Page<Uuid>,
) -> Result<Json<ReservationsView>, Problem> {
    let found = app.ledger.reservations_of(user, page.cursor, page.limit).await?;
    let last = found.last().map(|reservation| reservation.reservation_id.to_string());
    let next_cursor = page.next(found.len(), last);
    Ok(Json(ReservationsView { reservations: found.into_iter().map(Into::into).collect(), next_cursor }))
}
