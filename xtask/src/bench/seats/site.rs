//! The servers of the bench: Postgres on one core, everything that asks it on the other.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testbed::ports::Reserved;
use testbed::postgres::PrivatePostgres;
use testbed::process::{Child, Program};
use testbed::redis::PrivateRedis;
use testbed::scratch::Scratch;

use crate::bench::Profile;
use crate::bench::reference::pinned;
use crate::bench::rounds::{LOAD_CORE, SERVER_CORE};
use crate::http;

const READY_WITHIN: Duration = Duration::from_secs(60);
const DONE_WITHIN: Duration = Duration::from_secs(120);
const DATABASE: &str = "bench";

/// The schedule with the seats `S-1` to `S-10000`.
pub(super) const SCHEDULE: i64 = 100;

/// How many seats it has.
pub(super) const SEATS: i64 = 10_000;

/// Users who buy, from 1 on.
pub(super) const USERS: usize = 256;

/// Sessions of the waiting room that they are in.
const SESSIONS: usize = 16;

/// How a service of the bench differs from the others.
#[derive(Clone, Copy)]
struct Variant {
    redis: bool,
    lock: bool,
    ttl_s: u32,
}

/// Running servers. Dropped in this order; the folder goes last.
#[derive(Debug)]
pub(super) struct Site {
    proxy: Child,
    _services: Vec<Child>,
    pub(super) postgres: PrivatePostgres,
    pub(super) redis: PrivateRedis,
    /// With all that it has; holds run out after a second.
    pub(super) whole: SocketAddr,
    /// Without the seat lock, maps kept as ever.
    pub(super) no_lock: SocketAddr,
    /// Without Redis.
    pub(super) no_redis: SocketAddr,
    /// The proxy, in front of one as it would run: holds of five minutes.
    pub(super) front: SocketAddr,
    /// A user's bearer token, each.
    pub(super) users: Vec<String>,
    /// A queue token, each.
    pub(super) sessions: Vec<String>,
    profile: Profile,
    ports: Vec<Reserved>,
    folder: Scratch,
}

impl Site {
    /// Starts all of them, with seats to sell and tokens to ask with.
    pub(super) async fn start(profile: Profile) -> Result<Self> {
        let folder = Scratch::new("bench")?;
        let postgres = PrivatePostgres::start().await?;
        postgres.sql("postgres", &format!("CREATE DATABASE {DATABASE}")).await?;
        pin(postgres.pid(), SERVER_CORE)?;
        let redis = PrivateRedis::start().await?;
        pin(redis.pid(), LOAD_CORE)?;
        let ports = (0..11).map(|_| Reserved::new()).collect::<std::io::Result<Vec<_>>>()?;
        let at = |index: usize| ports[index].addr();
        let (front, front_admin) = (at(0), at(1));
        let start =
            Start { profile, folder: folder.path(), front, database: postgres.url(DATABASE), redis: redis.url() };
        fs::write(folder.path().join("users.key"), [7; 32]).context("writing the users' key")?;

        let whole = Variant { redis: true, lock: true, ttl_s: 1 };
        let variants = [
            (whole, 2),
            (Variant { lock: false, ..whole }, 4),
            (Variant { redis: false, ..whole }, 6),
            (Variant { ttl_s: 300, ..whole }, 8),
        ];
        start.to_its_end(whole, at(2), at(3), "migrate").await?;
        start.to_its_end(whole, at(2), at(3), "seed").await?;
        postgres.sql(DATABASE, &format!(
            "INSERT INTO concert_schedules (id, concert_id, starts_at) VALUES ({SCHEDULE}, 1, now() + interval '30 days');
             INSERT INTO concert_seats (schedule_id, seat, section, price)
             SELECT {SCHEDULE}, 'S-' || n, 'R', 1000 FROM generate_series(1, {SEATS}) n"
        )).await?;
        let proxy = start.proxy(at(8), front_admin).await?;
        let mut services = Vec::new();
        for (variant, port) in variants {
            let service = start.service(variant, at(port), at(port + 1))?.arg("serve");
            let service = start.with_config(service, variant, at(port), at(port + 1))?.start()?;
            ready(&service, at(port + 1)).await?;
            services.push(service);
        }
        let users = start.users(whole, at(2), at(3)).await?;
        let mut sessions = Vec::new();
        for _ in 0..SESSIONS {
            sessions.push(enter(front).await.context("getting a session from the proxy")?);
        }
        let tokens = format!("{}\n\n{}\n", sessions.join("\n"), users.join("\n"));
        fs::write(folder.path().join("tokens"), tokens).context("writing tokens")?;
        let (whole, no_lock, no_redis) = (at(2), at(4), at(6));
        Ok(Self {
            proxy,
            _services: services,
            postgres,
            redis,
            whole,
            no_lock,
            no_redis,
            front,
            users,
            sessions,
            profile,
            ports,
            folder,
        })
    }

    /// A folder for files of a run.
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The file with tokens for the load.
    pub(super) fn tokens(&self) -> PathBuf {
        self.path().join("tokens")
    }

    /// The URL of the database.
    pub(super) fn database_url(&self) -> String {
        self.postgres.url(DATABASE)
    }

    /// Runs SQL.
    pub(super) async fn sql(&self, sql: &str) -> Result<String> {
        Ok(self.postgres.sql(DATABASE, sql).await?.trim().to_owned())
    }

    /// A worker on this database, as it is shipped, on the core of the services.
    pub(super) async fn worker(&self) -> Result<Child> {
        let admin = self.ports.last().context("no port is left for the worker")?.addr();
        let config = self.path().join("worker.toml");
        let text = format!("[database]\nurl = {:?}\n[events]\nadmin_listen = \"{admin}\"\n", self.database_url());
        fs::write(&config, text).with_context(|| format!("writing {}", config.display()))?;
        let program = pinned(LOAD_CORE, &self.profile.executable("reservation-svc"))?.env("RESERVATION_LOG", "warn");
        Ok(program.args(["worker", "--config"]).arg(&config).start()?)
    }

    /// Frees all seats and forgets what happened, so that each run begins with the same.
    pub(super) async fn clear(&self) -> Result<()> {
        ensure!(self.proxy.exit_status().is_none(), "the proxy ended:\n{}", self.proxy.log());
        self.sql(
            "TRUNCATE idempotency_keys, outbox, seat_holds CASCADE;
             UPDATE concert_seats SET status = 'AVAILABLE', hold_id = NULL, held_until = NULL, version = version + 1
             WHERE status = 'TEMPORARILY_RESERVED'",
        )
        .await?;
        self.sql("VACUUM ANALYZE concert_seats").await?;
        let output = Program::installed("redis-cli", "redis-tools")?
            .args(["-u", &self.redis.url(), "FLUSHALL"])
            .output(DONE_WITHIN)
            .await?;
        ensure!(output.status.success(), "redis-cli FLUSHALL: {}", output.stderr);
        Ok(())
    }

    /// Transactions of the database so far. Servers tell of theirs late, and when they end: so all others are ended.
    pub(super) async fn transactions(&self) -> Result<i64> {
        self.sql(
            "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await?;
        let count = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()";
        self.sql(count).await?.parse().context("counting transactions")
    }
}

/// What all servers are started with.
struct Start<'a> {
    profile: Profile,
    folder: &'a Path,
    front: SocketAddr,
    database: String,
    redis: String,
}

impl Start<'_> {
    fn service(&self, variant: Variant, _listen: SocketAddr, _admin: SocketAddr) -> Result<Program> {
        Ok(pinned(LOAD_CORE, &self.profile.executable("reservation-svc"))?
            .env("RESERVATION_DATABASE_URL", &self.database)
            .env("RESERVATION_REDIS_URL", if variant.redis { &self.redis } else { "" })
            .env("RESERVATION_LOG", "warn"))
    }

    /// Adds `--config` with the file of this variant.
    fn with_config(
        &self,
        program: Program,
        variant: Variant,
        listen: SocketAddr,
        admin: SocketAddr,
    ) -> Result<Program> {
        let config = self.folder.join(format!("reservation-{}.toml", listen.port()));
        let text = format!(
            "[server]\nlisten = \"{listen}\"\nadmin_listen = \"{admin}\"\n[queue_token]\naudiences = [\"concert\"]\n\
             jwks_url = \"http://{}/.well-known/jwks.json\"\n[users]\nhs256_secret_file = {:?}\n[limits]\nuser_requests_per_s = 0\n[holds]\nttl_s = {}\n\
             max_per_user = 10000\nlock_seats_in_redis = {}\n",
            self.front,
            self.folder.join("users.key"),
            variant.ttl_s,
            variant.lock
        );
        fs::write(&config, text).with_context(|| format!("writing {}", config.display()))?;
        Ok(program.arg("--config").arg(config))
    }

    async fn to_its_end(
        &self,
        variant: Variant,
        listen: SocketAddr,
        admin: SocketAddr,
        command: &str,
    ) -> Result<String> {
        let program = self.service(variant, listen, admin)?.args(command.split(' '));
        let output = self.with_config(program, variant, listen, admin)?.output(DONE_WITHIN).await?;
        ensure!(output.status.success(), "`reservation-svc {command}`: {}{}", output.stdout, output.stderr);
        Ok(output.stdout.trim().to_owned())
    }

    async fn users(&self, variant: Variant, listen: SocketAddr, admin: SocketAddr) -> Result<Vec<String>> {
        let mut users = Vec::with_capacity(USERS);
        for user in 1..=USERS {
            users.push(self.to_its_end(variant, listen, admin, &format!("user-token --user {user}")).await?);
        }
        Ok(users)
    }

    async fn proxy(&self, upstream: SocketAddr, admin: SocketAddr) -> Result<Child> {
        let text = format!(
            "[server]\nlisten = [\"{}\"]\nadmin_listen = \"{admin}\"\n[store]\nurl = \"memory://\"\n[[rooms]]\n\
             name = \"concert\"\npaths = [\"/\"]\nupstreams = [\"{upstream}\"]\nrate_per_s = 1000.0\nmax_active = 0\n\
             abandon_after_s = 3600\nsession_ttl_s = 3600\nsession_max_s = 7200\n",
            self.front
        );
        let config = self.folder.join("waitroom.toml");
        fs::write(&config, text).with_context(|| format!("writing {}", config.display()))?;
        let program = pinned(LOAD_CORE, &self.profile.executable("waitroom-proxy"))?;
        let child = program.args(["run", "--config"]).arg(&config).start()?;
        ready(&child, admin).await?;
        Ok(child)
    }
}

async fn ready(child: &Child, admin: SocketAddr) -> Result<()> {
    let ready = async || http::text(admin, "/readyz").await.is_ok();
    Ok(child.wait_until("readiness", READY_WITHIN, ready).await?)
}

/// Takes a turn as an API client does, and returns the queue token.
async fn enter(front: SocketAddr) -> Result<String> {
    let path = "/queue/status?room=concert";
    let first = http::get(front, path, &[]).await?;
    let ticket = ticket(&first).context("no ticket")?;
    let token = testbed::wait::until_some("a turn", READY_WITHIN, async || {
        let answer = http::get(front, path, &[("x-queue-ticket", &ticket)]).await.ok()?;
        answer.head.headers.get("x-queue-token")?.to_str().ok().map(str::to_owned)
    });
    Ok(token.await?)
}

/// In the header, or in the cookie that a browser would send back.
fn ticket(answer: &http::Answer) -> Option<String> {
    let headers = &answer.head.headers;
    if let Some(ticket) = headers.get("x-queue-ticket") {
        return ticket.to_str().ok().map(str::to_owned);
    }
    let cookies = headers.get_all("set-cookie").iter().filter_map(|cookie| cookie.to_str().ok());
    let mut pairs = cookies.filter_map(|cookie| cookie.split(';').next()?.split_once('='));
    pairs.find(|(name, _)| name.contains("wr_ticket_")).map(|(_, value)| value.to_owned())
}

/// A program that came with Postgres.
pub(super) fn postgres_program(name: &str) -> Result<PathBuf> {
    let mut folders: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .map(|versions| versions.flatten().map(|version| version.path().join("bin")).collect())
        .unwrap_or_default();
    folders.sort();
    let found = folders.into_iter().rev().map(|folder| folder.join(name)).find(|path| path.is_file());
    found.or_else(|| crate::prepare::find(name)).with_context(|| format!("{name} is not installed"))
}

/// Lets a running program and all its children run on one core only.
fn pin(pid: Option<u32>, core: usize) -> Result<()> {
    let pid = pid.context("it does not run")?;
    let mut family = vec![pid];
    for entry in fs::read_dir("/proc").context("reading /proc")?.flatten() {
        let Some(child) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse::<u32>().ok());
        if parent == Some(pid) {
            family.push(child);
        }
    }
    for pid in family {
        let mut command = Command::new("taskset");
        command.args(["-a", "-p", "-c", &core.to_string(), &pid.to_string()]).stdout(std::process::Stdio::null());
        ensure!(command.status().context("starting taskset")?.success(), "pinning {pid} to core {core}");
    }
    Ok(())
}
