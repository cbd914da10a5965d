//! A private Redis on a free port; it never talks to one that was there before.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;

use crate::binaries;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::ports::Reserved;
use crate::process::{Child, Program, Signal};
use crate::scratch::Scratch;

/// A start takes 30 ms; a machine that compiles at the same time needs more.
const START_WITHIN: Duration = Duration::from_secs(30);

/// A private Redis; dropped, it is killed and its folder removed.
#[derive(Debug)]
pub struct PrivateRedis {
    options: Options,
    port: Reserved,
    /// `None` after a kill. A std lock: it is never held across an await, which is what the `Arc` is for.
    child: Mutex<Option<Arc<Child>>>,
    clock: Option<Clock>,
    /// Last, so that it is removed after the server is gone.
    folder: Scratch,
}

/// How a private Redis is to run. The default keeps nothing on disk and wants no password.
#[derive(Clone, Debug, Default)]
pub struct Options {
    password: Option<String>,
    durable: bool,
    clock: bool,
    directives: Vec<(String, String)>,
}

impl Options {
    /// Goes by a clock of its own, which [`PrivateRedis::step_clock`] makes step.
    #[must_use]
    pub fn own_clock(mut self) -> Self {
        self.clock = true;
        self
    }

    /// Wants this password (letters and digits) of the default user.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Writes every command to disk before it answers, so that nothing is lost over [`PrivateRedis::restart`].
    #[must_use]
    pub fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// One more line of `redis.conf`, such as `("maxmemory", "2mb")`.
    #[must_use]
    pub fn directive(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.directives.push((name.into(), value.into()));
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// [`Error::Missing`] without `redis-server`, [`Error::Ended`] with its log when it does not come up.
    pub async fn start(self) -> Result<PrivateRedis> {
        let port = Reserved::new().map_err(Error::io("reserving a port"))?;
        let clock = if self.clock { Some(Clock::new()?) } else { None };
        let redis =
            PrivateRedis { options: self, port, child: Mutex::new(None), clock, folder: Scratch::new("redis")? };
        redis.restart().await?;
        Ok(redis)
    }

    fn file(&self, port: u16, folder: &Scratch) -> String {
        let mut lines = format!(
            "bind 127.0.0.1\nport {port}\ndir {}\nsave \"\"\ndaemonize no\nappendonly {}\nappendfsync always\n\
             repl-diskless-sync-delay 0\n",
            folder.path().display(),
            if self.durable { "yes" } else { "no" },
        );
        if let Some(password) = &self.password {
            lines += &format!("requirepass {password}\n");
        }
        for (name, value) in &self.directives {
            lines += &format!("{name} {value}\n");
        }
        lines
    }
}

impl PrivateRedis {
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

    /// Its address; the same one after a restart.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port.addr().port()).into()
    }

    /// Its URL, with the password when it has one.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_via(self.addr())
    }

    /// Its URL as seen through a wire at `addr`.
    #[must_use]
    pub fn url_via(&self, addr: SocketAddr) -> String {
        match &self.options.password {
            Some(password) => format!("redis://:{password}@{addr}/"),
            None => format!("redis://{addr}/"),
        }
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

    /// Kills it (SIGKILL) and returns when it is gone; connections to it are refused from then on.
    ///
    /// # Errors
    /// None today; the caller need not know.
    pub async fn kill(&self) -> Result<()> {
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner).take();
        match child {
            Some(child) => child.kill().await.map(drop),
            None => Ok(()),
        }
    }

    /// Kills it if it runs, starts it again on the same port, and returns when it answers.
    ///
    /// It comes back empty, unless it is [`Options::durable`].
    ///
    /// # Errors
    /// As [`Options::start`].
    pub async fn restart(&self) -> Result<()> {
        self.kill().await?;
        let file = self.folder.path().join("redis.conf");
        let text = self.options.file(self.addr().port(), &self.folder);
        fs::write(&file, text).map_err(Error::io("writing redis.conf"))?;
        let server = binaries::find("redis-server", "redis-server")?;
        let environment = self.clock.iter().flat_map(Clock::environment);
        let program = environment.fold(Program::new(server), |program, (key, value)| program.env(key, value));
        let child = program.arg(&file).start()?;
        child.wait_until("redis to answer", START_WITHIN, async || self.answers().await.unwrap_or(false)).await?;
        *self.child.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(child));
        Ok(())
    }

    /// Makes it stand still (SIGSTOP) and returns when it does: connections stay, and nothing is answered.
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

    /// Its clock is off by so many seconds from now on; nothing happens to one that has no clock of its own.
    ///
    /// # Errors
    /// As [`Clock::step_to`].
    pub fn step_clock(&self, off_s: i64) -> Result<()> {
        self.clock.as_ref().map_or(Ok(()), |clock| clock.step_to(off_s))
    }

    fn running(&self) -> Option<Arc<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it takes commands: not so while it still reads its data from disk.
    async fn answers(&self) -> std::io::Result<bool> {
        let mut connection = TcpStream::connect(self.addr()).await?;
        if let Some(password) = &self.options.password {
            connection.write_all(format!("AUTH {password}\r\n").as_bytes()).await?;
        }
        connection.write_all(b"PING\r\nQUIT\r\n").await?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await?;
        Ok(answer.contains("+PONG"))
    }
}

/// The one Redis that all tests of this process may share; it ends with the process.
///
/// # Panics
/// When it cannot be started: no test can go on then.
pub async fn shared() -> &'static PrivateRedis {
    static SHARED: OnceCell<PrivateRedis> = OnceCell::const_new();
    match SHARED.get_or_try_init(PrivateRedis::start).await {
        Ok(redis) => redis,
        Err(error) => panic!("the shared redis did not start: {error}"),
    }
}
