//! Tells somebody outside: signed, tried again with growing pauses, laid aside in the end for an operator to replay.
//! While the receiver is down one notification at a time is tried; the others wait without losing an attempt.

mod signature;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use prometheus::IntCounterVec;
use secrecy::SecretSlice;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::task::{Ran, Task, TaskError};
use crate::ledger::Ledger;
use crate::ledger::deliveries::Delivery;
use signature::Signer;

const PERIOD: Duration = Duration::from_secs(1);

/// Notifications under way at once.
const AT_ONCE: i64 = 16;

/// A notification of which nothing is heard for this long is somebody else's: the worker that had it is dead.
const LEASE: Duration = Duration::from_secs(60);

/// The pause after the first failure; four times as long after each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(6 * 3_600);

/// Where to, and how stubbornly.
#[derive(Debug, Clone)]
pub struct WebhookSettings {
    /// The receiver.
    pub url: Uri,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// After so many it is given up.
    pub max_attempts: i32,
}

/// Notifications to one URL. Cheap to clone.
#[derive(Clone)]
pub struct Webhook(Arc<Inner>);

struct Inner {
    ledger: Ledger,
    settings: WebhookSettings,
    signer: Signer,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// Whether the last run got anything through.
    receiver_up: AtomicBool,
    deliveries: IntCounterVec,
}

impl Webhook {
    /// To the URL of the settings, signed with `secret`; counts in `deliveries` by outcome. Fails without root
    /// certificates.
    pub fn new(
        ledger: Ledger,
        settings: WebhookSettings,
        secret: &SecretSlice<u8>,
        deliveries: IntCounterVec,
    ) -> Result<Self, std::io::Error> {
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::ring::default_provider())?
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        let signer = Signer::new(secret);
        let receiver_up = AtomicBool::new(true);
        Ok(Self(Arc::new(Inner { ledger, settings, signer, client, receiver_up, deliveries })))
    }

    /// One attempt, and what it means for the notification. Says whether it arrived.
    #[expect(clippy::disallowed_methods, reason = "an edge of the process reads the clock")]
    async fn deliver(&self, delivery: &Delivery) -> Result<bool, TaskError> {
        let Inner { ledger, settings, deliveries, .. } = &*self.0;
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let outcome = match self.send(delivery, now_s).await {
            Ok(()) => {
                ledger.delivered(delivery.event_id).await?;
                "delivered"
            }
            Err(why) if delivery.attempts >= settings.max_attempts => {
                tracing::warn!(event = %delivery.event_id, why, "a notification goes to the dead letters");
                ledger.give_up_delivery(delivery.event_id, &why).await?;
                "dead"
            }
            Err(why) => {
                tracing::debug!(event = %delivery.event_id, why, "a notification did not arrive");
                // Jitter, so that what failed together does not come back together.
                let pause = pause_after(delivery.attempts).mul_f64(rand::random_range(0.8..1.0));
                ledger.deliver_later(delivery.event_id, pause).await?;
                "failed"
            }
        };
        deliveries.with_label_values(&[outcome]).inc();
        Ok(outcome == "delivered")
    }

    async fn send(&self, delivery: &Delivery, now_s: u64) -> Result<(), String> {
        let Inner { settings, signer, client, .. } = &*self.0;
        let id = delivery.event_id.to_string();
        let body = serde_json::to_vec(&delivery.event).map_err(|error| error.to_string())?;
        let request = Request::post(settings.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("reservation-svc/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", &id)
            .header("webhook-timestamp", now_s)
            .header("webhook-signature", signer.sign(&id, now_s, &body))
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| error.to_string())?;
        let answer = timeout(settings.timeout, client.request(request))
            .await
            .map_err(|_| format!("no answer in {} ms", settings.timeout.as_millis()))?
            .map_err(|error| said(&error))?;
        if answer.status().is_success() { Ok(()) } else { Err(format!("answered {}", answer.status())) }
    }
}

/// An error with its causes: hyper's own sentence says only that it could not connect.
fn said(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[async_trait]
impl Task for Webhook {
    fn name(&self) -> &'static str {
        "webhook"
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    async fn run_once(&self) -> Result<Ran, TaskError> {
        let limit = if self.0.receiver_up.load(Ordering::Relaxed) { AT_ONCE } else { 1 };
        let due = self.0.ledger.claim_deliveries(limit, LEASE).await?;
        if due.is_empty() {
            return Ok(Ran::Idle);
        }
        let mut under_way = JoinSet::new();
        for delivery in due {
            let webhook = self.clone();
            under_way.spawn(async move { webhook.deliver(&delivery).await });
        }
        let mut arrived = 0;
        while let Some(ended) = under_way.join_next().await {
            let ended = ended.map_err(|error| TaskError::Elsewhere { what: "a bug", why: error.to_string() })?;
            arrived += i32::from(ended?);
        }
        self.0.receiver_up.store(arrived > 0, Ordering::Relaxed);
        if arrived > 0 {
            return Ok(Ran::More);
        }
        // The pause after a failure is the breaker's: nothing else is tried meanwhile.
        Err(TaskError::Elsewhere { what: "webhook.url", why: "the receiver takes nothing".to_owned() })
    }
}

/// How long after so many failures a notification comes up again.
fn pause_after(attempts: i32) -> Duration {
    let further = u32::try_from(attempts.saturating_sub(1)).unwrap_or(0).min(8);
    (FIRST_PAUSE * 4_u32.pow(further)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound() {
        assert_eq!([1, 2, 3, 4].map(|n| pause_after(n).as_secs()), [5, 20, 80, 320]);
        assert_eq!(pause_after(100), LONGEST_PAUSE);
    }
}
