//! One function for each URL. The only place that turns control's answers into status codes.

use std::net::SocketAddr;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::problem::Problem;
use super::{Order, OrderError, Readiness, ReloadReport, RoomReport, Shared};
use crate::metrics::CONTENT_TYPE;

type Peer = ConnectInfo<SocketAddr>;

pub(super) async fn livez() -> Json<Value> {
    Json(json!({ "status": "live" }))
}

pub(super) async fn readyz(State(shared): State<Shared>) -> Result<Json<Value>, Problem> {
    match shared.control.readiness() {
        Readiness::Ready => Ok(Json(json!({ "status": "ready" }))),
        Readiness::NotReady(reason) => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, reason)),
    }
}

pub(super) async fn metrics(State(shared): State<Shared>) -> Result<Response, Problem> {
    match shared.metrics.text() {
        Ok(text) => Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response()),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be written");
            Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written; see the log"))
        }
    }
}

pub(super) async fn rooms(State(shared): State<Shared>) -> Json<Value> {
    Json(json!({ "rooms": shared.control.rooms().await }))
}

pub(super) async fn room(State(shared): State<Shared>, Path(name): Path<String>) -> Result<Json<RoomReport>, Problem> {
    shared.control.room(&name).await.map(Json).ok_or_else(no_such_room)
}

/// The body is read, so that one that is too large is refused before the order is carried out.
pub(super) async fn order(
    State(shared): State<Shared>,
    ConnectInfo(peer): Peer,
    Path((name, word)): Path<(String, String)>,
    _body: Bytes,
) -> Result<Json<RoomReport>, Problem> {
    let order = Order::parse(&word)
        .ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "an order is one of pause, resume, flush and reset"))?;
    let result = shared.control.order(&name, order).await;
    match result {
        Ok(room) => {
            tracing::info!(who = %peer, what = %word, room = %name, "an operator changed a room");
            Ok(Json(room))
        }
        Err(OrderError::NoSuchRoom) => Err(no_such_room()),
        Err(error @ OrderError::Store(_)) => {
            tracing::warn!(who = %peer, what = %word, room = %name, %error, "an operator's order failed");
            Err(Problem::store_unavailable("the store does not answer; repeating the order does no harm"))
        }
    }
}

pub(super) async fn reload(
    State(shared): State<Shared>,
    ConnectInfo(peer): Peer,
    _body: Bytes,
) -> Result<Json<ReloadReport>, Problem> {
    match shared.control.reload().await {
        Ok(report) => {
            tracing::info!(who = %peer, what = "reload", ?report, "an operator reloaded the config");
            Ok(Json(report))
        }
        Err(mistakes) => {
            tracing::warn!(who = %peer, what = "reload", mistakes = mistakes.len(), "an operator's reload was refused");
            Err(Problem::bad_config(json!(mistakes)))
        }
    }
}

pub(super) async fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is nothing under this URL")
}

pub(super) async fn method_not_allowed() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this URL takes another method")
}

/// Marks every answer as not to be kept: all of them are of the moment.
pub(super) async fn never_store(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn no_such_room() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is no room of this name")
}
