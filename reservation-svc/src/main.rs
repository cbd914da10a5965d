//! The binary `reservation-svc`: reads the command line and the configuration, runs one command, maps errors to exits.

use std::io::Write;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use clap::Parser;
use reservation_svc::auth::users;
use reservation_svc::cli::{Cli, Command, DeadLetters, LogFormat};
use reservation_svc::config::{self, Config, ConfigError, Needs, UserKeys, secrets};
use reservation_svc::ledger::Ledger;
use reservation_svc::metrics::Metrics;
use reservation_svc::seat::UserId;
use reservation_svc::serve::Service;
use reservation_svc::worker::{Worker, operator};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Bad usage: a wrong flag or a wrong configuration (EX_USAGE).
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are not mistakes.
            let code = if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
            return if error.print().is_ok() { code } else { ExitCode::FAILURE };
        }
    };
    if let Err(error) = log_to_stderr(&cli) {
        return fail(&format!("--log: {error}"), USAGE);
    }
    let needs = match cli.command {
        Command::Serve { .. } => Needs::Everything,
        Command::Migrate { .. } | Command::Seed { .. } => Needs::Database,
        Command::UserToken { .. } => Needs::Users,
        Command::Worker { .. }
        | Command::DeadLetters(_)
        | Command::Settlement { .. }
        | Command::RevokedTickets { .. } => Needs::Worker,
    };
    let path = cli.command.settings().0;
    let config = match config::load(path, cli.command.overrides(), needs) {
        Ok(config) => config,
        Err(ConfigError::Mistakes { mistakes }) => {
            let lines: Vec<String> = mistakes.iter().map(|mistake| format!("{}: {mistake}", path.display())).collect();
            return fail(&lines.join("\n"), USAGE);
        }
        Err(error) => return fail(&error.to_string(), USAGE),
    };
    match run(&cli.command, config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("{error:#}"), 1),
    }
}

/// One sentence on stderr; no panic, no backtrace.
fn fail(message: &str, code: u8) -> ExitCode {
    // Nowhere left to complain to when stderr is gone.
    let _ = writeln!(
        std::io::stderr(),
        "{}",
        message.lines().map(|line| format!("reservation-svc: {line}")).collect::<Vec<_>>().join("\n")
    );
    ExitCode::from(code)
}

fn log_to_stderr(cli: &Cli) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&cli.log)?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match cli.log_format {
        LogFormat::Text => logs.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
        LogFormat::Json => logs.json().init(),
    }
    Ok(())
}

#[tokio::main]
async fn run(command: &Command, config: Config) -> anyhow::Result<()> {
    match command {
        Command::Serve { .. } => serve(config).await,
        Command::Migrate { .. } => {
            ledger(&config)?.migrate().await.context("database.url")?;
            say("The schema is up to date.")
        }
        Command::Seed { .. } => {
            let ledger = ledger(&config)?;
            ledger.check_schema().await.context("database.url")?;
            ledger.seed().await.context("database.url")?;
            say("The demo data is there: users 1 to 1000, two concerts, six schedules of 1,000 seats.")
        }
        Command::Worker { .. } => worker(config).await,
        Command::DeadLetters(DeadLetters::List { limit, .. }) => {
            say(&operator::list_dead_letters(&ledger(&config)?, *limit).await.context("database.url")?)
        }
        Command::DeadLetters(DeadLetters::Replay { event, .. }) => {
            say(&operator::replay_dead_letters(&config, &ledger(&config)?, *event).await?)
        }
        Command::Settlement { day, .. } => {
            say(&operator::settlement(&config, &ledger(&config)?, *day).await.context("database.url")?)
        }
        Command::RevokedTickets { schedule, .. } => {
            let revoked = operator::revoked_tickets(&ledger(&config)?, *schedule).await.context("database.url")?;
            say(&revoked.with_context(|| format!("there is no schedule {schedule}"))?)
        }
        Command::UserToken { user, ttl_s, .. } => user_token(&config, *user, *ttl_s),
    }
}

fn ledger(config: &Config) -> anyhow::Result<Ledger> {
    Ledger::new(&config.database, Metrics::new()?).context("database.url")
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let service = Service::start(config).await?;
    tracing::info!(listen = %service.addr(), admin = %service.admin_addr(), "serving");
    told_to_stop().await?;
    match service.stop().await {
        0 => tracing::info!("stopped"),
        cut_off => tracing::warn!(cut_off, "stopped; some requests took too long to finish"),
    }
    Ok(())
}

async fn worker(config: Config) -> anyhow::Result<()> {
    let worker = Worker::start(config).await?;
    tracing::info!(admin = %worker.admin_addr(), "working");
    told_to_stop().await?;
    match worker.stop().await {
        0 => tracing::info!("stopped"),
        cut_off => tracing::warn!(cut_off, "stopped; some tasks took too long to finish"),
    }
    Ok(())
}

/// Waits for SIGTERM or Ctrl-C.
async fn told_to_stop() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("draining");
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "an edge of the process reads the clock")]
fn user_token(config: &Config, user: i64, ttl_s: u64) -> anyhow::Result<()> {
    let UserKeys::SecretFile(path) = &config.users else {
        bail!("users.jwks_url: tokens are signed elsewhere; ask that issuer, or set users.hs256_secret_file");
    };
    let secret = secrets::hs256_secret(path)?;
    let user = UserId::new(user).context("--user must be positive")?;
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    say(&users::mint_for(&secret, &config.user_tokens, user, now_s, ttl_s)?)
}

fn say(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{line}").context("stdout")
}
