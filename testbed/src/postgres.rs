//! A private Postgres on a free port; it never talks to one that was there before.

mod cluster;
mod databases;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;

pub use databases::TestDatabase;

use crate::binaries;
use crate::error::{Error, Result};
use crate::ports::Reserved;
use crate::postgres::cluster::Cluster;
use crate::process::{Child, Output, Program, Signal};

/// The superuser of the private server.
const USER: &str = "waitroom";

/// A start takes 100 ms, after a crash a little more; a machine that compiles at the same time needs longer.
const START_WITHIN: Duration = Duration::from_secs(60);

/// No statement that the testbed itself sends takes longer, a template of some megabytes included.
const STATEMENT_WITHIN: Duration = Duration::from_secs(60);

/// A private Postgres; dropped, it is stopped and its folder removed.
///
/// It listens on the loopback address with a random password. `fsync` is off:
/// it survives [`PrivatePostgres::restart`], and no power cut.
#[derive(Debug)]
pub struct PrivatePostgres {
    port: Reserved,
    /// `None` after a kill. A std lock: it is never held across an await, which is what the `Arc` is for.
    child: Mutex<Option<Arc<Child>>>,
    /// Names of the templates that are ready. An async lock: held while one is made, so that each is made once.
    templates: tokio::sync::Mutex<std::collections::HashSet<String>>,
    /// Last, so that its folder is removed after the server is gone.
    cluster: Cluster,
}

impl PrivatePostgres {
    /// Makes a fresh cluster and starts a server on it.
    ///
    /// # Errors
    /// [`Error::Missing`] without Postgres, [`Error::Ended`] with its log when it does not come up.
    pub async fn start() -> Result<Self> {
        let postgres = Self {
            port: Reserved::new().map_err(Error::io("reserving a port"))?,
            child: Mutex::new(None),
            templates: tokio::sync::Mutex::default(),
            cluster: Cluster::create(USER).await?,
        };
        postgres.restart().await?;
        Ok(postgres)
    }

    /// Copies it and starts the copy as its streaming replica, of all databases, on a port of its own.
    ///
    /// # Errors
    /// As [`PrivatePostgres::start`]; and when it does not run itself.
    pub async fn replica(&self) -> Result<Self> {
        let replica = Self {
            port: Reserved::new().map_err(Error::io("reserving a port"))?,
            child: Mutex::new(None),
            templates: tokio::sync::Mutex::default(),
            cluster: Cluster::replica(&self.cluster, USER, self.addr().port()).await?,
        };
        replica.restart().await?;
        Ok(replica)
    }

    /// Its address; the same one after a restart.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port.addr().port()).into()
    }

    /// The URL of a database, with user and password.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        self.url_via(self.addr(), database)
    }

    /// The URL of a database as seen through a wire at `addr`.
    #[must_use]
    pub fn url_via(&self, addr: SocketAddr, database: &str) -> String {
        format!("postgres://{USER}:{}@{addr}/{database}", self.cluster.password())
    }

    /// What it has logged since its last start.
    #[must_use]
    pub fn log(&self) -> String {
        self.running().map(|child| child.log()).unwrap_or_default()
    }

    /// Its process id, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.running().map(|child| child.pid())
    }

    /// Stops it as a crash would (an *immediate* shutdown) and returns when it is gone.
    ///
    /// Not SIGKILL: that leaves shared memory behind for good.
    ///
    /// # Errors
    /// [`Error::TimedOut`] when it does not end.
    pub async fn kill(&self) -> Result<()> {
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(child) = child else { return Ok(()) };
        child.signal(Signal::Continue)?;
        child.signal(Signal::Quit)?;
        child.wait(START_WITHIN).await.map(drop)
    }

    /// Stops it if it runs, starts it again on the same port, and returns when it answers; nothing committed is lost.
    ///
    /// # Errors
    /// As [`PrivatePostgres::start`].
    pub async fn restart(&self) -> Result<()> {
        self.kill().await?;
        let child = self.cluster.server(self.addr().port())?.start()?;
        let ready = async || self.psql("postgres", "SELECT 1").await.is_ok_and(|answer| answer.status.success());
        child.wait_for_port(self.addr(), START_WITHIN).await?;
        child.wait_until("postgres to answer", START_WITHIN, ready).await?;
        *self.child.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(child));
        Ok(())
    }

    /// Makes its postmaster stand still (SIGSTOP) and returns when it does: new connections hang, old ones go on.
    ///
    /// # Errors
    /// [`Error::TimedOut`] when it does not stop.
    pub async fn pause_process(&self) -> Result<()> {
        match self.running() {
            Some(child) => child.pause().await,
            None => Ok(()),
        }
    }

    /// Lets it go on (SIGCONT).
    ///
    /// # Errors
    /// What the system says when the signal cannot be sent.
    pub async fn resume_process(&self) -> Result<()> {
        self.running().map_or(Ok(()), |child| child.signal(Signal::Continue))
    }

    /// Runs SQL in a database and returns its rows: one a line, columns parted by `|`.
    ///
    /// # Errors
    /// [`Error::Sql`] with what the server answered.
    pub async fn sql(&self, database: &str, sql: &str) -> Result<String> {
        let output = self.psql(database, sql).await?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(Error::Sql { sql: sql.to_owned(), answer: output.stderr })
    }

    async fn psql(&self, database: &str, sql: &str) -> Result<Output> {
        Program::new(binaries::find_postgres("psql")?)
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", USER])
            .args(["-p", &self.addr().port().to_string(), "-d", database, "-c", sql])
            .env("PGPASSWORD", self.cluster.password())
            .without_env("PGOPTIONS")
            .without_env("PGSERVICE")
            .output(STATEMENT_WITHIN)
            .await
    }

    fn running(&self) -> Option<Arc<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The one Postgres that all tests of this process may share; it ends with the process.
///
/// # Panics
/// When it cannot be started: no test can go on then.
pub async fn shared() -> &'static PrivatePostgres {
    static SHARED: OnceCell<PrivatePostgres> = OnceCell::const_new();
    match SHARED.get_or_try_init(PrivatePostgres::start).await {
        Ok(postgres) => postgres,
        Err(error) => panic!("the shared postgres did not start: {error}"),
    }
}
