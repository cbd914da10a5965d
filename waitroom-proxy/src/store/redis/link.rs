//! The connection to one Redis server: made on first use, replaced when broken, never waited for longer than 200 ms.
//!
//! The library's connection manager reconnects on its own; here every reconnect must be seen, because the
//! server may have lost something meanwhile. So a broken connection is dropped and the next one has a number.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, ScriptInvocation, Value};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::super::StoreError;
use super::breaker::Breaker;
use super::sentences::Failure;

/// No call waits longer, whatever happens: connecting included.
const LIMIT: Duration = Duration::from_millis(200);

pub(super) struct Link {
    client: Client,
    /// `host:port`, for sentences; never the URL, which may hold a password.
    address: String,
    /// How long a call may take in all.
    limit: Duration,
    /// Locked while one caller connects; the others wait for the same connection, each until its own limit.
    slot: Mutex<Slot>,
    breaker: Breaker,
}

#[derive(Default)]
struct Slot {
    /// How many connections were made so far.
    number: u64,
    connection: Option<MultiplexedConnection>,
}

/// A connection in use, and its number.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) number: u64,
    connection: MultiplexedConnection,
    deadline: Instant,
}

/// What can be sent.
pub(super) enum Request<'a> {
    Script(ScriptInvocation<'a>),
    Command(Cmd),
}

impl Link {
    pub(super) fn new(client: Client) -> Self {
        let address = client.get_connection_info().addr().to_string();
        Self { client, address, limit: LIMIT, slot: Mutex::default(), breaker: Breaker::default() }
    }

    pub(super) fn set_limit(&mut self, limit: Duration) {
        self.limit = limit;
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// The connection, made now if there is none; the limit begins here.
    pub(super) async fn connect(&self) -> Result<Live, StoreError> {
        let started = Instant::now();
        self.breaker.permit(started).map_err(StoreError::Unavailable)?;
        let deadline = started + self.limit;
        match timeout_at(deadline, self.connection()).await {
            Ok(Ok((number, connection))) => Ok(Live { number, connection, deadline }),
            Ok(Err(error)) => Err(self.note(Failure::explain(&error, &self.address), None).await),
            Err(_) => Err(self.note(Failure::slow(&self.address, self.limit), None).await),
        }
    }

    async fn connection(&self) -> redis::RedisResult<(u64, MultiplexedConnection)> {
        let mut slot = self.slot.lock().await;
        if let Some(connection) = &slot.connection {
            return Ok((slot.number, connection.clone()));
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.limit))
            .set_response_timeout(Some(self.limit));
        let connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        slot.number += 1;
        slot.connection = Some(connection.clone());
        Ok((slot.number, connection))
    }

    /// The connection is there, but nothing was sent on it: somebody else may find out whether it works.
    pub(super) fn unused(&self) {
        self.breaker.unused(Instant::now());
    }

    /// Sends one request and waits for its answer.
    pub(super) async fn exchange(&self, live: Live, request: Request<'_>) -> Result<Value, StoreError> {
        let Live { number, mut connection, deadline } = live;
        let answer = async {
            match &request {
                Request::Script(script) => script.invoke_async(&mut connection).await,
                Request::Command(command) => command.query_async(&mut connection).await,
            }
        };
        match timeout_at(deadline, answer).await {
            Ok(Ok(value)) => {
                self.breaker.succeeded();
                Ok(value)
            }
            Ok(Err(error)) => Err(self.note(Failure::explain(&error, &self.address), Some(number)).await),
            Err(_) => Err(self.note(Failure::slow(&self.address, self.limit), Some(number)).await),
        }
    }

    /// Takes note of a failure; a broken connection is not used again.
    async fn note(&self, failure: Failure, number: Option<u64>) -> StoreError {
        if failure.broken {
            self.breaker.failed(Instant::now(), failure.error.reason());
            if let Some(number) = number {
                let mut slot = self.slot.lock().await;
                if slot.number == number {
                    slot.connection = None;
                }
            }
        } else {
            // An answer, if not a welcome one: the server is there.
            self.breaker.succeeded();
        }
        failure.error
    }
}
