//! The worker's own admin listener: alive, working, counted. Never public.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Map, Value, json};

use super::task::Board;
use crate::http::problem::{Kind, Problem};
use crate::ledger::Ledger;
use crate::metrics::Metrics;

/// What it looks at.
#[derive(Clone)]
pub(super) struct Admin {
    pub(super) ledger: Ledger,
    pub(super) board: Board,
    pub(super) metrics: Metrics,
}

/// `/livez`, `/readyz`, `/metrics`.
pub(super) fn router(admin: Admin) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .fallback(|| async { Problem::new(Kind::NotFound, "There is nothing at this path.") })
        .method_not_allowed_fallback(|| async { Problem::new(Kind::MethodNotAllowed, "Only GET.") })
        .with_state(admin)
}

/// Ready: the database answers. Which tasks fail is told, and alone no reason to call the worker unfit: the others go on.
async fn ready(State(admin): State<Admin>) -> Response {
    let database = match admin.ledger.ping().await {
        Ok(()) => "ok".to_owned(),
        Err(error) => error.to_string(),
    };
    let failing: Map<String, Value> =
        admin.board.troubles().into_iter().map(|(task, why)| (task.to_owned(), Value::String(why))).collect();
    let ready = database == "ok";
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "ready": ready, "database": database, "failing": failing }))).into_response()
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let (in_use, idle, max) = admin.ledger.pool_usage();
    admin.metrics.pool(in_use, idle, max);
    match admin.metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics");
            Problem::internal().into_response()
        }
    }
}
