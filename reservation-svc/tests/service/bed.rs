//! One service with a seeded database of its own, and the waiting room's keys to make tokens with.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use queue_token::{Claims, KeyRing, SigningKey};
use reservation_svc::auth::users;
use reservation_svc::config::{self, Config, Needs, Overrides};
use reservation_svc::ledger::{Ledger, LedgerSettings};
use reservation_svc::metrics::Metrics;
use reservation_svc::seat::UserId;
use reservation_svc::serve::Service;
use reservation_svc::worker::Worker;
use secrecy::SecretSlice;
use sqlx::PgPool;
use tempfile::TempDir;
use testbed::gateway::Gateway;
use testbed::origin::{Origin, Script};
use testbed::postgres::{self, PrivatePostgres, TestDatabase};

use crate::audit::assert_settled;
use crate::client::{Answer, Client, Request};

/// Nothing that a test waits for takes this long unless it never comes.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) const ISSUER: &str = "waitroom";
pub(crate) const ROOM: &str = "concert";

/// What tokens of users must say where their keys are fetched.
pub(crate) const USERS_ISSUER: &str = "https://id.example";
pub(crate) const USERS_AUDIENCE: &str = "tickets";

const SECRET: [u8; 32] = [7; 32];
const JWKS: &str = "/.well-known/jwks.json";

/// How a bed differs from the usual.
#[derive(Default)]
pub(crate) struct Wishes {
    /// The Redis of the seat lock; none unless given.
    pub(crate) redis_url: String,
    /// Where the service finds its database, when not directly.
    pub(crate) database_url: Option<String>,
    /// Where the service may read; nowhere unless given.
    pub(crate) replica_url: String,
    /// Lines of `[holds]`.
    pub(crate) holds: String,
    /// Purchases per queue session.
    pub(crate) max_purchases: u32,
    /// The proxy answers 502 for its keys, until they are published.
    pub(crate) proxy_down: bool,
    /// Connections to the database; 20 unless given.
    pub(crate) connections: u32,
    /// Tickets are issued.
    pub(crate) tickets: bool,
    /// Requests a second that a user may send; any number unless given.
    pub(crate) requests_per_s: u32,
    /// Users come with tokens of an issuer whose keys are at this path of the proxy.
    pub(crate) users_jwks: Option<&'static str>,
    /// URL and secret of the payment gateway; none unless given.
    pub(crate) gateway: Option<(String, String)>,
    /// How long it may take over a call; 5 s unless given.
    pub(crate) gateway_timeout_ms: Option<u32>,
}

/// A bed that pays at this gateway.
pub(crate) fn paying_at(gateway: &Gateway) -> Wishes {
    Wishes { gateway: Some((gateway.url(), gateway.secret().to_owned())), ..Wishes::default() }
}

pub(crate) struct Bed {
    pub(crate) service: Service,
    pub(crate) database: TestDatabase<'static>,
    pub(crate) pool: PgPool,
    pub(crate) proxy: Origin,
    pub(crate) ring: KeyRing,
    pub(crate) client: Client,
    /// The configuration that the service runs with.
    pub(crate) config: String,
    /// The section of the gateway in it.
    gateway: String,
    pub(crate) secrets: TempDir,
}

/// A migrated and seeded database in `server`.
pub(crate) async fn seeded(server: &'static PrivatePostgres) -> TestDatabase<'static> {
    let fill = |url: String| async move {
        let ledger = ledger(&url);
        ledger.migrate().await?;
        ledger.seed().await?;
        ledger.close().await;
        Ok::<_, reservation_svc::ledger::LedgerError>(())
    };
    server.create_template("seeded", fill).await.unwrap();
    server.database_from("seeded").await.unwrap()
}

pub(crate) fn ledger(url: &str) -> Ledger {
    let settings = LedgerSettings { url: url.into(), replica_url: None, max_connections: 4 };
    Ledger::new(&settings, Metrics::new().unwrap()).unwrap()
}

impl Bed {
    pub(crate) async fn start() -> Self {
        Self::with(Wishes::default()).await
    }

    pub(crate) async fn with(wishes: Wishes) -> Self {
        let database = seeded(postgres::shared().await).await;
        Self::on(database, wishes).await
    }

    pub(crate) async fn on(database: TestDatabase<'static>, wishes: Wishes) -> Self {
        let secrets = TempDir::new().unwrap();
        let secret = secrets.path().join("users.key");
        std::fs::write(&secret, SECRET).unwrap();
        let tickets = SigningKey::generate_ed25519("t").unwrap().to_pem().unwrap();
        std::fs::write(secrets.path().join("tickets.pem"), tickets).unwrap();
        let proxy = Origin::start().await.unwrap();
        let ring = KeyRing::new(vec![SigningKey::generate_ed25519("k1").unwrap()]).unwrap();
        if wishes.proxy_down {
            proxy.script(JWKS, Script::new().status(502));
        } else {
            publish(&proxy, &ring);
        }
        let gateway = secrets.path().join("gateway.key");
        std::fs::write(&gateway, wishes.gateway.as_ref().map_or("", |(_, secret)| secret)).unwrap();
        let url = wishes.database_url.clone().unwrap_or_else(|| database.url());
        let text = config(&wishes, &url, &secret, &proxy.url());
        let service = Service::start(parsed(&text)).await.unwrap();
        let pool = PgPool::connect(&database.url()).await.unwrap();
        let client = Client::to(service.addr());
        let gateway = gateway_section(&wishes, &secret);
        Self { service, database, pool, proxy, ring, client, config: text, gateway, secrets }
    }

    /// A request of user `user` who came through the waiting room.
    pub(crate) fn as_user(&self, user: i64, method: &str, path: &str) -> Request {
        self.client
            .request(method, path)
            .header("authorization", &bearer(user))
            .header("x-queue-token", &self.token("v1"))
    }

    /// Holds seats of schedule 1.
    pub(crate) async fn hold(&self, user: i64, seats: &[&str]) -> Answer {
        let body = serde_json::json!({ "seats": seats });
        self.as_user(user, "POST", "/schedules/1/holds").json(&body).send().await
    }

    /// Holds seats of schedule 1, which must succeed; the hold's id.
    pub(crate) async fn held(&self, user: i64, seats: &[&str]) -> String {
        let answer = self.hold(user, seats).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json["hold_id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn pay(&self, user: i64, hold: &str) -> Answer {
        let body = serde_json::json!({ "hold_id": hold, "payment": { "method": "wallet" } });
        self.as_user(user, "POST", "/reservations").json(&body).send().await
    }

    /// Pays by card, with this source.
    pub(crate) fn card(&self, user: i64, hold: &str, source: &str) -> Request {
        let body = serde_json::json!({ "hold_id": hold, "payment": { "method": "card", "source": source } });
        self.as_user(user, "POST", "/reservations").json(&body)
    }

    /// The time of every unfinished payment has come: a worker takes them up, until all that is owed is settled.
    pub(crate) async fn recovered(&self, gateway: &Gateway) {
        self.sql("UPDATE gateway_payments SET next_try_at = clock_timestamp()").await;
        let worker = Worker::start(self.worker_config(&self.gateway)).await.unwrap();
        assert_settled(self, gateway).await;
        assert_eq!(worker.stop().await, 0);
    }

    /// The first column of the only row, as text.
    pub(crate) async fn sql(&self, sql: &str) -> String {
        self.database.sql(sql).await.unwrap().trim().to_owned()
    }

    /// The queue token of a visitor whose session is good.
    pub(crate) fn token(&self, visitor: &str) -> String {
        self.ring.sign(&claims(visitor)).unwrap()
    }

    /// Lets every hold run out without waiting for it.
    pub(crate) async fn run_out(&self) {
        // In the order in which payments and sweeps lock them, or one could wait for the other in a ring.
        self.sql(
            "UPDATE concert_seats SET held_until = clock_timestamp() WHERE id IN (
                 SELECT id FROM concert_seats WHERE held_until IS NOT NULL ORDER BY id FOR UPDATE)",
        )
        .await;
        self.sql(
            "UPDATE seat_holds SET expires_at = clock_timestamp() WHERE id IN (
                 SELECT id FROM seat_holds WHERE status = 'ACTIVE' ORDER BY id FOR UPDATE)",
        )
        .await;
    }

    /// A file of random bytes, good for any secret.
    pub(crate) fn secret_file(&self) -> PathBuf {
        self.secrets.path().join("users.key")
    }

    /// The key that signs tickets.
    pub(crate) fn ticket_key(&self) -> PathBuf {
        self.secrets.path().join("tickets.pem")
    }

    /// A worker's configuration on this bed's database, with more sections.
    pub(crate) fn worker_config(&self, more: &str) -> Config {
        worker_config(&self.database.url(), more)
    }
}

/// Puts the public keys of `ring` where the service looks for them.
pub(crate) fn publish(proxy: &Origin, ring: &KeyRing) {
    proxy.script(JWKS, Script::new().body(serde_json::to_vec(&ring.jwks()).unwrap()));
}

/// Claims of a good session of `visitor`.
pub(crate) fn claims(visitor: &str) -> Claims {
    let now = now_s();
    Claims {
        iss: ISSUER.to_owned(),
        aud: ROOM.to_owned(),
        sub: visitor.to_owned(),
        jti: format!("{visitor}-{now}"),
        iat: now,
        exp: now + 600,
        generation: 1,
        seq: 1,
        auth_time: now - now % 86_400,
    }
}

/// The same for a user from beginning to end, as a session has it: the service knows a client by its token.
pub(crate) fn bearer(user: i64) -> String {
    static BEGAN_S: OnceLock<u64> = OnceLock::new();
    let (secret, now_s) = (SecretSlice::from(SECRET.to_vec()), *BEGAN_S.get_or_init(now_s));
    format!("Bearer {}", users::mint(&secret, UserId::new(user).unwrap(), now_s, 3_600).unwrap())
}

#[expect(clippy::disallowed_methods, reason = "tokens that are good now")]
pub(crate) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A worker's configuration on a database, with more sections.
pub(crate) fn worker_config(database_url: &str, more: &str) -> Config {
    let more = if more.contains("[events]") { more.to_owned() } else { format!("[events]\n{more}") };
    let text = format!("[database]\nurl = {database_url:?}\n{more}")
        .replace("[events]\n", "[events]\nadmin_listen = \"127.0.0.1:0\"\n");
    config::parse(&text, Overrides::default(), Needs::Worker).map_err(|error| error.to_string()).unwrap()
}

fn gateway_section(wishes: &Wishes, secret: &Path) -> String {
    let Some((url, _)) = &wishes.gateway else { return String::new() };
    let timeout_ms = wishes.gateway_timeout_ms.unwrap_or(5_000);
    let secret = secret.with_file_name("gateway.key");
    format!("[gateway]\nurl = {url:?}\nsecret_file = {secret:?}\ntimeout_ms = {timeout_ms}\n")
}

fn parsed(text: &str) -> Config {
    config::parse(text, Overrides::default(), Needs::Everything).map_err(|error| error.to_string()).unwrap()
}

fn config(wishes: &Wishes, database_url: &str, secret: &PathBuf, proxy_url: &str) -> String {
    let proxy_url = proxy_url.trim_end_matches('/');
    let users = match wishes.users_jwks {
        Some(path) => {
            format!("jwks_url = \"{proxy_url}{path}\"\nissuer = {USERS_ISSUER:?}\naudience = {USERS_AUDIENCE:?}")
        }
        None => format!("hs256_secret_file = {secret:?}"),
    };
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\n\
         [database]\nurl = {database_url:?}\nreplica_url = {:?}\nmax_connections = {}\n[redis]\nurl = {:?}\n\
         [queue_token]\naudiences = [{ROOM:?}]\njwks_url = \"{}{JWKS}\"\nmax_purchases = {}\n\
         [limits]\nuser_requests_per_s = {}\n[users]\n{}\n[holds]\n{}\n[tickets]\nkey_file = {:?}\n{}",
        wishes.replica_url,
        if wishes.connections == 0 { 20 } else { wishes.connections },
        wishes.redis_url,
        proxy_url,
        wishes.max_purchases,
        wishes.requests_per_s,
        users,
        wishes.holds,
        if wishes.tickets { secret.with_file_name("tickets.pem") } else { PathBuf::new() },
        gateway_section(wishes, secret),
    )
}
