//! Puts the parts together, and takes them apart in order. What tests start is what `main` starts.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::auth::demo::{DEMO_USERS, DemoLogin};
use crate::auth::jwks::JwksError;
use crate::auth::queue::QueueGate;
use crate::auth::users::UserGate;
use crate::booking::Booking;
use crate::booking::card::Cards;
use crate::catalogue::{Catalogue, Writers};
use crate::config::gateway::GatewaySettings;
use crate::config::secrets::{self, SecretError};
use crate::config::{Config, UserKeys};
use crate::gateway::guarded::Guarded;
use crate::gateway::http::{GatewaySetupError, HttpGateway};
use crate::http::App;
use crate::http::marks::Recent;
use crate::http::views::catalogue as views;
use crate::ledger::{Ledger, LedgerError};
use crate::link::{Link, LinkError};
use crate::lock::SeatLock;
use crate::metrics::Metrics;
use crate::quota::Quota;
use crate::seatmap::SeatMaps;
use crate::seatmap::store::MapStore;
use crate::server::NotAServer;
use crate::ticket::{TicketKey, TicketKeyError};
use crate::{admin, http, listener};

/// How lists are written.
const LISTS: Writers = Writers { concerts: views::concerts, schedules: views::schedules };

/// Between tidyings of expired idempotency keys.
const TIDY_EVERY: Duration = Duration::from_secs(30);

/// Why the service did not start: with its sources one sentence, what is wrong and what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database is not there, or not ready.
    #[error("database.url")]
    Database(#[from] LedgerError),
    /// The Redis URL is none.
    #[error(transparent)]
    Redis(#[from] LinkError),
    /// A secret file is missing or too short.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The ticket key is missing or none.
    #[error(transparent)]
    Ticket(#[from] TicketKeyError),
    /// No such time zone.
    #[error("events.settlement_time_zone: the database knows no time zone {0:?}; write it as in Asia/Seoul")]
    TimeZone(String),
    /// The waiting room's Redis URL is none.
    #[error("events.queue_redis_url: {0}")]
    QueueRedis(NotAServer),
    /// Kafka's settings are not understood.
    #[error("events.kafka_options: {0}")]
    Kafka(String),
    /// No https without root certificates.
    #[error("webhook.url: no root certificates found for https: {0}")]
    Roots(std::io::Error),
    /// A key URL is none.
    #[error("jwks_url")]
    Keys(#[from] JwksError),
    /// An address is taken.
    #[error("{key} {address}: {cause}; choose another address or stop what listens there")]
    Bind {
        /// Which setting.
        key: &'static str,
        /// Which address.
        address: SocketAddr,
        /// Why. Said in the sentence, so not a source: the chain would say it twice.
        cause: std::io::Error,
    },
    /// The payment gateway can not be spoken to.
    #[error(transparent)]
    Gateway(#[from] GatewaySetupError),
    /// Two metrics of one name.
    #[error("metrics")]
    Metrics(#[from] prometheus::Error),
}

/// A running service.
pub struct Service {
    addr: SocketAddr,
    admin_addr: SocketAddr,
    ledger: Ledger,
    /// What readiness asks the database with.
    probe: Ledger,
    /// Readiness goes down and connections drain.
    drain: watch::Sender<bool>,
    /// The admin listener goes last, so that readiness can be seen going down.
    stop_admin: watch::Sender<bool>,
    public: JoinHandle<usize>,
    admin: JoinHandle<usize>,
    background: JoinSet<()>,
}

impl Service {
    /// Starts everything, or says why not. Does not wait for the proxy, whose keys may come later.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let metrics = Metrics::new()?;
        let (users, demo) = match &config.users {
            UserKeys::SecretFile(path) => {
                let secret = secrets::hs256_secret(path)?;
                let expected = config.user_tokens.clone();
                let gate = UserGate::with_secret(&secret, expected.clone());
                (gate, config.demo_login.then(|| DemoLogin::new(secret, expected)))
            }
            UserKeys::JwksUrl(url) => (UserGate::with_jwks(url, config.user_tokens.clone())?, None),
        };
        if demo.is_some() {
            let (first, last) = DEMO_USERS.into_inner();
            tracing::warn!(
                "users.demo_login is on: WHOEVER ASKS is signed in as one of the users {first} to {last} and pays \
                 with their money. For demos on this machine only, never for real users"
            );
        }
        let tickets = config.tickets.key_file.as_deref();
        let tickets = tickets.map(|path| TicketKey::read_with_old(path, &config.tickets.old_key_files)).transpose()?;
        let queue = config.queue.clone().map(QueueGate::new).transpose()?;
        let link = config.redis_url.as_ref().map(|url| Link::at(url.expose_secret(), metrics.clone()));
        let link = link.transpose()?.map(Arc::new);
        let lock = link.clone().filter(|_| config.lock_seats).map_or_else(SeatLock::off, SeatLock::over);
        let store = link.filter(|_| config.keep_seat_maps).map_or_else(MapStore::off, MapStore::over);
        let ledger = Ledger::new(&config.database, metrics.clone())?;
        ledger.check_schema().await?;
        let public = bind("server.listen", config.listen).await?;
        let admin = bind("server.admin_listen", config.admin_listen).await?;

        let mut background = JoinSet::new();
        if let Some(gate) = &queue {
            let keys = gate.keys();
            background.spawn(async move { keys.keep_fresh().await });
        }
        if let Some(keys) = users.fetched() {
            background.spawn(async move { keys.keep_fresh().await });
        }
        background.spawn(tidy(ledger.clone()));
        let watched = ledger.clone();
        background.spawn(async move { watched.watch_replica().await });

        let cards = config.gateway.as_ref().map(|settings| cards(settings, &ledger, &metrics)).transpose()?;
        let maps = SeatMaps::new(ledger.clone(), store, views::seat_map, metrics.clone());
        let booking = Booking::new(ledger.clone(), lock, maps.clone(), cards, metrics.clone());
        let app = Arc::new(App {
            booking,
            maps,
            catalogue: Catalogue::new(ledger.clone(), LISTS),
            recent: Recent::default(),
            ledger: ledger.clone(),
            users,
            queue,
            demo,
            tickets,
            cards: config.gateway.is_some(),
            holds: config.holds,
            quota: config.requests_per_s.map(Quota::new),
            started: Instant::now(),
            metrics,
        });
        Ok(Self::serve(app, public, admin, background))
    }

    fn serve(app: Arc<App>, public: Bound, admin: Bound, background: JoinSet<()>) -> Self {
        let (drain, draining) = watch::channel(false);
        let (stop_admin, admin_stopping) = watch::channel(false);
        let ledger = app.ledger.clone();
        let probe = ledger.apart();
        let admin_router = admin::router(Arc::clone(&app), probe.clone(), draining.clone());
        Self {
            addr: public.addr,
            admin_addr: admin.addr,
            ledger,
            probe,
            drain,
            stop_admin,
            public: tokio::spawn(listener::serve(public.listener, http::router(app), draining)),
            admin: tokio::spawn(listener::serve(admin.listener, admin_router, admin_stopping)),
            background,
        }
    }

    /// Where the service listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where health and metrics are.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin_addr
    }

    /// Readiness down, no new connections, requests in flight finish; returns as soon as they have.
    /// Says how many were cut off because they took too long.
    pub async fn stop(mut self) -> usize {
        self.drain.send_replace(true);
        let cut_off = self.public.await.unwrap_or(0);
        self.stop_admin.send_replace(true);
        self.admin.abort();
        self.background.shutdown().await;
        self.probe.close().await;
        self.ledger.close().await;
        cut_off
    }
}

/// Payments by the gateway, for `serve` and for the recovery of `worker`.
pub(crate) fn cards(settings: &GatewaySettings, ledger: &Ledger, metrics: &Metrics) -> Result<Cards, StartError> {
    let secret = secrets::text("gateway.secret_file", &settings.secret_file)?;
    let gateway = HttpGateway::new(&settings.url, &secret)?;
    let gateway = Arc::new(Guarded::new(gateway, settings.timeout, metrics.clone()));
    Ok(Cards::new(gateway, ledger.clone(), metrics.clone(), settings.recover_after))
}

/// A port that is ours.
pub(crate) struct Bound {
    pub(crate) listener: TcpListener,
    pub(crate) addr: SocketAddr,
}

/// Takes the address that the setting `key` names.
pub(crate) async fn bind(key: &'static str, address: SocketAddr) -> Result<Bound, StartError> {
    let failed = |cause| StartError::Bind { key, address, cause };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let addr = listener.local_addr().map_err(failed)?;
    Ok(Bound { listener, addr })
}

async fn tidy(ledger: Ledger) {
    loop {
        tokio::time::sleep(TIDY_EVERY).await;
        match ledger.tidy_idempotency_keys().await {
            Ok(0) => {}
            Ok(removed) => tracing::debug!(removed, "expired idempotency keys"),
            Err(error) => tracing::debug!(%error, "idempotency keys not tidied"),
        }
    }
}
