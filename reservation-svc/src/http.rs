//! The public HTTP edge: routes, and what surrounds every request. Must not name Redis or SQL.

pub mod body;
pub mod caller;
pub mod catalogue;
pub mod demo;
pub mod holds;
pub mod idempotency;
mod limits;
pub mod marks;
pub mod object;
pub mod openapi;
pub mod page;
pub mod paging;
pub mod problem;
pub mod reservations;
pub mod tickets;
pub mod views;
pub mod wallet;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::time::Instant;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::timeout::RequestBodyTimeoutLayer;

use crate::auth::demo::DemoLogin;
use crate::auth::queue::QueueGate;
use crate::auth::users::UserGate;
use crate::booking::{Booking, HoldRules};
use crate::catalogue::Catalogue;
use crate::ledger::position::Position;
use crate::ledger::{Ledger, LedgerError};
use crate::metrics::Metrics;
use crate::quota::Quota;
use crate::seatmap::SeatMaps;
use crate::ticket::TicketKey;
use marks::Recent;
use problem::{Kind, Problem};

/// A client that sends its body slower than this is not waited for.
const BODY_LIMIT: Duration = Duration::from_secs(10);

/// Everything that a request needs.
pub struct App {
    /// Hold, release, pay.
    pub booking: Booking,
    /// Seat maps.
    pub maps: SeatMaps,
    /// What is on.
    pub catalogue: Catalogue,
    /// Who has just written.
    pub recent: Recent,
    /// Reads and charges.
    pub ledger: Ledger,
    /// Who is asking.
    pub users: UserGate,
    /// Whether they came through the waiting room; `None`: not asked.
    pub queue: Option<QueueGate>,
    /// Tokens for visitors of a demo; `None`: everybody has to bring one.
    pub demo: Option<DemoLogin>,
    /// Signs tickets; `None`: there are none.
    pub tickets: Option<TicketKey>,
    /// Whether there is a gateway to pay by card at.
    pub cards: bool,
    /// What one hold may be.
    pub holds: HoldRules,
    /// How many requests a user may send; `None`: any number.
    pub quota: Option<Quota>,
    /// What the times of `quota` count from.
    pub started: Instant,
    /// Counters.
    pub metrics: Metrics,
}

/// The service as one router.
pub fn router(app: Arc<App>) -> Router {
    let routes = Router::new()
        .route("/concerts", get(catalogue::concerts))
        .route("/concerts/{id}/schedules", get(catalogue::schedules))
        .route("/schedules/{id}/seats", get(catalogue::seats))
        .route("/schedules/{id}/holds", post(holds::create))
        .route("/holds/{id}", get(holds::read).delete(holds::release))
        .route("/reservations", get(reservations::list).post(reservations::create))
        .route("/reservations/{id}", get(reservations::read))
        .route("/reservations/{id}/ticket", get(tickets::read))
        .route("/.well-known/ticket-keys.json", get(tickets::keys))
        .route("/reservations/{id}/cancel", post(reservations::cancel))
        .route("/wallet", get(wallet::read))
        .route("/wallet/charges", post(wallet::charge))
        .route("/wallet/transactions", get(wallet::transactions))
        .merge(page::router())
        .merge(openapi::router());
    // Where it is off, the path is as unknown as any other.
    let routes = if app.demo.is_some() { routes.route("/demo/login", post(demo::login)) } else { routes };
    routes
        .fallback(|| async { Problem::new(Kind::NotFound, "There is nothing at this path.") })
        .method_not_allowed_fallback(|| async {
            Problem::new(Kind::MethodNotAllowed, "This path does not take this method; see Allow.")
        })
        .layer(RequestBodyTimeoutLayer::new(BODY_LIMIT))
        .layer(CompressionLayer::new())
        .layer(CatchPanicLayer::custom(after_panic))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), limits::tell))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), marks::follow))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), count))
        .with_state(app)
}

/// Counts every answer by its route, which is bounded, and not by its path, which is not.
async fn count(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let answer = next.run(request).await;
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    // A made-up method would be a label without bound.
    let method = match method.as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") => known,
        _ => "other",
    };
    app.metrics.request(method, route, answer.status().as_u16(), started.elapsed());
    answer
}

/// A panic is a bug; the client learns only that it was ours.
fn after_panic(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = text.unwrap_or("of an unknown kind"), "a request panicked");
    Problem::internal().into_response()
}

/// Runs a use case to its end even when the client goes away: half of it is never wanted.
async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, LedgerError>> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::spawn(Position::current().during(work)).await {
        Ok(done) => done.map_err(Problem::from),
        Err(error) => {
            tracing::error!(%error, "a use case did not end");
            Err(Problem::internal())
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    async fn panicking() -> &'static str {
        std::panic::panic_any("the secret".to_owned())
    }

    #[tokio::test]
    async fn a_panic_is_a_problem_that_tells_nothing() {
        let router = Router::new().route("/", get(panicking)).layer(CatchPanicLayer::custom(after_panic));
        let answer = router.oneshot(Request::new(Body::empty())).await.unwrap();
        assert_eq!(answer.status(), 500);
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&body);
        assert!(text.contains("/problems/internal") && !text.contains("secret"), "{text}");
    }
}
