//! The command line: read, checked, every mistake a sentence. Must not start anything.

use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, Parser, Subcommand};

use crate::{
    accounts::{Bearer, BearerError},
    arrivals::Spread,
    run::Plan,
    simulate::SimulateArgs,
    site::Limits,
    world::Habits,
};

/// Plays a crowd in front of a waiting room, and checks that nobody was cheated.
#[derive(Debug, Parser)]
#[command(name = "loadtest", version, about)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Sends a crowd. Exit: 0 all well, 1 an invariant is broken, 64 bad flags, 69 nobody answers.
    Run(Box<RunArgs>),
    /// Plays a sale on a clock of its own: waits, polls, memory, load. Exit: 0 all well, 1 a promise is broken, 64 bad flags.
    Simulate(Box<SimulateArgs>),
}

/// Flags of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The site behind its waiting room: http://127.0.0.1:8080.
    #[arg(long)]
    pub url: String,
    /// How many visitors come.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub visitors: u32,
    /// Over how many seconds they arrive.
    #[arg(long, value_name = "SECS", default_value_t = 10.0)]
    pub arrive: f64,
    /// How arrivals are spread over that time.
    #[arg(long, value_enum, default_value_t = Spread::Poisson)]
    pub spread: Spread,
    /// The share of visitors who mean to buy, 0 to 1. Half of the others hold seats and let them go.
    #[arg(long, default_value_t = 0.5)]
    pub buy_ratio: f64,
    /// Repeats the choices and arrivals of an earlier run. Default: random, and printed.
    #[arg(long)]
    pub seed: Option<u64>,
    /// The service's HS256 secret for users' tokens (raw bytes); without a way to name users, visitors only look.
    #[arg(long, value_name = "FILE", conflicts_with = "bearer_template")]
    pub users_secret: Option<PathBuf>,
    /// The Authorization header of a user, with {user} in it.
    #[arg(long, value_name = "TEXT")]
    pub bearer_template: Option<String>,
    /// Ids of the users that visitors act for, in turn. Nobody else may use their wallets during the run.
    #[arg(long, value_name = "FIRST-LAST", default_value = "1-1000", value_parser = user_range)]
    pub users: RangeInclusive<u64>,
    /// The page that visitors come for.
    #[arg(long, value_name = "PATH", default_value = "/concerts")]
    pub entry: String,
    /// What stands before the paths of the reservation API.
    #[arg(long, value_name = "PREFIX", default_value = "")]
    pub api: String,
    /// The reservation service itself: wallets are then read there, also after a session has ended.
    #[arg(long, value_name = "URL")]
    pub audit_url: Option<String>,
    /// Mean time between two steps on the site.
    #[arg(long, value_name = "MS", default_value_t = 300, value_parser = clap::value_parser!(u32).range(0..=600_000))]
    pub think_ms: u32,
    /// How long a visitor waits before giving up.
    #[arg(long, value_name = "SECS", default_value_t = 1800, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub patience: u32,
    /// Time-out of one request.
    #[arg(long, value_name = "SECS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub timeout: u32,
    /// Most connections at a time. Each needs a file descriptor.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub connections: u32,
    /// Where to write the summary as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Where to write what each visitor saw, one JSON line a visitor.
    #[arg(long, value_name = "FILE")]
    pub history: Option<PathBuf>,
    /// No progress.
    #[arg(long)]
    pub quiet: bool,
}

/// A mistake in the flags or in a file that they name.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// Not a share.
    #[error("--buy-ratio must be from 0 to 1, not {0}")]
    BuyRatio(f64),
    /// Not a time.
    #[error("--arrive must be from 0 to 86400 seconds, not {0}")]
    Arrive(f64),
    /// Not a path.
    #[error("{flag} must begin with a slash{more}, not {value:?}")]
    Path {
        /// The flag.
        flag: &'static str,
        /// What else it must do.
        more: &'static str,
        /// As given.
        value: String,
    },
    /// Buyers need somebody to pay.
    #[error("visitors who buy need users: give --users-secret FILE (or --bearer-template), or --buy-ratio 0")]
    NoUsers,
    /// A file that cannot be read.
    #[error("cannot read {}: {error}", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// No token can be made of what was given.
    #[error(transparent)]
    Bearer(#[from] BearerError),
}

impl RunArgs {
    /// Checks everything and reads the files that are needed.
    pub fn plan(&self, random_seed: u64) -> Result<Plan, UsageError> {
        if !(0.0..=1.0).contains(&self.buy_ratio) {
            return Err(UsageError::BuyRatio(self.buy_ratio));
        }
        if !(0.0..=86_400.0).contains(&self.arrive) {
            return Err(UsageError::Arrive(self.arrive));
        }
        let is_path = |path: &str| path.starts_with('/') && !path.contains(char::is_whitespace);
        let wrong = |flag, more, value: &str| UsageError::Path { flag, more, value: value.to_owned() };
        if !is_path(&self.entry) {
            return Err(wrong("--entry", "", &self.entry));
        }
        if !self.api.is_empty() && (!is_path(&self.api) || self.api.ends_with('/')) {
            return Err(wrong("--api", " and not end with one", &self.api));
        }
        let users = self.bearer()?.map(|bearer| (bearer, self.users.clone()));
        if users.is_none() && self.buy_ratio > 0.0 {
            return Err(UsageError::NoUsers);
        }
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        Ok(Plan {
            url: self.url.clone(),
            audit_url: self.audit_url.clone(),
            visitors: self.visitors as usize,
            arrive: Duration::from_secs_f64(self.arrive),
            spread: self.spread,
            habits: Habits {
                entry: self.entry.clone(),
                api: self.api.clone(),
                buy_ratio: self.buy_ratio,
                think: Duration::from_millis(self.think_ms.into()),
                patience: seconds(self.patience),
                seed: self.seed.unwrap_or(random_seed),
            },
            users,
            limits: Limits { connections: self.connections as usize, request_timeout: seconds(self.timeout) },
            history: self.history.clone(),
            progress: !self.quiet,
        })
    }

    fn bearer(&self) -> Result<Option<Bearer>, UsageError> {
        match (&self.users_secret, &self.bearer_template) {
            (Some(path), _) => Ok(Some(Bearer::from_secret(&read(path)?)?)),
            (None, Some(template)) => Ok(Some(Bearer::from_template(template)?)),
            (None, None) => Ok(None),
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, UsageError> {
    std::fs::read(path).map_err(|error| UsageError::Read { path: path.to_owned(), error })
}

/// `1-1000`, or one id.
fn user_range(text: &str) -> Result<RangeInclusive<u64>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let id = |text: &str| text.trim().parse::<u64>().ok().filter(|id| *id > 0);
    match (id(first), id(last)) {
        (Some(first), Some(last)) if first <= last && last - first < 1_000_000 => Ok(first..=last),
        _ => Err("wanted FIRST-LAST with 1 ≤ FIRST ≤ LAST, at most a million users".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(flags: &[&str]) -> Result<Plan, String> {
        let all = ["loadtest", "run", "--url", "http://127.0.0.1:1"].iter().chain(flags);
        let cli = Cli::try_parse_from(all).map_err(|error| error.to_string())?;
        let Command::Run(args) = cli.command else { return Err("another command".to_owned()) };
        args.plan(7).map_err(|error| error.to_string())
    }

    #[test]
    fn refused_flags_say_what_was_wanted() {
        for (flags, wanted) in [
            (&["--buy-ratio", "1.5"][..], "--buy-ratio must be from 0 to 1"),
            (&["--buy-ratio", "NaN"], "--buy-ratio must be from 0 to 1"),
            (&["--arrive", "-1"], "unexpected argument"),
            (&["--arrive=-1"], "--arrive must be from 0"),
            (&["--visitors", "0"], "1..=1000000"),
            (&["--entry", "concerts"], "--entry must begin with a slash"),
            (&["--api", "/api/"], "not end with one"),
            (&["--users", "9-2"], "FIRST-LAST"),
            (&[], "--users-secret"),
            (&["--users-secret", "/nonexistent"], "cannot read /nonexistent"),
            (&["--bearer-template", "x"], "{user}"),
            (&["--nonsense"], "--nonsense"),
        ] {
            let error = plan(flags).err().unwrap_or_default();
            assert!(error.contains(wanted), "{flags:?}: {error}");
        }
    }

    #[test]
    fn defaults_and_seed() {
        let looking = plan(&["--buy-ratio", "0"]).unwrap();
        assert_eq!((looking.visitors, looking.habits.seed, looking.users.is_none()), (100, 7, true));
        let buying = plan(&["--bearer-template", "Dev {user}", "--seed", "3", "--users", "5-6"]).unwrap();
        assert_eq!((buying.habits.seed, buying.users.unwrap().1), (3, 5..=6));
    }
}
