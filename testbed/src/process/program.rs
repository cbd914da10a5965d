//! How a child is to be started; starting it is all that is done here.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use super::log::{Log, Stream};
use super::{Child, Signal};
use crate::account::Account;
use crate::error::{Error, Result};
use crate::{binaries, spawner, wait};

/// Runs before the program: had the parent died before the kernel was told what to
/// do then, the shell would have another parent by now, and the program must not start.
const ORPHANS_END: &str = r#"test "$PPID" = "$0" || exit 1; exec "$@""#;

/// A program with its arguments, ready to be started.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    name: String,
    args: Vec<OsString>,
    env: Vec<(OsString, Option<OsString>)>,
    folder: Option<PathBuf>,
    account: Option<Account>,
    last_signal: Signal,
}

/// What a program that has ended printed.
#[derive(Clone, Debug)]
pub struct Output {
    /// Its exit status.
    pub status: ExitStatus,
    /// Standard output, without the last newline.
    pub stdout: String,
    /// Standard error, without the last newline.
    pub stderr: String,
}

impl Program {
    /// The program at `path`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        Self { path, name, args: Vec::new(), env: Vec::new(), folder: None, account: None, last_signal: Signal::Kill }
    }

    /// The installed program `name`, which the Debian package `package` brings.
    ///
    /// # Errors
    /// [`Error::Missing`] when it is not installed.
    pub fn installed(name: &str, package: &'static str) -> Result<Self> {
        Ok(Self::new(binaries::find(name, package)?))
    }

    /// The name in errors, when the file's own says too little.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// An environment variable, besides those of this process.
    #[must_use]
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((key.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    /// Keeps an environment variable of this process from the child.
    #[must_use]
    pub fn without_env(mut self, key: impl AsRef<OsStr>) -> Self {
        self.env.push((key.as_ref().to_owned(), None));
        self
    }

    /// The folder to start in.
    #[must_use]
    pub fn folder(mut self, folder: impl AsRef<Path>) -> Self {
        self.folder = Some(folder.as_ref().to_owned());
        self
    }

    /// Runs it under another account; only root can.
    #[must_use]
    pub(crate) fn account(mut self, account: Option<Account>) -> Self {
        self.account = account;
        self
    }

    /// What it gets when it is dropped or its parent dies, in place of SIGKILL; it must end on that signal.
    #[must_use]
    pub fn last_signal(mut self, signal: Signal) -> Self {
        self.last_signal = signal;
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// [`Error::Io`] when there is no such program or the system refuses.
    pub fn start(self) -> Result<Child> {
        if !self.path.is_file() {
            let cause = std::io::ErrorKind::NotFound.into();
            return Err(Error::io(format!("starting {}", self.path.display()))(cause));
        }
        let mut process = spawner::spawn(self.command()?).map_err(Error::io(format!("starting {}", self.name)))?;
        let log = Log::default();
        let (out, err) = (process.stdout.take(), process.stderr.take());
        let child = Child {
            name: self.name,
            pid: process.id(),
            process: Mutex::new(process),
            log: log.clone(),
            last_signal: self.last_signal,
        };
        // From here on the child is owned: an error below ends it.
        if let Some(out) = out {
            log.follow(out, Stream::Out)?;
        }
        if let Some(err) = err {
            log.follow(err, Stream::Err)?;
        }
        Ok(child)
    }

    /// Starts it and waits for its end.
    ///
    /// # Errors
    /// As [`Program::start`], and [`Error::TimedOut`] when it still runs after `within`; it is killed then.
    pub async fn output(self, within: Duration) -> Result<Output> {
        let child = self.start()?;
        let status = child.wait(within).await?;
        // Grandchildren may hold the streams open for as long as they like.
        let _ = wait::until("the end of the log", Duration::from_secs(1), async || child.log.closed()).await;
        Ok(Output { status, stdout: child.log.of(Stream::Out), stderr: child.log.of(Stream::Err) })
    }

    fn command(&self) -> Result<Command> {
        let mut command = Command::new(binaries::find("setpriv", "util-linux")?);
        if let Some(account) = self.account {
            command.args(["--reuid", &account.uid.to_string(), "--regid", &account.gid.to_string(), "--clear-groups"]);
        }
        command.args(["--pdeathsig", self.last_signal.name(), "--", "/bin/sh", "-c", ORPHANS_END]);
        command.arg(std::process::id().to_string()).arg(&self.path).args(&self.args);
        for (key, value) in &self.env {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        // A group of its own: Ctrl-C at a terminal goes to the parent alone, which ends its children in order.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(command)
    }
}
