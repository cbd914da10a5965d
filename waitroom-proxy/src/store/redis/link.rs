//! The connection to the server that keeps a room: made on first use, replaced when broken or when another server
//! has taken over, never waited for longer than 200 ms.
//!
//! The library's connection manager reconnects on its own; here every reconnect must be seen, because the
//! server may have lost something meanwhile. So a broken connection is dropped and the next one has a number.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, ScriptInvocation, Value, cmd};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::super::StoreError;
use super::ask;
use super::breaker::Breaker;
use super::route::Route;
use super::sentences::Failure;

/// No call waits longer, whatever happens: finding the server and connecting included.
pub(super) const LIMIT: Duration = Duration::from_millis(200);

/// How often Sentinels are asked, beside the calls, whether the primary is still theirs.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(super) struct Link {
    route: Route,
    /// How long a call may take in all.
    limit: Duration,
    /// Locked while one caller connects; the others wait for the same connection, each until its own limit.
    slot: Mutex<Slot>,
    breaker: Breaker,
    /// When the Sentinels were last asked. Held for an instant, never over an await.
    looked: std::sync::Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Slot {
    /// How many connections were made so far.
    number: u64,
    connection: Option<(MultiplexedConnection, Arc<str>)>,
    /// Where the last server said that the next one is.
    hint: Option<(String, u16)>,
}

/// A connection in use, and its number.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) number: u64,
    connection: MultiplexedConnection,
    /// `host:port`, for sentences; never the URL, which may hold a password.
    address: Arc<str>,
    deadline: Instant,
}

/// What can be sent.
pub(super) enum Request<'a> {
    Script(ScriptInvocation<'a>),
    Command(Cmd),
}

impl Live {
    pub(super) fn address(&self) -> &str {
        &self.address
    }
}

impl Link {
    pub(super) fn new(route: Route, limit: Duration) -> Self {
        Self { route, limit, slot: Mutex::default(), breaker: Breaker::default(), looked: std::sync::Mutex::default() }
    }

    /// The connection, made now if there is none; the limit begins here.
    pub(super) async fn connect(self: &Arc<Self>) -> Result<Live, StoreError> {
        let started = Instant::now();
        self.breaker.permit(started).map_err(StoreError::Unavailable)?;
        let deadline = started + self.limit;
        match timeout_at(deadline, self.connection()).await {
            Ok(Ok((number, connection, address))) => {
                let live = Live { number, connection, address, deadline };
                self.look_now_and_then(&live, started);
                Ok(live)
            }
            Ok(Err(failure)) => Err(self.note(failure, None).await),
            Err(_) => Err(self.note(Failure::slow(&self.route.shown(), self.limit), None).await),
        }
    }

    async fn connection(&self) -> Result<(u64, MultiplexedConnection, Arc<str>), Failure> {
        let mut slot = self.slot.lock().await;
        if let Some((connection, address)) = &slot.connection {
            return Ok((slot.number, connection.clone(), Arc::clone(address)));
        }
        let info = match slot.hint.take().and_then(|hint| self.route.follow(hint)) {
            Some(info) => info,
            None => self.route.find(self.limit).await?,
        };
        let address: Arc<str> = info.addr().to_string().into();
        let connected = ask::connect(info, self.limit).await;
        let mut connection = connected.map_err(|error| Failure::explain(&error, &address))?;
        self.route.confirm(&mut connection, &address).await?;
        slot.number += 1;
        slot.connection = Some((connection.clone(), Arc::clone(&address)));
        Ok((slot.number, connection, address))
    }

    /// The connection is there, but nothing was sent on it: somebody else may find out whether it works.
    pub(super) fn unused(&self) {
        self.breaker.unused(Instant::now());
    }

    /// Sends one request and waits for its answer.
    pub(super) async fn exchange(&self, live: Live, request: Request<'_>) -> Result<Value, StoreError> {
        let Live { number, mut connection, address, deadline } = live;
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
            Ok(Err(error)) => Err(self.note(Failure::explain(&error, &address), Some(number)).await),
            Err(_) => Err(self.note(Failure::slow(&address, self.limit), Some(number)).await),
        }
    }

    /// Returns when this many replicas have all that was written over this connection and before. If that takes
    /// too long the connection is given up, so that every room must be recovered, and acknowledged, first.
    pub(super) async fn replicated(&self, live: Live, acks: u32) -> Result<(), StoreError> {
        // Half of what is left: Redis then answers before this side gives up, and says how many there are.
        let left = live.deadline.saturating_duration_since(Instant::now()) / 2;
        let wait = cmd("WAIT").arg(acks).arg(left.as_millis().max(1).to_string()).clone();
        let (number, address) = (live.number, Arc::clone(&live.address));
        let got = match self.exchange(live, Request::Command(wait)).await? {
            Value::Int(got) => u32::try_from(got).unwrap_or(0),
            _ => 0,
        };
        if got >= acks {
            return Ok(());
        }
        Err(self.note(Failure::unacknowledged(&address, got, acks), Some(number)).await)
    }

    /// Takes note of a failure; a broken connection is not used again.
    async fn note(&self, failure: Failure, number: Option<u64>) -> StoreError {
        if failure.broken {
            self.breaker.failed(Instant::now(), failure.error.reason());
            if let Some(number) = number {
                self.give_up(number, failure.moved).await;
            }
        } else {
            // An answer, if not a welcome one: the server is there.
            self.breaker.succeeded();
        }
        failure.error
    }

    async fn give_up(&self, number: u64, hint: Option<(String, u16)>) {
        let mut slot = self.slot.lock().await;
        if slot.number == number && slot.connection.take().is_some() {
            slot.hint = hint;
        }
    }

    /// Asks the Sentinels, beside the calls, whether another server has become the primary while this one
    /// still answers: it may be cut off from them and not know.
    fn look_now_and_then(self: &Arc<Self>, live: &Live, now: Instant) {
        if !self.route.may_move_unseen() {
            return;
        }
        {
            let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
            if looked.is_some_and(|at| now < at + LOOK_EVERY) {
                return;
            }
            *looked = Some(now);
        }
        let (link, number, address) = (Arc::clone(self), live.number, Arc::clone(&live.address));
        tokio::spawn(async move {
            // Sentinels that do not answer say nothing about the primary.
            if let Ok(Ok(info)) = timeout_at(now + LOOK_EVERY, link.route.find(link.limit)).await
                && info.addr().to_string() != *address
            {
                link.give_up(number, None).await;
            }
        });
    }
}
