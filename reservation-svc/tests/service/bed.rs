//! One service with a seeded database of its own, and the waiting room's keys to make tokens with.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use queue_token::{Claims, KeyRing, SigningKey};
use reservation_svc::auth::users;
use reservation_svc::config::{self, Config, Needs, Overrides};
use reservation_svc::ledger::{Ledger, LedgerSettings};
use reservation_svc::metrics::Metrics;
use reservation_svc::seat::UserId;
use reservation_svc::serve::Service;
use secrecy::SecretSlice;
use sqlx::PgPool;
use tempfile::TempDir;
use testbed::origin::{Origin, Script};
use testbed::postgres::{self, PrivatePostgres, TestDatabase};

use crate::client::{Answer, Client, Request};

/// Nothing that a test waits for takes this long unless it never comes.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) const ISSUER: &str = "waitroom";
pub(crate) const ROOM: &str = "concert";
const SECRET: [u8; 32] = [7; 32];
const JWKS: &str = "/.well-known/jwks.json";

/// How a bed differs from the usual.
#[derive(Default)]
pub(crate) struct Wishes {
    /// The Redis of the seat lock; none unless given.
    pub(crate) redis_url: String,
    /// Where the service finds its database, when not directly.
    pub(crate) database_url: Option<String>,
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
}

pub(crate) struct Bed {
    pub(crate) service: Service,
    pub(crate) database: TestDatabase<'static>,
    pub(crate) pool: PgPool,
    pub(crate) proxy: Origin,
    pub(crate) ring: KeyRing,
    pub(crate) client: Client,
    secrets: TempDir,
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
    let settings = LedgerSettings { url: url.into(), max_connections: 4 };
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
        let url = wishes.database_url.clone().unwrap_or_else(|| database.url());
        let service = Service::start(config(&wishes, &url, &secret, &proxy.url())).await.unwrap();
        let pool = PgPool::connect(&database.url()).await.unwrap();
        let client = Client::to(service.addr());
        Self { service, database, pool, proxy, ring, client, secrets }
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
        self.sql("UPDATE concert_seats SET held_until = clock_timestamp() WHERE held_until IS NOT NULL").await;
        self.sql("UPDATE seat_holds SET expires_at = clock_timestamp() WHERE status = 'ACTIVE'").await;
    }

    /// The key that signs tickets.
    pub(crate) fn ticket_key(&self) -> PathBuf {
        self.secrets.path().join("tickets.pem")
    }

    /// A worker's configuration on this bed's database, with more sections.
    pub(crate) fn worker_config(&self, more: &str) -> Config {
        worker_config(&self.database.url(), more)
    }

    /// Every invariant that can be seen in the tables: I14, I16, I18, and that money went where seats did.
    pub(crate) async fn audit(&self) {
        let checks = [
            (
                "seats sold twice",
                "SELECT count(*) FROM (SELECT FROM reservation_seats GROUP BY schedule_id, seat_id HAVING count(*) > 1) x",
            ),
            (
                "wallets that differ from their ledger",
                "SELECT count(*) FROM wallets w WHERE balance < 0 OR balance <> (SELECT coalesce(sum(amount), 0) FROM wallet_transactions t WHERE t.wallet_id = w.id)",
            ),
            (
                "reserved seats without a reservation, or the other way",
                "SELECT count(*) FROM (SELECT id FROM concert_seats WHERE status = 'RESERVED') s FULL JOIN reservation_seats r ON r.seat_id = s.id WHERE s.id IS NULL OR r.seat_id IS NULL",
            ),
            (
                "payments that differ from their seats",
                "SELECT count(*) FROM payments p WHERE (SELECT CASE WHEN EXISTS (SELECT FROM refunds f WHERE f.payment_id = p.id) THEN 0 ELSE p.amount END) <> (SELECT coalesce(sum(price), 0) FROM reservation_seats s WHERE s.reservation_id = p.reservation_id)",
            ),
            (
                "payments without their ledger line",
                "SELECT count(*) FROM payments p WHERE 1 <> (SELECT count(*) FROM wallet_transactions t WHERE t.payment_id = p.id AND t.kind = 'payment' AND t.amount = -p.amount)",
            ),
            (
                "paid holds without a payment",
                "SELECT (SELECT count(*) FROM seat_holds WHERE status IN ('PAID', 'CANCELLED')) - (SELECT count(*) FROM payments)",
            ),
            (
                "refunds without their ledger line, their payment's amount or their cancelled hold, or the other way",
                "SELECT count(*) FROM refunds f JOIN payments p ON p.id = f.payment_id
                     JOIN reservations r ON r.id = f.reservation_id AND r.id = p.reservation_id
                     FULL JOIN (SELECT id FROM seat_holds WHERE status = 'CANCELLED') h ON h.id = r.hold_id
                     FULL JOIN (SELECT * FROM wallet_transactions WHERE kind = 'refund') t ON t.payment_id = p.id
                 WHERE f.amount IS DISTINCT FROM p.amount OR t.amount IS DISTINCT FROM f.amount OR h.id IS NULL",
            ),
            (
                "refunds without their events",
                "SELECT 2 * (SELECT count(*) FROM refunds) - (SELECT count(*) FROM outbox WHERE topic IN ('payment.refunded', 'reservation.cancelled'))",
            ),
            (
                "payments without their event",
                "SELECT (SELECT count(*) FROM payments) - (SELECT count(*) FROM outbox WHERE topic = 'payment.completed')",
            ),
            (
                "reservations without their event",
                "SELECT (SELECT count(*) FROM reservations) - (SELECT count(*) FROM outbox WHERE topic = 'reservation.created')",
            ),
            (
                "holds without their event",
                "SELECT (SELECT count(*) FROM seat_holds) - (SELECT count(*) FROM outbox WHERE topic = 'hold.created')",
            ),
            (
                "expired holds without their event",
                "SELECT (SELECT count(*) FROM seat_holds WHERE status = 'EXPIRED') - (SELECT count(*) FROM outbox WHERE topic = 'reservation.expired')",
            ),
            (
                "released holds without their event",
                "SELECT (SELECT count(*) FROM seat_holds WHERE status = 'RELEASED') - (SELECT count(*) FROM outbox WHERE topic = 'hold.released')",
            ),
        ];
        for (what, sql) in checks {
            assert_eq!(self.sql(sql).await, "0", "{what}");
        }
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

pub(crate) fn bearer(user: i64) -> String {
    let secret = SecretSlice::from(SECRET.to_vec());
    format!("Bearer {}", users::mint(&secret, UserId::new(user).unwrap(), now_s(), 600).unwrap())
}

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

fn config(wishes: &Wishes, database_url: &str, secret: &PathBuf, proxy_url: &str) -> Config {
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\n\
         [database]\nurl = {database_url:?}\nmax_connections = {}\n[redis]\nurl = {:?}\n\
         [queue_token]\naudiences = [{ROOM:?}]\njwks_url = \"{}{JWKS}\"\nmax_purchases = {}\n\
         [users]\nhs256_secret_file = {secret:?}\n[holds]\n{}\n[tickets]\nkey_file = {:?}\n",
        if wishes.connections == 0 { 20 } else { wishes.connections },
        wishes.redis_url,
        proxy_url.trim_end_matches('/'),
        wishes.max_purchases,
        wishes.holds,
        if wishes.tickets { secret.with_file_name("tickets.pem") } else { PathBuf::new() },
    );
    config::parse(&text, Overrides::default(), Needs::Everything).map_err(|error| error.to_string()).unwrap()
}
