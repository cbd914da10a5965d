//! The files of a private Postgres and how its server is started; no connection is made here.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use rand::RngExt;
use rand::distr::Alphanumeric;

use crate::account::{self, Account};
use crate::binaries;
use crate::error::{Error, Result};
use crate::process::{Program, Signal};
use crate::scratch::Scratch;

/// `initdb` takes 0.7 s; a machine that compiles at the same time needs more.
const INITDB_WITHIN: Duration = Duration::from_secs(120);

/// Letters and digits need no quoting in a URL; 24 of them are 142 bits.
const PASSWORD_LENGTH: usize = 24;

/// Settings of a server whose data need not survive a power cut, and must survive a crash of the server:
/// so `synchronous_commit` stays on. The connections are for many tests at once, each with a pool of its own.
const SETTINGS: [&str; 8] = [
    "fsync=off",
    "full_page_writes=off",
    "listen_addresses=127.0.0.1",
    "max_connections=400",
    "shared_buffers=64MB",
    "max_wal_size=256MB",
    "log_min_messages=warning",
    "timezone=UTC",
];

/// A copy of some tens of megabytes on one disk.
const COPIED_WITHIN: Duration = Duration::from_secs(120);

/// A data folder with a superuser and his password.
#[derive(Debug)]
pub(super) struct Cluster {
    folder: Scratch,
    password: String,
    /// The account to run under when this process is root.
    account: Option<Account>,
}

impl Cluster {
    /// Makes a fresh one.
    pub(super) async fn create(user: &str) -> Result<Self> {
        let cluster = Self {
            folder: Scratch::new("postgres")?,
            password: rand::rng().sample_iter(Alphanumeric).take(PASSWORD_LENGTH).map(char::from).collect(),
            account: account::for_postgres()?,
        };
        if let Some(account) = cluster.account {
            account::give(cluster.folder.path(), account)?;
        }
        let password_file = cluster.write_password()?;
        let output = Program::new(binaries::find_postgres("initdb")?)
            // Not SCRAM: its thousands of rounds cost an unoptimised client tens of milliseconds a connection,
            // and this password never leaves the loopback address.
            .args(["--no-sync", "--encoding=UTF8", "--locale=C.UTF-8", "--auth=password", "-U", user])
            .arg("--pwfile")
            .arg(&password_file)
            .arg("-D")
            .arg(cluster.data())
            .folder(cluster.folder.path())
            .account(cluster.account)
            .output(INITDB_WITHIN)
            .await?;
        if !output.status.success() {
            let log = format!("{}\n{}", output.stdout, output.stderr);
            return Err(Error::Ended { name: "initdb".to_owned(), status: output.status.to_string(), log });
        }
        Ok(cluster)
    }

    /// Makes a copy of a running one, on `port` of this machine, that follows it as its streaming replica.
    pub(super) async fn replica(primary: &Self, user: &str, port: u16) -> Result<Self> {
        let cluster =
            Self { folder: Scratch::new("replica")?, password: primary.password.clone(), account: primary.account };
        if let Some(account) = cluster.account {
            account::give(cluster.folder.path(), account)?;
        }
        let output = Program::new(binaries::find_postgres("pg_basebackup")?)
            .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-U", user])
            .args(["--no-sync", "--checkpoint=fast", "--wal-method=stream", "--write-recovery-conf", "-D"])
            .arg(cluster.data())
            .env("PGPASSWORD", &cluster.password)
            .folder(cluster.folder.path())
            .account(cluster.account)
            .output(COPIED_WITHIN)
            .await?;
        if !output.status.success() {
            let log = format!("{}\n{}", output.stdout, output.stderr);
            return Err(Error::Ended { name: "pg_basebackup".to_owned(), status: output.status.to_string(), log });
        }
        Ok(cluster)
    }

    /// The superuser's password.
    pub(super) fn password(&self) -> &str {
        &self.password
    }

    /// The server on this data, on `port`.
    pub(super) fn server(&self, port: u16) -> Result<Program> {
        let mut server = Program::new(binaries::find_postgres("postgres")?)
            .folder(self.folder.path())
            .account(self.account)
            // SIGKILL would leave its shared memory behind.
            .last_signal(Signal::Quit)
            .arg("-D")
            .arg(self.data())
            .arg("-p")
            .arg(port.to_string())
            .arg("-k")
            .arg(self.folder.path());
        for setting in SETTINGS {
            server = server.args(["-c", setting]);
        }
        Ok(server)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn write_password(&self) -> Result<PathBuf> {
        let path = self.folder.path().join("password");
        let failed = || Error::io("writing the password of the private postgres");
        // Made empty and closed to others before the secret is put into it.
        fs::write(&path, "").map_err(failed())?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(failed())?;
        fs::write(&path, &self.password).map_err(failed())?;
        if let Some(account) = self.account {
            account::give(&path, account)?;
        }
        Ok(path)
    }
}
