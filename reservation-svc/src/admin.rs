//! The admin listener: is the process alive, may it get traffic, what has it counted. Never public.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use tokio::sync::watch;

use crate::http::App;
use crate::http::problem::{Kind, Problem};
use crate::ledger::{Ledger, LedgerError};

/// What readiness depends on.
#[derive(Clone)]
struct Admin {
    app: Arc<App>,
    /// The database by a connection of its own: a full pool must not look like a dead database.
    probe: Ledger,
    draining: watch::Receiver<bool>,
}

/// `/livez`, `/readyz`, `/metrics`. `probe` asks the database whether it is there; `draining` says true from the moment
/// of shutdown.
pub fn router(app: Arc<App>, probe: Ledger, draining: watch::Receiver<bool>) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .fallback(|| async { Problem::new(Kind::NotFound, "There is nothing at this path.") })
        .method_not_allowed_fallback(|| async { Problem::new(Kind::MethodNotAllowed, "Only GET.") })
        .with_state(Admin { app, probe, draining })
}

/// Ready: the database answers, has the schema of this version, and queue tokens can be checked. Redis and a replica
/// only make things faster; a full pool is told and refuses nobody here: it is a crowd, and a balancer that took all
/// instances out because of one would end the sale.
async fn ready(State(Admin { app, probe, draining }): State<Admin>) -> Response {
    let told = |checked: Result<(), LedgerError>| checked.map_or_else(|error| error.to_string(), |()| "ok".to_owned());
    let database = told(probe.ping().await);
    let schema = if database == "ok" { told(probe.check_schema().await) } else { "not known".to_owned() };
    let queue_keys = match &app.queue {
        None => "not required",
        Some(gate) if gate.keys().current().is_some() => "ok",
        Some(_) => "not fetched yet",
    };
    let replica = match app.ledger.replica_usable() {
        None => "none",
        Some(true) => "read from",
        Some(false) => "not read from",
    };
    let (in_use, idle, max) = app.ledger.pool_usage();
    let draining = *draining.borrow();
    let ready = database == "ok" && schema == "ok" && queue_keys != "not fetched yet" && !draining;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "ready": ready, "database": database, "schema": schema, "replica": replica,
        "pool": { "in_use": in_use, "idle": idle, "max": max }, "queue_keys": queue_keys, "draining": draining,
    });
    (status, Json(body)).into_response()
}

async fn metrics(State(Admin { app, .. }): State<Admin>) -> Response {
    let (in_use, idle, max) = app.ledger.pool_usage();
    app.metrics.pool(in_use, idle, max);
    match app.metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics");
            Problem::internal().into_response()
        }
    }
}
