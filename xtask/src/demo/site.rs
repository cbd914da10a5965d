//! All that one demo runs: Redis, Postgres, the service, its worker and the proxy; all private, all gone when it is
//! dropped.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rand::RngExt;
use testbed::ports::Reserved;
use testbed::postgres::PrivatePostgres;
use testbed::process::{Child, Program};
use testbed::redis::PrivateRedis;

use super::Options;
use super::files::{Addresses, Files};
use crate::{cargo, http, say};

/// A start takes a second; a machine that is busy otherwise needs more.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Migrations and seed take a second or two.
const DONE_WITHIN: Duration = Duration::from_secs(120);

/// Requests in flight may finish before a service ends.
const STOPPED_WITHIN: Duration = Duration::from_secs(15);

/// The database of the service.
const DATABASE: &str = "reservation";

/// Letters and digits of the password of Redis: 142 bits.
const PASSWORD_LENGTH: usize = 24;

/// A running demo. Fields are dropped in this order: those who ask before those who answer.
#[derive(Debug)]
pub(crate) struct Site {
    proxy: Child,
    service: Child,
    worker: Child,
    postgres: PrivatePostgres,
    _redis: PrivateRedis,
    addresses: Addresses,
    files: Files,
    /// Kept so that nobody else is given these ports.
    _ports: [Reserved; 4],
}

impl Site {
    /// Starts everything and returns when visitors can come.
    pub(crate) async fn start(port: u16, options: &Options) -> Result<Self> {
        say::step("starting a private Redis and Postgres");
        let password: String =
            rand::rng().sample_iter(rand::distr::Alphanumeric).take(PASSWORD_LENGTH).map(char::from).collect();
        let redis = PrivateRedis::options().password(password).start().await?;
        let postgres = PrivatePostgres::start().await?;
        postgres.sql("postgres", &format!("CREATE DATABASE {DATABASE}")).await?;

        let ports = [Reserved::new()?, Reserved::new()?, Reserved::new()?, Reserved::new()?];
        let addresses = Addresses {
            visitors: SocketAddr::from(([127, 0, 0, 1], port)),
            admin: ports[0].addr(),
            service: ports[1].addr(),
            service_admin: ports[2].addr(),
            worker_admin: ports[3].addr(),
        };
        let files = Files::write(&addresses, options.rate, options.crowd)?;

        say::step("migrating and seeding");
        let reservation = |command: &str| {
            program("reservation-svc")
                .args([command, "--config"])
                .arg(files.service_config())
                .env("RESERVATION_DATABASE_URL", postgres.url(DATABASE))
                .env("RESERVATION_REDIS_URL", redis.url())
                // The line and the seats share one Redis here; elsewhere they need not.
                .env("RESERVATION_EVENTS_QUEUE_REDIS_URL", redis.url())
        };
        to_its_end(reservation("migrate")).await.context("`reservation-svc migrate`")?;
        to_its_end(reservation("seed")).await.context("`reservation-svc seed`")?;
        for folder in [files.secrets(), files.ticket_secrets()] {
            to_its_end(program("waitroom-proxy").arg("keygen").arg(folder)).await.context("making keys")?;
        }

        say::step("starting the service, its worker and the proxy");
        let service = reservation("serve").start()?;
        let worker = reservation("worker").named("reservation-svc worker").start()?;
        let proxy = program("waitroom-proxy")
            .args(["run", "--config"])
            .arg(files.proxy_config())
            .env("WAITROOM_STORE_URL", redis.url())
            .start()?;
        ready(&proxy, addresses.admin).await?;
        ready(&service, addresses.service_admin).await?;
        ready(&worker, addresses.worker_admin).await?;
        Ok(Self { proxy, service, worker, postgres, _redis: redis, addresses, files, _ports: ports })
    }

    /// The addresses.
    pub(crate) fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The proxy's admin listener.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.addresses.admin
    }

    /// The files.
    pub(crate) fn files(&self) -> &Files {
        &self.files
    }

    /// Runs SQL in the database of the service.
    pub(crate) async fn sql(&self, sql: &str) -> Result<String> {
        Ok(self.postgres.sql(DATABASE, sql).await?)
    }

    /// An error when something that has to run does not.
    pub(crate) fn check(&self) -> Result<()> {
        for child in [&self.proxy, &self.service, &self.worker] {
            let status = child.exit_status();
            ensure!(
                status.is_none(),
                "{} ended ({}); its last lines:\n{}",
                child.name(),
                status.unwrap_or_default(),
                last_lines(&child.log())
            );
        }
        Ok(())
    }

    /// What to open and what to try.
    pub(crate) fn welcome(&self, options: &Options) -> String {
        let Addresses { visitors, admin, service_admin, worker_admin, .. } = &self.addresses;
        let config = self.files.proxy_config();
        let crowd = if options.no_crowd { "nobody is sent".to_owned() } else { format!("{} come", options.crowd) };
        format!(
            "\n  join the queue   http://{visitors}/\n  \
             API              http://{visitors}/docs\n  \
             rooms            http://{admin}/admin/rooms\n  \
             metrics          http://{admin}/metrics   http://{service_admin}/metrics   http://{worker_admin}/metrics\n  \
             config           {}\n                   \
             edit rate_per_s and save: the admissions below follow\n  \
             Ctrl-C stops everything. {crowd}; {} a second are let in.\n",
            config.display(),
            options.rate,
        )
    }

    /// Stops everything in order: the edge first, who tells of what happened last.
    pub(crate) async fn stop(self) {
        for child in [&self.proxy, &self.service, &self.worker] {
            if child.terminate(STOPPED_WITHIN).await.is_err() {
                say::problem(&format!("{} did not end within {STOPPED_WITHIN:?} and is killed", child.name()));
            }
        }
    }
}

/// An executable of this workspace, without what the caller's environment says about other installations.
pub(super) fn program(name: &str) -> Program {
    let ours = |key: &std::ffi::OsString| {
        let key = key.to_string_lossy();
        key.starts_with("WAITROOM_") || key.starts_with("RESERVATION_")
    };
    let foreign = std::env::vars_os().map(|(key, _)| key).filter(ours);
    foreign.fold(Program::new(cargo::executable("release", name)), Program::without_env)
}

async fn to_its_end(program: Program) -> Result<()> {
    let output = program.output(DONE_WITHIN).await?;
    ensure!(output.status.success(), "{}\n{}\n{}", output.status, output.stdout, output.stderr);
    Ok(())
}

async fn ready(child: &Child, admin: SocketAddr) -> Result<()> {
    let what = format!("{} to be ready (http://{admin}/readyz)", child.name());
    child.wait_until(&what, READY_WITHIN, async || http::text(admin, "/readyz").await.is_ok()).await?;
    Ok(())
}

fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
