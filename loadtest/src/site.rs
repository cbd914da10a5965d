//! The site over HTTP: a bounded pool of connections, time-outs for everything, bounded retries.
//! Must not know what a request is for, beyond the name it is counted under.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rand::RngExt;
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use tokio::{sync::Semaphore, time::timeout};

use crate::{contract::Problem, jar::gives_ticket, tally::Tally};

/// A seat map of 1,000 seats has 100 KB; anything near this is not an answer to us.
const MAX_BODY_BYTES: usize = 8 << 20;

/// How often one request is sent again, in all.
const MAX_RETRIES: u32 = 4;

/// Pause before the first retry when the site names none; doubles each time.
const FIRST_BACKOFF: Duration = Duration::from_millis(200);

/// A site that asks for more than this is answered with an error, not with a visitor who hangs.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(30);

/// Connections that nobody has used for this long are closed, before the site does it.
const POOL_IDLE: Duration = Duration::from_secs(20);

/// What a request is counted under in the summary.
pub type What = &'static str;

/// Why the site cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// Not an address that we could ask.
    #[error("{url:?} is not a URL like http://127.0.0.1:8080 (http or https, host, no path or query)")]
    Url {
        /// As given.
        url: String,
    },
    /// No certificates to check an https site with.
    #[error("the system has no usable root certificates for https (Debian: apt install ca-certificates): {0}")]
    Roots(String),
}

/// Why there is no answer, after all retries.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// No connection, or it broke.
    #[error("{what}: {cause}")]
    Transport {
        /// Of which request.
        what: What,
        /// What the system says.
        cause: String,
    },
    /// It took longer than the time-out.
    #[error("{what}: no answer within {} s", .after.as_secs())]
    TimedOut {
        /// Of which request.
        what: What,
        /// The time-out.
        after: Duration,
    },
}

/// One request.
#[derive(Debug, Clone)]
pub struct Ask<'a> {
    /// Counted under this name.
    pub what: What,
    /// The method.
    pub method: Method,
    /// From `/`.
    pub path: &'a str,
    /// `Accept`.
    pub accept: &'static str,
    /// `Authorization`.
    pub authorization: Option<&'a str>,
    /// `Idempotency-Key`: every `POST` with a body must have one, for it may be sent again.
    pub idempotency_key: Option<&'a str>,
    /// A JSON body.
    pub body: Option<String>,
    /// `Cookie`.
    pub cookie: Option<String>,
}

impl<'a> Ask<'a> {
    /// A `GET` for JSON.
    pub fn get(what: What, path: &'a str) -> Self {
        let method = Method::GET;
        let accept = "application/json";
        Self { what, method, path, accept, authorization: None, idempotency_key: None, body: None, cookie: None }
    }
}

/// An answer with its whole body.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON of this shape.
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The problem document's name, or nothing.
    pub fn problem(&self) -> String {
        self.json::<Problem>().unwrap_or_default().name().to_owned()
    }

    /// Whether the waiting room answered in the site's place.
    pub fn is_waiting_room(&self) -> bool {
        gives_ticket(&self.headers) || (self.status == StatusCode::TOO_MANY_REQUESTS && self.problem() == "waiting")
    }

    /// How long to stay away: told to, and by whom it makes sense to ask again.
    fn come_back_after(&self) -> Option<Option<Duration>> {
        let passing = matches!(self.status.as_u16(), 429 | 502 | 503 | 504);
        // The same key is still at work.
        let in_progress = self.status == StatusCode::CONFLICT && self.problem().contains("progress");
        if !(passing || in_progress) || self.is_waiting_room() {
            return None;
        }
        let seconds = self.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        Some(seconds.map(Duration::from_secs))
    }
}

/// How to treat the site.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most connections at a time.
    pub connections: usize,
    /// For one request, from the connection to the last byte.
    pub request_timeout: Duration,
}

/// One site, shared by all visitors.
pub struct Site {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
    permits: Semaphore,
    request_timeout: Duration,
    tally: Arc<Tally>,
}

impl Site {
    /// Prepares; connects to nothing yet.
    pub fn new(url: &str, limits: Limits, tally: Arc<Tally>) -> Result<Self, SiteError> {
        let base = base_url(url)?;
        let mut http = HttpConnector::new();
        http.set_nodelay(true);
        http.enforce_http(false);
        http.set_connect_timeout(Some(limits.request_timeout.min(Duration::from_secs(5))));
        let tls = tls_config(base.starts_with("https:"))?;
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(limits.connections)
            .build(connector.wrap_connector(http));
        let permits = Semaphore::new(limits.connections);
        Ok(Self { client, base, permits, request_timeout: limits.request_timeout, tally })
    }

    /// The same site, counting elsewhere.
    #[must_use]
    pub fn counted(self, tally: &Arc<Tally>) -> Self {
        Self { tally: Arc::clone(tally), ..self }
    }

    /// Asks, and asks again where that can help. It is always safe: what a visitor posts has an idempotency key,
    /// or is the wish to leave.
    pub async fn ask(&self, ask: &Ask<'_>) -> Result<Answer, Failure> {
        let mut retries = 0;
        loop {
            let result = self.ask_once(ask).await;
            let pause = match &result {
                Ok(answer) => answer.come_back_after(),
                Err(_) => Some(None),
            };
            let Some(told) = pause.filter(|_| retries < MAX_RETRIES) else { return result };
            let backoff = FIRST_BACKOFF * (1 << retries);
            // Told to stay away: never earlier. Not told: spread, so that the crowd does not come back as one.
            let pause =
                told.map_or(backoff.mul_f64(rand::rng().random_range(0.5..1.5)), |told| told.min(MAX_RETRY_AFTER));
            retries += 1;
            self.tally.retry(ask.what);
            tokio::time::sleep(pause).await;
        }
    }

    async fn ask_once(&self, ask: &Ask<'_>) -> Result<Answer, Failure> {
        let transport = |cause: String| Failure::Transport { what: ask.what, cause };
        let request = self.request(ask).map_err(|error| transport(error.to_string()))?;
        let permit = self.permits.acquire().await.map_err(|error| transport(error.to_string()))?;
        let exchange = async {
            let response = self.client.request(request).await.map_err(|error| transport(root_cause(&error)))?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, MAX_BODY_BYTES).collect().await;
            let body = body.map_err(|error| transport(root_cause(error.as_ref())))?.to_bytes();
            Ok(Answer { status: parts.status, headers: parts.headers, body })
        };
        // On the heap: thousands of visitors sleep, and a sleeping one should not carry room for this.
        let result = Box::pin(timeout(self.request_timeout, exchange)).await;
        drop(permit);
        let after = self.request_timeout;
        let result = result.unwrap_or(Err(Failure::TimedOut { what: ask.what, after }));
        match &result {
            Ok(answer) => self.tally.answered(ask.what, answer.status),
            Err(failure) => self.tally.failed_request(failure),
        }
        result
    }

    fn request(&self, ask: &Ask<'_>) -> Result<Request<Full<Bytes>>, http::Error> {
        let mut request = Request::builder()
            .method(&ask.method)
            .uri(format!("{}{}", self.base, ask.path))
            .header(header::ACCEPT, ask.accept)
            .header(header::USER_AGENT, concat!("waitroom-loadtest/", env!("CARGO_PKG_VERSION")));
        let optional = [
            (header::COOKIE.as_str(), ask.cookie.as_deref()),
            (header::AUTHORIZATION.as_str(), ask.authorization),
            ("idempotency-key", ask.idempotency_key),
            (header::CONTENT_TYPE.as_str(), ask.body.as_ref().map(|_| "application/json")),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        request.body(Full::from(ask.body.clone().unwrap_or_default()))
    }
}

/// Seconds since the Unix epoch: for the users' bearer tokens, which say when they end.
#[expect(clippy::disallowed_methods, reason = "an edge of the process reads the clock")]
pub fn unix_now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// `http://host:port`, without a slash at the end.
fn base_url(url: &str) -> Result<String, SiteError> {
    let wrong = || SiteError::Url { url: url.to_owned() };
    let uri: http::Uri = url.parse().map_err(|_| wrong())?;
    let scheme = uri.scheme_str().filter(|scheme| ["http", "https"].contains(scheme)).ok_or_else(wrong)?;
    let authority = uri.authority().filter(|authority| !authority.host().is_empty()).ok_or_else(wrong)?;
    if authority.as_str().contains('@') || !matches!(uri.path_and_query().map(|path| path.as_str()), None | Some("/")) {
        return Err(wrong());
    }
    Ok(format!("{scheme}://{authority}"))
}

fn tls_config(https: bool) -> Result<ClientConfig, SiteError> {
    let roots = |error: &dyn std::fmt::Display| SiteError::Roots(error.to_string());
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| roots(&error))?;
    // A plain http site must not fail for want of certificates.
    let config = if https {
        config.with_native_roots().map_err(|error| roots(&error))?
    } else {
        config.with_root_certificates(RootCertStore::empty())
    };
    Ok(config.with_no_client_auth())
}

/// The innermost cause says it best: `Connection refused (os error 111)`.
fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_urls() {
        for url in
            ["", "localhost", "127.0.0.1:80", "ftp://x", "http://", "http://u:p@x/", "http://x/path", "http://x/?q"]
        {
            assert!(base_url(url).is_err(), "{url}");
        }
        assert_eq!(base_url("http://127.0.0.1:8080/").unwrap(), "http://127.0.0.1:8080");
        assert_eq!(base_url("https://example.org").unwrap(), "https://example.org");
    }

    fn answer(status: u16, headers: &[(&'static str, &str)], body: &'static str) -> Answer {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        Answer { status: StatusCode::from_u16(status).unwrap(), headers, body: Bytes::from_static(body.as_bytes()) }
    }

    #[test]
    fn retry_after_is_respected_and_the_waiting_room_is_no_overload() {
        let told = Some(Some(Duration::from_secs(7)));
        assert_eq!(answer(503, &[("retry-after", "7")], "").come_back_after(), told);
        assert_eq!(
            answer(429, &[("retry-after", "7")], r#"{"type":"/problems/too-many-requests"}"#).come_back_after(),
            told
        );
        assert_eq!(answer(502, &[], "").come_back_after(), Some(None));
        assert_eq!(answer(429, &[("retry-after", "2")], r#"{"type":"/problems/waiting"}"#).come_back_after(), None);
        let page = answer(503, &[("set-cookie", "wr_ticket_x=1; Path=/"), ("retry-after", "1")], "<html>");
        assert_eq!(page.come_back_after(), None);
        for status in [200, 404, 409, 500] {
            assert_eq!(answer(status, &[], "{}").come_back_after(), None);
        }
    }
}
