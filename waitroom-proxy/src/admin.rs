//! The operators' listener: health, metrics, control. Knows no store and no config: it asks [`Control`].
//! Guards who may ask before anything else happens.

mod guard;
mod handlers;
mod problem;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use serde::Serialize;

pub use guard::Guard;

use crate::metrics::Metrics;

/// Orders have no body; what comes is thrown away up to this.
const MAX_BODY_BYTES: usize = 16 * 1024;

/// A room, as operators see it. Counters are those of the whole cluster.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RoomReport {
    /// Its name.
    pub room: String,
    /// Rises by one with every reset.
    pub generation: u64,
    /// Admissions since the generation began.
    pub admitted_total: u64,
    /// The store's clock when it was asked.
    pub as_of_ms: u64,
    /// In line.
    pub waiting: u64,
    /// With a turn not yet taken up.
    pub granted: u64,
    /// With a session.
    pub active: u64,
    /// Configured rate.
    pub rate_per_s: f64,
    /// Admissions per second as they were lately.
    pub rate_measured: f64,
    /// Configured cap; 0: none.
    pub max_active: u64,
    /// Paused by an operator.
    pub paused: bool,
    /// The store did not answer: counters are those of the last look.
    pub stale: bool,
}

/// What an operator can order of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Let nobody in.
    Pause,
    /// Let people in again.
    Resume,
    /// Empty the line; sessions stay.
    Flush,
    /// Begin a new generation; everything is void.
    Reset,
}

/// Why an order was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// No room of this name.
    #[error("there is no room of this name")]
    NoSuchRoom,
    /// The store did not answer; the order may or may not have been carried out.
    #[error("the store does not answer: {0}")]
    Store(String),
}

/// What a reload changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReloadReport {
    /// New rooms.
    pub added: Vec<String>,
    /// Rooms that are gone.
    pub removed: Vec<String>,
    /// Rooms with other settings.
    pub changed: Vec<String>,
    /// What is legal and unwise, a sentence each.
    pub warnings: Vec<String>,
}

/// One mistake in a config that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mistake {
    /// Where the value came from.
    pub file: String,
    /// From 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// As in `rooms[0].rate_per_s`.
    pub key: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// Whether this node should get visitors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Yes.
    Ready,
    /// No, for this reason.
    NotReady(String),
}

/// What the listener needs of the rest of the proxy.
#[async_trait]
pub trait Control: Send + Sync + 'static {
    /// All rooms, in the order of the config, read from the store now.
    async fn rooms(&self) -> Vec<RoomReport>;

    /// One room.
    async fn room(&self, name: &str) -> Option<RoomReport>;

    /// Carries out an order; answers with the room as it is afterwards.
    async fn order(&self, name: &str, order: Order) -> Result<RoomReport, OrderError>;

    /// Reads the config again. All or nothing: after mistakes, everything is as before.
    async fn reload(&self) -> Result<ReloadReport, Vec<Mistake>>;

    /// Whether this node should get visitors. Cheap: asked by probes.
    fn readiness(&self) -> Readiness;
}

/// What every handler sees.
#[derive(Clone)]
struct Shared {
    control: Arc<dyn Control>,
    metrics: Arc<Metrics>,
}

/// The routes, guarded.
pub fn router(guard: Arc<Guard>, control: Arc<dyn Control>, metrics: Arc<Metrics>) -> Router {
    Router::new()
        .route("/livez", get(handlers::livez))
        .route("/readyz", get(handlers::readyz))
        .route("/metrics", get(handlers::metrics))
        .route("/admin/rooms", get(handlers::rooms))
        .route("/admin/rooms/{room}", get(handlers::room))
        .route("/admin/rooms/{room}/{order}", post(handlers::order))
        .route("/admin/reload", post(handlers::reload))
        .fallback(handlers::not_found)
        .method_not_allowed_fallback(handlers::method_not_allowed)
        .with_state(Shared { control, metrics })
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn_with_state(guard, guard::check))
        .layer(from_fn(handlers::never_store))
}

/// Serves until `stop` resolves, then lets answers in flight finish.
///
/// # Errors
/// The listener fails.
pub async fn serve(
    listener: tokio::net::TcpListener,
    router: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).with_graceful_shutdown(stop).await
}

impl Order {
    fn parse(word: &str) -> Option<Self> {
        match word {
            "pause" => Some(Self::Pause),
            "resume" => Some(Self::Resume),
            "flush" => Some(Self::Flush),
            "reset" => Some(Self::Reset),
            _ => None,
        }
    }
}
