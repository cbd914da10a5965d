//! Public keys fetched from a URL: kept, refreshed in time, and on demand but never in a stampede.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// A key set is a few hundred bytes; more than this is not one.
const MAX_BYTES: usize = 64 * 1024;

/// How long one fetch may take in all.
const FETCH_LIMIT: Duration = Duration::from_secs(2);

/// Between fetches asked for by requests, once keys are known: an unknown `kid` is cheap to send.
pub const REFRESH_GAP: Duration = Duration::from_secs(3);

/// Between fetches while no keys are known.
const FIRST_GAP: Duration = Duration::from_millis(500);

/// Keys older than this are fetched anew; the key set says it may be cached for as long.
const MAX_AGE: Duration = Duration::from_secs(300);

/// Why keys could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum JwksError {
    /// Not a URL that can be fetched.
    #[error("{0:?} is not an http or https URL")]
    BadUrl(String),
    /// No answer, or not a good one.
    #[error("{0}")]
    Fetch(String),
    /// An answer that is no key set.
    #[error("not a usable key set: {0}")]
    Parse(String),
    /// No root certificates for https.
    #[error("no root certificates found for https: {0}")]
    Roots(String),
}

/// Makes keys of fetched bytes, or says what is wrong with them.
type Parse<T> = Box<dyn Fn(&[u8]) -> Result<T, String> + Send + Sync>;

/// The keys of one URL, as a `T` made from the fetched bytes.
pub struct JwksCache<T> {
    url: http::Uri,
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    parse: Parse<T>,
    keys: ArcSwapOption<T>,
    /// When the last fetch began. Whoever holds it fetches; the others wait and then find new keys.
    last: Mutex<Option<Instant>>,
}

impl<T: Send + Sync + 'static> JwksCache<T> {
    /// A cache that knows nothing yet.
    pub fn new(
        url: &str,
        parse: impl Fn(&[u8]) -> Result<T, String> + Send + Sync + 'static,
    ) -> Result<Self, JwksError> {
        let parsed: http::Uri = url.parse().map_err(|_| JwksError::BadUrl(url.to_owned()))?;
        if !matches!(parsed.scheme_str(), Some("http" | "https")) || parsed.host().is_none() {
            return Err(JwksError::BadUrl(url.to_owned()));
        }
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::ring::default_provider())
            .map_err(|error| JwksError::Roots(error.to_string()))?
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self {
            url: parsed,
            client: Client::builder(TokioExecutor::new()).build(connector),
            parse: Box::new(parse),
            keys: ArcSwapOption::empty(),
            last: Mutex::new(None),
        })
    }

    /// The keys as last fetched.
    pub fn current(&self) -> Option<Arc<T>> {
        self.keys.load_full()
    }

    /// The keys; fetched now if there are none yet.
    pub async fn known(&self) -> Option<Arc<T>> {
        if let Some(keys) = self.current() {
            return Some(keys);
        }
        self.refresh(FIRST_GAP).await;
        self.current()
    }

    /// Fetches unless somebody did within `gap`. One fetch at a time; a failed one keeps the old keys.
    pub async fn refresh(&self, gap: Duration) {
        let mut last = self.last.lock().await;
        if last.is_some_and(|at| at.elapsed() < gap) {
            return;
        }
        *last = Some(Instant::now());
        match self.fetch().await {
            Ok(keys) => {
                if self.keys.swap(Some(Arc::new(keys))).is_none() {
                    tracing::info!(url = %self.url, "keys fetched");
                }
            }
            Err(error) => tracing::warn!(url = %self.url, %error, "keys could not be fetched"),
        }
    }

    /// Keeps the keys fresh for ever: tries every second until there are some, then every few minutes.
    pub async fn keep_fresh(&self) {
        loop {
            self.refresh(FIRST_GAP).await;
            let pause = if self.current().is_some() { MAX_AGE } else { Duration::from_secs(1) };
            tokio::time::sleep(pause).await;
        }
    }

    async fn fetch(&self) -> Result<T, JwksError> {
        let fetched = async {
            let answer =
                self.client.get(self.url.clone()).await.map_err(|error| JwksError::Fetch(error.to_string()))?;
            if answer.status() != http::StatusCode::OK {
                return Err(JwksError::Fetch(format!("answered {}", answer.status())));
            }
            let body = Limited::new(answer.into_body(), MAX_BYTES).collect().await;
            Ok(body.map_err(|error| JwksError::Fetch(error.to_string()))?.to_bytes())
        };
        let bytes = tokio::time::timeout(FETCH_LIMIT, fetched)
            .await
            .map_err(|_| JwksError::Fetch(format!("no answer in {} s", FETCH_LIMIT.as_secs())))??;
        (self.parse)(&bytes).map_err(JwksError::Parse)
    }
}
