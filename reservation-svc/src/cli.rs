//! The command line: what can be asked of the binary. Parsing only.

use std::path::PathBuf;

use chrono::NaiveDate;
use clap::{Args, Parser, Subcommand, ValueEnum};
use uuid::Uuid;

use crate::config::Overrides;

/// Seats, holds, wallets and reservations behind a waiting room.
#[derive(Debug, Parser)]
#[command(name = "reservation-svc", version, about)]
pub struct Cli {
    /// How logs are written (to stderr).
    #[arg(long, value_enum, default_value_t = LogFormat::Text, global = true, env = "RESERVATION_LOG_FORMAT")]
    pub log_format: LogFormat,
    /// Which logs are written, such as info or reservation_svc=debug.
    #[arg(long, default_value = "info", global = true, env = "RESERVATION_LOG")]
    pub log: String,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How logs look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What the binary does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the service until SIGTERM or Ctrl-C.
    Serve {
        /// The configuration.
        #[command(flatten)]
        file: ConfigFile,
        /// Listen here instead of server.listen.
        #[arg(long, value_name = "ADDR")]
        listen: Option<String>,
        /// Health and metrics here instead of server.admin_listen.
        #[arg(long, value_name = "ADDR")]
        admin_listen: Option<String>,
    },
    /// Bring the database schema up to date.
    Migrate {
        /// The configuration.
        #[command(flatten)]
        file: ConfigFile,
    },
    /// Put demo data into the database: users 1 to 1000, two concerts, seats. Repeating it changes nothing.
    Seed {
        /// The configuration.
        #[command(flatten)]
        file: ConfigFile,
    },
    /// Run the workers around the service until SIGTERM or Ctrl-C. Any number of them may run at once.
    Worker {
        /// The configuration.
        #[command(flatten)]
        file: ConfigFile,
        /// Health and metrics here instead of events.admin_listen.
        #[arg(long, value_name = "ADDR")]
        admin_listen: Option<String>,
    },
    /// Events that a consumer gave up on: look at them, and have them taken again.
    #[command(subcommand)]
    DeadLetters(DeadLetters),
    /// Print the money of a day, per concert. The day is one of events.settlement_time_zone.
    Settlement {
        /// The configuration.
        #[command(flatten)]
        file: ConfigFile,
        /// Which day, such as 2026-11-20.
        #[arg(long, value_name = "YYYY-MM-DD")]
        day: NaiveDate,
    },
    /// Print the reservations of a schedule whose tickets count no more, for its gates.
    RevokedTickets {
        /// The configuration.
        #[command(flatten)]
        file: ConfigFile,
        /// Which evening.
        #[arg(long, value_name = "ID")]
        schedule: i64,
    },
    /// Print a bearer token of a user, for development.
    UserToken {
        /// The configuration.
        #[command(flatten)]
        file: ConfigFile,
        /// The user's id.
        #[arg(long, value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
        user: i64,
        /// How long it is good, in seconds.
        #[arg(long, value_name = "SECS", default_value_t = 86_400, value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
        ttl_s: u64,
    },
}

/// What to do with dead letters.
#[derive(Debug, Subcommand)]
pub enum DeadLetters {
    /// Print the oldest.
    List {
        /// The configuration.
        #[command(flatten)]
        file: ConfigFile,
        /// How many.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=10_000))]
        limit: i64,
    },
    /// Give them to their consumers again.
    #[command(group = clap::ArgGroup::new("which").required(true))]
    Replay {
        /// The configuration.
        #[command(flatten)]
        file: ConfigFile,
        /// Those of this event.
        #[arg(long, value_name = "ID", group = "which")]
        event: Option<Uuid>,
        /// All of them.
        #[arg(long, group = "which")]
        all: bool,
    },
}

/// Where the configuration is.
#[derive(Debug, Args)]
pub struct ConfigFile {
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = "config/reservation.toml", env = "RESERVATION_CONFIG")]
    pub config: PathBuf,
}

impl Command {
    /// The configuration file, and the settings given as flags.
    pub fn settings(&self) -> (&PathBuf, Vec<(String, String)>) {
        match self {
            Self::Serve { file, listen, admin_listen } => {
                let flags = [("server.listen", listen), ("server.admin_listen", admin_listen)];
                let given = flags.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.clone()?)));
                (&file.config, given.collect())
            }
            Self::Worker { file, admin_listen } => {
                let given = admin_listen.iter().map(|address| ("events.admin_listen".to_owned(), address.clone()));
                (&file.config, given.collect())
            }
            Self::DeadLetters(DeadLetters::List { file, .. } | DeadLetters::Replay { file, .. })
            | Self::Settlement { file, .. }
            | Self::RevokedTickets { file, .. }
            | Self::Migrate { file }
            | Self::Seed { file }
            | Self::UserToken { file, .. } => (&file.config, Vec::new()),
        }
    }

    /// Flags as given, over the environment of the process.
    pub fn overrides(&self) -> Overrides {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| name.starts_with("RESERVATION_"))
            .collect();
        Overrides { flags: self.settings().1, environment }
    }
}
