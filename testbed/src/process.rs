//! Child processes with a log to wait on, that cannot outlive the process that started them.
//!
//! A child is killed when its [`Child`] is dropped. When nothing can be dropped
//! any more (a static, an abort, SIGKILL) Linux kills it: `setpriv --pdeathsig`
//! arranges that, and all children are started from one thread that lives as
//! long as the process, because the signal follows the thread.

mod log;
mod program;

use std::net::SocketAddr;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

pub use log::Stream;
pub use program::{Output, Program};

use crate::error::{Error, Result};
use crate::process::log::Log;
use crate::wait;

/// How long a dropped child may take over an orderly end before it is killed.
const ORDERLY_END: Duration = Duration::from_secs(5);

/// How many lines of the log an error shows.
const SHOWN_LINES: usize = 20;

/// A signal to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: end in order.
    Terminate,
    /// SIGINT: what Ctrl-C sends.
    Interrupt,
    /// SIGQUIT: Postgres ends at once, as after a crash.
    Quit,
    /// SIGHUP: reload.
    Hangup,
    /// SIGSTOP: stand still.
    Stop,
    /// SIGCONT: go on.
    Continue,
    /// SIGKILL: gone at once.
    Kill,
}

impl Signal {
    /// The name that `kill` and `setpriv` take.
    fn name(self) -> &'static str {
        match self {
            Self::Terminate => "TERM",
            Self::Interrupt => "INT",
            Self::Quit => "QUIT",
            Self::Hangup => "HUP",
            Self::Stop => "STOP",
            Self::Continue => "CONT",
            Self::Kill => "KILL",
        }
    }
}

/// A running child process, the leader of a process group of its own.
#[derive(Debug)]
pub struct Child {
    name: String,
    pid: u32,
    /// Locked while a signal is sent, so that the pid cannot be reaped and given to somebody else meanwhile.
    process: Mutex<std::process::Child>,
    log: Log,
    /// What the child gets when this value is dropped or its parent dies.
    last_signal: Signal,
}

impl Child {
    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The name given at the start.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Everything it has printed so far (the last 20,000 lines), both streams.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.text(None)
    }

    /// The exit status, when it has ended.
    #[must_use]
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner).try_wait().ok().flatten()
    }

    /// Waits until a line of its log contains `needle`, and returns that line; earlier lines count.
    ///
    /// # Errors
    /// [`Error::Ended`] when it ends without having printed it, [`Error::TimedOut`] when `within` has passed.
    pub async fn wait_for_line(&self, needle: &str, within: Duration) -> Result<String> {
        let what = format!("`{needle}` in the log of {}", self.name);
        let found = wait::until_some(&what, within, async || {
            // Asked first: a line printed just before the end must not be missed.
            let over = self.exit_status().is_some() && self.log.closed();
            match self.log.find(needle) {
                Some(line) => Some(Ok(line)),
                None if over => Some(Err(self.ended())),
                None => None,
            }
        });
        found.await?
    }

    /// Waits until something accepts connections at `addr`.
    ///
    /// # Errors
    /// [`Error::Ended`] when the child ends instead, [`Error::TimedOut`] when `within` has passed.
    pub async fn wait_for_port(&self, addr: SocketAddr, within: Duration) -> Result<()> {
        let what = format!("{} to listen on {addr}", self.name);
        self.wait_until(&what, within, async || tokio::net::TcpStream::connect(addr).await.is_ok()).await
    }

    /// Waits until `check` says yes, or the child ends.
    ///
    /// # Errors
    /// [`Error::Ended`] when the child ends instead, [`Error::TimedOut`] when `within` has passed.
    pub async fn wait_until<F, Fut>(&self, what: &str, within: Duration, mut check: F) -> Result<()>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = bool>,
    {
        let seen = wait::until_some(what, within, || {
            let answer = check();
            async {
                if self.exit_status().is_some() {
                    return Some(Err(self.ended()));
                }
                answer.await.then_some(Ok(()))
            }
        });
        seen.await?
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// [`Error::TimedOut`] when it still runs after `within`.
    pub async fn wait(&self, within: Duration) -> Result<ExitStatus> {
        let what = format!("the end of {}", self.name);
        wait::until_some(&what, within, async || self.exit_status()).await
    }

    /// Sends a signal; a child that has ended already is left in peace.
    ///
    /// # Errors
    /// What the system says when the signal cannot be sent.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(process.try_wait(), Ok(Some(_))) {
            return Ok(());
        }
        send(signal, &self.pid.to_string())
    }

    /// Makes it stand still (SIGSTOP), and returns when it does.
    ///
    /// # Errors
    /// [`Error::TimedOut`] when it does not, or has ended.
    pub async fn pause(&self) -> Result<()> {
        self.signal(Signal::Stop)?;
        let stat = format!("/proc/{}/stat", self.pid);
        let what = format!("{} to stand still", self.name);
        wait::until(&what, ORDERLY_END, async || {
            // The state comes behind the name, which is in parentheses and may have any letter in it.
            let stat = std::fs::read_to_string(&stat).unwrap_or_default();
            stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
        })
        .await
    }

    /// Asks it to end in order (SIGTERM) and waits until it has.
    ///
    /// # Errors
    /// [`Error::TimedOut`] when it still runs after `within`.
    pub async fn terminate(&self, within: Duration) -> Result<ExitStatus> {
        self.signal(Signal::Terminate)?;
        self.wait(within).await
    }

    /// Ends it and its process group at once, and waits until it is gone.
    ///
    /// # Errors
    /// What the system says when the signal cannot be sent.
    pub async fn kill(&self) -> Result<ExitStatus> {
        self.kill_group();
        self.wait(ORDERLY_END).await
    }

    fn kill_group(&self) {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(process.try_wait(), Ok(None)) {
            // The group first: it has no name any more once its leader is reaped.
            let _ = send(Signal::Kill, &format!("-{}", self.pid));
            let _ = process.kill();
        }
    }

    fn ended(&self) -> Error {
        let status = self.exit_status().map_or_else(|| "gone".to_owned(), |status| status.to_string());
        Error::Ended { name: self.name.clone(), status, log: self.log.text(Some(SHOWN_LINES)) }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.last_signal != Signal::Kill {
            let _ = self.signal(self.last_signal);
            let _ = self.signal(Signal::Continue);
            let deadline = Instant::now() + ORDERLY_END;
            while self.exit_status().is_none() && Instant::now() < deadline {
                std::thread::yield_now();
                std::thread::park_timeout(Duration::from_millis(2));
            }
        }
        self.kill_group();
        let _ = self.process.lock().unwrap_or_else(PoisonError::into_inner).wait();
    }
}

/// Sends `signal` to a pid, or to a group when `target` starts with a minus.
///
/// The system call needs `unsafe`, the shell's builtin does not.
fn send(signal: Signal, target: &str) -> Result<()> {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", r#"kill -s "$0" -- "$1""#, signal.name(), target]);
    shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    shell.status().map_err(Error::io("sending a signal"))?;
    Ok(())
}
