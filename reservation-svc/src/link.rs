//! The one connection to Redis: bounded in time, and left alone by a breaker while it does not answer.
//! Whoever asks must be able to go on without an answer. Must not know SQL or HTTP.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use redis::aio::ConnectionManagerConfig;
use redis::{FromRedisValue, RedisResult, ScriptInvocation};
use tokio::time::Instant;

use crate::breaker::{Breaker, Failed};
use crate::metrics::Metrics;
use crate::server::{NotAServer, Server};

/// How long anybody waits for Redis before going on without it.
const PATIENCE: Duration = Duration::from_millis(100);

/// Failures in a row after which nobody waits for Redis any more. A single slow answer is not an outage.
const FAILURES: u32 = 3;

/// How long Redis is left alone then.
const PAUSE: Duration = Duration::from_secs(1);

/// Why the link could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("redis.url: {0}")]
pub struct LinkError(NotAServer);

/// A connection that is made at its first use, so that a Redis that is down delays nothing.
pub struct Link {
    server: Server,
    /// A plain mutex: held for a few instructions, never across an await.
    breaker: Mutex<Breaker>,
    started: Instant,
    metrics: Metrics,
}

impl Link {
    /// A link to the Redis at `url`.
    pub fn at(url: &str, metrics: Metrics) -> Result<Self, LinkError> {
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(1)
            .set_max_delay(PATIENCE)
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        Ok(Self {
            server: Server::at(url, config).map_err(LinkError)?,
            breaker: Mutex::new(Breaker::new(FAILURES, PAUSE)),
            started: Instant::now(),
            metrics,
        })
    }

    /// One script call, bounded in time; `None` when Redis gave no answer. `name` is for the metrics.
    pub async fn call<T: FromRedisValue>(&self, name: &str, call: &ScriptInvocation<'_>) -> Option<T> {
        if !self.with_breaker(|breaker, now| breaker.allows(now)) {
            self.metrics.redis_command(name, "skipped");
            return None;
        }
        let asked = async { call.invoke_async(&mut self.server.connection().await?).await };
        let answer: Result<RedisResult<T>, _> = tokio::time::timeout(PATIENCE, asked).await;
        let demoted = matches!(&answer, Ok(Err(error)) if error.code() == Some("READONLY"));
        let why = match answer {
            Ok(Ok(value)) => {
                self.with_breaker(|breaker, _| breaker.succeeded());
                self.metrics.redis_command(name, "ok");
                return Some(value);
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer in {} ms", PATIENCE.as_millis()),
        };
        self.metrics.redis_command(name, "error");
        let failed = self.with_breaker(Breaker::failed);
        if failed == Failed::Opened {
            tracing::warn!(why, "Redis does not answer; seats are held and shown without it until it does");
        }
        if demoted || failed != Failed::Once {
            // It notices by itself when it broke, not when it fell silent, or leads to the primary no more.
            self.server.leave();
        }
        None
    }

    fn with_breaker<T>(&self, act: impl FnOnce(&mut Breaker, Duration) -> T) -> T {
        let now = self.started.elapsed();
        let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        act(&mut breaker, now)
    }
}
