//! The ticket of a reservation, and the keys that gates check tickets with.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use jsonwebtoken::jwk::JwkSet;

use super::App;
use super::body::UuidId;
use super::caller::{Admitted, User};
use super::openapi::ProblemView;
use super::problem::{Kind, Problem};
use super::views::TicketView;
use crate::ticket::{self, TicketKey};

const SVG: &str = "image/svg+xml";

/// How long gates may keep the keys.
const KEYS_CACHE: &str = "public, max-age=300";

/// The ticket of a reservation: signed, with a QR code. Not of one that was cancelled. With `Accept: image/svg+xml`
/// the code alone.
#[utoipa::path(get, path = "/reservations/{id}/ticket", tag = "booking", security(("user" = [], "queue_token" = [])),
    params(("id" = Uuid, Path, description = "The reservation")),
    responses(
        (status = 200, content((TicketView = "application/json"), (String = "image/svg+xml"))),
        (status = 401, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/unauthorized"),
        (status = 403, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/queue-token-required"),
        (status = 404, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/reservation-not-found, /problems/not-found (also when no tickets are issued here)"),
        (status = 409, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/reservation-cancelled")))]
pub async fn read(
    State(app): State<Arc<App>>,
    _admitted: Admitted,
    User(user): User,
    UuidId(reservation): UuidId,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let key = key_of(&app)?;
    let unknown = || Problem::new(Kind::ReservationNotFound, "The user has no such reservation.");
    let mut admits = app.ledger.admits(Some(user), &[reservation]).await?.pop().ok_or_else(unknown)?;
    if admits.cancelled {
        return Err(Problem::new(Kind::ReservationCancelled, "A cancelled reservation has no ticket."));
    }
    if admits.token.is_none() {
        // Asked for before a worker came to it: the same ticket, some seconds early.
        let token = key.sign(&admits).map_err(|error| broken(&error))?;
        app.ledger.issue_tickets(&[reservation], &[token]).await?;
        admits = app.ledger.admits(Some(user), &[reservation]).await?.pop().ok_or_else(unknown)?;
    }
    let token = admits.token.unwrap_or_default();
    let qr_svg = ticket::qr_svg(&token).map_err(|error| broken(&error))?;
    let mut answer = if wants_svg(&headers) {
        ([(header::CONTENT_TYPE, SVG)], qr_svg).into_response()
    } else {
        Json(TicketView {
            reservation_id: reservation,
            schedule_id: admits.schedule_id,
            starts_at: admits.starts_at,
            seats: admits.seats,
            token,
            qr_svg,
        })
        .into_response()
    };
    // Whoever has it gets in.
    answer.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("private, no-store"));
    answer.headers_mut().append(header::VARY, header::HeaderValue::from_static("accept"));
    Ok(answer)
}

/// The public keys that tickets are signed with, as a JWKS: what a gate needs, once.
#[utoipa::path(get, path = "/.well-known/ticket-keys.json", tag = "booking",
    responses(
        (status = 200, body = Object, content_type = "application/json"),
        (status = 404, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/not-found (no tickets are issued here)")))]
pub async fn keys(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let keys: Json<JwkSet> = Json(key_of(&app)?.public_keys());
    Ok(([(header::CACHE_CONTROL, KEYS_CACHE)], keys).into_response())
}

fn key_of(app: &App) -> Result<&TicketKey, Problem> {
    app.tickets.as_ref().ok_or_else(|| Problem::new(Kind::NotFound, "No tickets are issued here."))
}

fn broken(error: &ticket::TicketError) -> Problem {
    tracing::error!(%error, "no ticket");
    Problem::internal()
}

/// Whether the picture alone is asked for: it is named, and JSON is not.
fn wants_svg(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let (mut svg, mut json) = (false, false);
    for part in accepted.by_ref().flat_map(|value| value.split(',')) {
        let kind = part.split(';').next().unwrap_or_default().trim();
        svg |= kind.eq_ignore_ascii_case(SVG);
        json |= kind.eq_ignore_ascii_case("application/json");
    }
    svg && !json
}
