//! The connection to the server that keeps a room: made on first use, replaced when broken or when another server
//! has taken over, never waited for longer than 200 ms.
//!
//! It is made beside the calls, by one task at a time: over a slow link, with TLS and a login, that may take longer than
//! any call has. Who calls meanwhile waits for it as long as a call may take.
//!
//! The library's connection manager reconnects on its own; here every reconnect must be seen, because the
//! server may have lost something meanwhile. So a broken connection is dropped and the next one has a number.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, ScriptInvocation, Value, cmd};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::super::StoreError;
use super::ask;
use super::breaker::Breaker;
use super::route::Route;
use super::sentences::Failure;

/// No call waits longer, whatever happens: for a connection, too.
pub(super) const LIMIT: Duration = Duration::from_millis(200);

/// An attempt to find the server and to connect takes no longer: some ten round trips of a slow link, and short
/// enough that one to a host that is gone soon makes way for the next.
const CONNECTING: Duration = Duration::from_secs(2);

/// How often Sentinels are asked, beside the calls, whether the primary is still theirs.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(super) struct Link {
    route: Route,
    /// How long a call may take in all.
    limit: Duration,
    /// Held for an instant, never over an await: nobody waits here for what another does.
    slot: Mutex<Slot>,
    breaker: Breaker,
    /// When the Sentinels were last asked. Held for an instant, never over an await.
    looked: Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Slot {
    /// How many connections were made so far.
    number: u64,
    connection: Option<(MultiplexedConnection, Arc<str>)>,
    /// The attempt to connect that is under way.
    attempt: Option<Attempt>,
    /// Where the last server said that the next one is.
    hint: Option<(String, u16)>,
}

/// How an attempt to connect ends, with what to tell if it failed; `None` while it is under way.
type Attempt = watch::Receiver<Option<Result<(), String>>>;

/// A connection in use, and its number.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) number: u64,
    connection: MultiplexedConnection,
    /// `host:port`, for sentences; never the URL, which may hold a password.
    address: Arc<str>,
    deadline: Instant,
    /// Most of the time went by with connecting: no answer says nothing about the connection. Over a slow link each
    /// would break otherwise, and so for ever.
    hurried: bool,
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

/// How long an attempt to connect may take, for calls that may take this long.
pub(super) fn connecting(limit: Duration) -> Duration {
    CONNECTING.max(limit)
}

impl Link {
    pub(super) fn new(route: Route, limit: Duration) -> Self {
        Self { route, limit, slot: Mutex::default(), breaker: Breaker::default(), looked: Mutex::default() }
    }

    /// The connection, waited for if there is none; the limit begins here.
    pub(super) async fn connect(self: &Arc<Self>) -> Result<Live, StoreError> {
        let started = Instant::now();
        self.breaker.permit(started).map_err(StoreError::Unavailable)?;
        let deadline = started + self.limit;
        let live = match self.at_hand(deadline) {
            Ok(live) => live,
            Err(attempt) => {
                self.await_attempt(attempt, deadline).await?;
                let live = self.at_hand(deadline).map_err(|_| self.lost_again())?;
                let left = deadline.saturating_duration_since(Instant::now());
                Live { hurried: left < self.limit / 2, ..live }
            }
        };
        self.look_now_and_then(&live, started);
        Ok(live)
    }

    /// At start, where no visitor waits: the same, and the limit begins when the connection is there.
    pub(super) async fn connect_at_start(self: &Arc<Self>) -> Result<Live, StoreError> {
        if let Err(attempt) = self.at_hand(Instant::now()) {
            // Longer than the attempt may take: what it says of its failure is worth hearing.
            self.await_attempt(attempt, Instant::now() + connecting(self.limit) + self.limit).await?;
        }
        self.at_hand(Instant::now() + self.limit).map_err(|_| self.lost_again())
    }

    /// The connection, or the attempt to make one, which begins now unless one is under way.
    fn at_hand(self: &Arc<Self>, deadline: Instant) -> Result<Live, Attempt> {
        let mut slot = self.slot();
        if let Some((connection, address)) = &slot.connection {
            let (connection, address) = (connection.clone(), Arc::clone(address));
            return Ok(Live { number: slot.number, connection, address, deadline, hurried: false });
        }
        // One whose end nobody will tell any more went with its runtime.
        if let Some(attempt) = slot.attempt.as_ref().filter(|attempt| attempt.has_changed().is_ok()) {
            return Err(attempt.clone());
        }
        let (end, attempt) = watch::channel(None);
        slot.attempt = Some(attempt.clone());
        let (link, hint) = (Arc::clone(self), slot.hint.take());
        drop(slot);
        tokio::spawn(async move {
            let ended = link.attempt(hint).await;
            end.send_replace(Some(ended));
        });
        Err(attempt)
    }

    /// Makes a connection, for everybody.
    async fn attempt(&self, hint: Option<(String, u16)>) -> Result<(), String> {
        let most = connecting(self.limit);
        let made = timeout(most, self.reach(hint, most)).await;
        let made = made.unwrap_or_else(|_| Err(Failure::slow(&self.route.shown(), most)));
        let mut slot = self.slot();
        slot.attempt = None;
        match made {
            Ok(connection) => {
                slot.number += 1;
                slot.connection = Some(connection);
                Ok(())
            }
            Err(failure) => {
                drop(slot);
                Err(self.note(failure, None).reason())
            }
        }
    }

    async fn reach(
        &self,
        hint: Option<(String, u16)>,
        most: Duration,
    ) -> Result<(MultiplexedConnection, Arc<str>), Failure> {
        let info = match hint.and_then(|hint| self.route.follow(hint)) {
            Some(info) => info,
            None => self.route.find(most).await?,
        };
        let address: Arc<str> = info.addr().to_string().into();
        let connected = ask::connect(info, most).await;
        let mut connection = connected.map_err(|error| Failure::explain(&error, &address))?;
        self.route.confirm(&mut connection, &address).await?;
        Ok((connection, address))
    }

    /// Waits until the attempt has succeeded, but not past the deadline. The attempt goes on; it tells the breaker itself
    /// when it fails.
    async fn await_attempt(&self, mut attempt: Attempt, deadline: Instant) -> Result<(), StoreError> {
        let ended = timeout_at(deadline, attempt.wait_for(Option::is_some)).await.map(|ended| ended.ok()?.clone());
        match ended {
            Ok(Some(Ok(()))) => Ok(()),
            Ok(Some(Err(sentence))) => Err(StoreError::Unavailable(sentence)),
            Ok(None) => Err(StoreError::Unavailable("the attempt to connect was stopped".to_owned())),
            Err(_) => Err(self.note(Failure::slow(&self.route.shown(), self.limit), None)),
        }
    }

    /// Somebody else found out that the new connection is of no use.
    fn lost_again(&self) -> StoreError {
        let shown = self.route.shown();
        StoreError::Unavailable(format!("the new connection to Redis at {shown} broke at once: look at the network"))
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection is there, but nothing was sent on it: somebody else may find out whether it works.
    pub(super) fn unused(&self) {
        self.breaker.unused(Instant::now());
    }

    /// Sends one request and waits for its answer.
    pub(super) async fn exchange(&self, live: Live, request: Request<'_>) -> Result<Value, StoreError> {
        let Live { number, mut connection, address, deadline, hurried } = live;
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
            Ok(Err(error)) => Err(self.note(Failure::explain(&error, &address), Some(number))),
            Err(_) => Err(self.note(Failure::slow(&address, self.limit), (!hurried).then_some(number))),
        }
    }

    /// Returns when this many replicas have all that was written over this connection and before. If that takes
    /// too long the connection is given up, so that every room must be recovered, and acknowledged, first.
    pub(super) async fn replicated(&self, live: Live, acks: u32) -> Result<(), StoreError> {
        // Half of what is left: Redis then answers before this side gives up, and says how many there are.
        let left = live.deadline.saturating_duration_since(Instant::now()) / 2;
        let wait = cmd("WAIT").arg(acks).arg(left.as_millis().max(1).to_string()).clone();
        let (number, address) = (live.number, Arc::clone(&live.address));
        let live = Live { hurried: false, ..live };
        let got = match self.exchange(live, Request::Command(wait)).await? {
            Value::Int(got) => u32::try_from(got).unwrap_or(0),
            _ => 0,
        };
        if got >= acks {
            return Ok(());
        }
        Err(self.note(Failure::unacknowledged(&address, got, acks), Some(number)))
    }

    /// Takes note of a failure; a broken connection is not used again.
    fn note(&self, failure: Failure, number: Option<u64>) -> StoreError {
        if failure.broken {
            self.breaker.failed(Instant::now(), failure.error.reason());
            if let Some(number) = number {
                self.give_up(number, failure.moved);
            }
        } else {
            // An answer, if not a welcome one: the server is there.
            self.breaker.succeeded();
        }
        failure.error
    }

    fn give_up(&self, number: u64, hint: Option<(String, u16)>) {
        let mut slot = self.slot();
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
            if let Ok(Ok(info)) = timeout_at(now + LOOK_EVERY, link.route.find(LOOK_EVERY)).await
                && info.addr().to_string() != *address
            {
                link.give_up(number, None);
            }
        });
    }
}
