//! A private Redis primary with replicas, watched by three private Sentinels; all on free ports.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::binaries;
use crate::error::{Error, Result};
use crate::inline::{ask, order, value};
use crate::ports::Reserved;
use crate::process::{Child, Program};
use crate::redis::PrivateRedis;
use crate::scratch::Scratch;
use crate::wait;

/// A start takes two seconds; a machine that compiles at the same time needs more.
const START_WITHIN: Duration = Duration::from_secs(60);

/// How many Sentinels: the least that still agree when one is gone.
const SENTINELS: usize = 3;

/// How many of them must agree that the primary is gone.
const QUORUM: usize = 2;

/// What the primary is called.
const NAME: &str = "main";

/// A primary, its replicas and their Sentinels; dropped, all are killed.
#[derive(Debug)]
pub struct PrivateSentinel {
    options: Options,
    servers: Vec<PrivateRedis>,
    sentinels: Vec<Watcher>,
}

/// How they are to run.
#[derive(Clone, Debug)]
pub struct Options {
    replicas: usize,
    down_after: Duration,
    password: Option<String>,
    sentinel_password: Option<String>,
    directives: Vec<(String, String)>,
}

/// One Sentinel.
#[derive(Debug)]
struct Watcher {
    child: Child,
    port: Reserved,
    /// Last, so that it is removed after the process is gone: a Sentinel keeps its state there.
    _folder: Scratch,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            replicas: 2,
            down_after: Duration::from_secs(1),
            password: None,
            sentinel_password: None,
            directives: Vec::new(),
        }
    }
}

impl Options {
    /// How many replicas follow the primary; two by default.
    #[must_use]
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    /// How long the primary must be silent before the Sentinels count it as gone; one second by default.
    #[must_use]
    pub fn down_after(mut self, down_after: Duration) -> Self {
        self.down_after = down_after;
        self
    }

    /// The servers want this password (letters and digits) of the default user.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// The Sentinels themselves want this password (letters and digits).
    #[must_use]
    pub fn sentinel_password(mut self, password: impl Into<String>) -> Self {
        self.sentinel_password = Some(password.into());
        self
    }

    /// One more line of every server's `redis.conf`.
    #[must_use]
    pub fn directive(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.directives.push((name.into(), value.into()));
        self
    }

    /// Starts all of them, and returns when every Sentinel knows every server and every other Sentinel.
    ///
    /// # Errors
    /// As [`crate::redis::Options::start`], and [`Error::TimedOut`] when they do not find each other.
    pub async fn start(self) -> Result<PrivateSentinel> {
        let primary = self.server(None).await?;
        let of = primary.addr();
        let mut servers = vec![primary];
        for _ in 0..self.replicas {
            servers.push(self.server(Some(of)).await?);
        }
        let mut running = PrivateSentinel { options: self, servers, sentinels: Vec::new() };
        // Sentinels learn of replicas from the primary, at first and then every ten seconds: it must know them all.
        running.until_replicas_follow(of).await?;
        for _ in 0..SENTINELS {
            running.sentinels.push(running.options.sentinel(of)?);
        }
        running.until_sentinels_agree().await?;
        Ok(running)
    }

    async fn server(&self, replica_of: Option<SocketAddr>) -> Result<PrivateRedis> {
        let mut options = PrivateRedis::options().directive("repl-timeout", "10");
        if let Some(password) = &self.password {
            options = options.password(password).directive("masterauth", password);
        }
        if let Some(primary) = replica_of {
            options = options.directive("replicaof", format!("{} {}", primary.ip(), primary.port()));
        }
        for (name, value) in &self.directives {
            options = options.directive(name, value);
        }
        options.start().await
    }

    fn sentinel(&self, primary: SocketAddr) -> Result<Watcher> {
        let (port, folder) = (Reserved::new().map_err(Error::io("reserving a port"))?, Scratch::new("sentinel")?);
        let mut text = format!(
            "bind 127.0.0.1\nport {}\ndir {}\ndaemonize no\nsentinel monitor {NAME} {} {} {QUORUM}\n\
             sentinel down-after-milliseconds {NAME} {}\nsentinel failover-timeout {NAME} 6000\n",
            port.addr().port(),
            folder.path().display(),
            primary.ip(),
            primary.port(),
            self.down_after.as_millis(),
        );
        if let Some(password) = &self.password {
            text += &format!("sentinel auth-pass {NAME} {password}\n");
        }
        if let Some(password) = &self.sentinel_password {
            text += &format!("requirepass {password}\nsentinel sentinel-pass {password}\n");
        }
        let file = folder.path().join("sentinel.conf");
        fs::write(&file, text).map_err(Error::io("writing sentinel.conf"))?;
        let server = binaries::find("redis-server", "redis-server")?;
        let child = Program::new(server).named("sentinel").arg(&file).arg("--sentinel").start()?;
        Ok(Watcher { child, port, _folder: folder })
    }
}

impl PrivateSentinel {
    /// Starts one with the default options.
    ///
    /// # Errors
    /// As [`Options::start`].
    pub async fn start() -> Result<Self> {
        Self::options().start().await
    }

    /// Options to change before the start.
    #[must_use]
    pub fn options() -> Options {
        Options::default()
    }

    /// `host:port,host:port,host:port`: where the Sentinels are.
    #[must_use]
    pub fn addresses(&self) -> String {
        let all: Vec<String> = self.sentinels.iter().map(|sentinel| sentinel.addr().to_string()).collect();
        all.join(",")
    }

    /// What the primary is called.
    #[must_use]
    pub fn name(&self) -> &'static str {
        NAME
    }

    /// `redis+sentinel://…/NAME`, with the servers' password when they have one.
    #[must_use]
    pub fn url(&self) -> String {
        let user = self.options.password.as_ref().map(|password| format!(":{password}@")).unwrap_or_default();
        format!("redis+sentinel://{user}{}/{NAME}", self.addresses())
    }

    /// All servers; the first one was the primary at the start.
    #[must_use]
    pub fn servers(&self) -> &[PrivateRedis] {
        &self.servers
    }

    /// The server that the Sentinels name as the primary now.
    ///
    /// # Errors
    /// [`Error::TimedOut`] when no Sentinel answers.
    pub async fn primary(&self) -> Result<&PrivateRedis> {
        wait::until_some("a Sentinel to name the primary", START_WITHIN, async || {
            for sentinel in &self.sentinels {
                let Some(answer) = self.look(sentinel).await else { continue };
                let port = value(&answer, "port")?;
                return self.servers.iter().find(|server| server.addr().port().to_string() == port);
            }
            None
        })
        .await
    }

    /// Kills one Sentinel.
    ///
    /// # Errors
    /// None today; the caller need not know.
    pub async fn kill_sentinel(&self, number: usize) -> Result<()> {
        match self.sentinels.get(number) {
            Some(sentinel) => sentinel.child.kill().await.map(drop),
            None => Ok(()),
        }
    }

    /// What a Sentinel says of the primary.
    async fn look(&self, sentinel: &Watcher) -> Option<String> {
        let command = format!("SENTINEL MASTER {NAME}");
        ask(sentinel.addr(), self.options.sentinel_password.as_deref(), &[&command]).await.ok()
    }

    async fn until_replicas_follow(&self, primary: SocketAddr) -> Result<()> {
        let online = self.options.replicas;
        wait::until("the replicas to follow", START_WITHIN, async || {
            let info = order(primary, self.options.password.as_deref(), "INFO replication").await.unwrap_or_default();
            info.matches("state=online").count() == online
        })
        .await
    }

    async fn until_sentinels_agree(&self) -> Result<()> {
        let (replicas, others) = (self.options.replicas.to_string(), (SENTINELS - 1).to_string());
        for sentinel in &self.sentinels {
            let wait = sentinel.child.wait_until("the Sentinels to know each other", START_WITHIN, async || {
                self.look(sentinel).await.is_some_and(|answer| {
                    value(&answer, "num-slaves") == Some(&replicas)
                        && value(&answer, "num-other-sentinels") == Some(&others)
                        && value(&answer, "flags") == Some("master")
                })
            });
            wait.await?;
        }
        Ok(())
    }
}

impl Watcher {
    fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port.addr().port()).into()
    }
}
