//! A gateway behind a time limit, a circuit breaker and counters. Decides nothing about payments.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::{Gateway, GatewayError, Order, Standing};
use crate::breaker::{Breaker, Failed};
use crate::metrics::Metrics;

/// Failures in a row after which buyers are not made to wait for the gateway any more.
const FAILURES: u32 = 5;

/// How long it is left alone then. One call in this time finds out whether it is back.
const PAUSE: Duration = Duration::from_secs(2);

/// Another gateway, guarded.
pub struct Guarded<G> {
    inner: G,
    limit: Duration,
    metrics: Metrics,
    /// A plain mutex: held for a few instructions, never across an await.
    breaker: Mutex<Breaker>,
    started: Instant,
}

impl<G: Gateway> Guarded<G> {
    /// Gives each call of `inner` this long.
    pub fn new(inner: G, limit: Duration, metrics: Metrics) -> Self {
        Self { inner, limit, metrics, breaker: Mutex::new(Breaker::new(FAILURES, PAUSE)), started: Instant::now() }
    }

    async fn call<T>(
        &self,
        operation: &str,
        call: impl Future<Output = Result<T, GatewayError>> + Send,
    ) -> Result<T, GatewayError> {
        if !self.with_breaker(|breaker, now| breaker.allows(now)) {
            self.metrics.gateway_call(operation, "skipped", Duration::ZERO);
            return Err(GatewayError::Resting);
        }
        let began = Instant::now();
        let limit = self.limit;
        let answer = timeout(limit, call)
            .await
            .unwrap_or_else(|_| Err(GatewayError::Unavailable(format!("no answer in {} ms", limit.as_millis()))));
        let outcome = match &answer {
            Ok(_) => "ok",
            Err(GatewayError::Nonsense(_)) => "nonsense",
            Err(GatewayError::TurnedAway(_)) => "turned_away",
            Err(_) => "unavailable",
        };
        self.metrics.gateway_call(operation, outcome, began.elapsed());
        match &answer {
            Ok(_) => self.with_breaker(|breaker, _| breaker.succeeded()),
            // It answered. Whoever can make it talk nonsense about their payment must not stop those of others.
            Err(error) if !error.is_everybodys() => {
                self.with_breaker(|breaker, _| breaker.succeeded());
                tracing::warn!(%error, operation, "payment gateway");
            }
            Err(error) => match self.with_breaker(Breaker::failed) {
                Failed::Opened => tracing::error!(%error, operation, "the payment gateway is left alone for now"),
                Failed::Once | Failed::StillOpen => tracing::warn!(%error, operation, "payment gateway"),
            },
        }
        answer
    }

    fn with_breaker<T>(&self, act: impl FnOnce(&mut Breaker, Duration) -> T) -> T {
        let now = self.started.elapsed();
        act(&mut self.breaker.lock().unwrap_or_else(PoisonError::into_inner), now)
    }
}

#[async_trait]
impl<G: Gateway> Gateway for Guarded<G> {
    async fn authorise(&self, order: &Order) -> Result<Standing, GatewayError> {
        self.call("authorise", self.inner.authorise(order)).await
    }

    async fn ask(&self, payment: Uuid) -> Result<Option<Standing>, GatewayError> {
        self.call("ask", self.inner.ask(payment)).await
    }

    async fn capture(&self, payment: Uuid) -> Result<Standing, GatewayError> {
        self.call("capture", self.inner.capture(payment)).await
    }

    async fn void(&self, payment: Uuid) -> Result<Standing, GatewayError> {
        self.call("void", self.inner.void(payment)).await
    }

    async fn refund(&self, payment: Uuid) -> Result<Standing, GatewayError> {
        self.call("refund", self.inner.refund(payment)).await
    }

    fn is_resting(&self) -> bool {
        self.with_breaker(|breaker, now| breaker.is_open(now))
    }
}
