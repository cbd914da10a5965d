//! What can go wrong when servers are started; every sentence says what to do or what was seen.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Shorthand for results of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a private server could not be started, stopped or asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program that a Debian package brings is not installed.
    #[error("`{program}` is not installed: `apt-get install {package}` brings it, and so does `cargo xtask test`")]
    Missing {
        /// The program that was looked for.
        program: String,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// The operating system refused something.
    #[error("{what}: {cause}")]
    Io {
        /// What was being done.
        what: String,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// A condition did not come true in time.
    #[error("waited {within:?} in vain for {what}")]
    TimedOut {
        /// The condition, in words.
        what: String,
        /// How long was waited.
        within: Duration,
    },
    /// A process ended although it was still needed.
    #[error("{name} ended ({status}); its last lines:\n{log}")]
    Ended {
        /// The name given at the start.
        name: String,
        /// Its exit status.
        status: String,
        /// The end of its log.
        log: String,
    },
    /// Postgres refused a statement.
    #[error("postgres refused `{sql}`: {answer}")]
    Sql {
        /// The statement.
        sql: String,
        /// What `psql` printed.
        answer: String,
    },
    /// The caller's preparation of a template database failed.
    #[error("preparing the template database `{name}` failed: {cause}")]
    Template {
        /// The template's name.
        name: String,
        /// What the caller's function returned.
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The folder for temporary files belongs to somebody else.
    #[error("{} is not a folder of this user: remove it, or set TMPDIR to a folder of your own", path.display())]
    ForeignScratch {
        /// The folder.
        path: PathBuf,
    },
    /// The browser or its driver refused a command.
    #[error("browser: {0}")]
    Browser(String),
}

impl Error {
    /// Wraps an error of the operating system with what was being done.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |cause| Self::Io { what, cause }
    }
}
