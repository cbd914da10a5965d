//! The command line: what may be said, and everything but `run`. Reads no clock and no environment itself
//! ([`Surroundings`] brings them); never panics, and says every failure in a sentence.

mod check;
mod keygen;
mod print;
mod token;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgGroup, Args, CommandFactory as _, Parser, Subcommand};

use crate::config::{Loaded, Source};
use crate::page::WaitingPage;

/// Exit status for a wrong flag or a wrong config (`EX_USAGE`).
pub const BAD_USAGE: u8 = 64;

/// Lets visitors in at the rate your site can take, in a fair order.
#[derive(Debug, Parser)]
#[command(name = "waitroom-proxy", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
enum Command {
    /// Start the proxy.
    Run(RunArgs),
    /// Check a config without starting: every mistake, then warnings.
    Check {
        /// The config file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Make a signing key and a seal key. Overwrites nothing.
    Keygen(keygen::KeygenArgs),
    /// Look at queue tokens.
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Print the JSON Schema of the config file.
    Schema,
    /// Print completions for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("site").required(true).args(["config", "origin"])))]
struct RunArgs {
    /// The config file.
    #[arg(long, value_name = "FILE", conflicts_with = "rate")]
    config: Option<PathBuf>,
    /// Without a config file: the site to stand in front of. One with a name hears its own as `Host`; localhost and
    /// addresses hear the visitor's.
    #[arg(long, value_name = "URL", requires = "rate")]
    origin: Option<String>,
    /// With --origin: visitors let in per second.
    #[arg(long, value_name = "N", requires = "origin", allow_negative_numbers = true)]
    rate: Option<f64>,
    /// The public address, over what config and environment say.
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
}

/// What the process was given.
#[derive(Debug, Default)]
pub struct Surroundings {
    /// Arguments, the program's name first.
    pub arguments: Vec<OsString>,
    /// Environment variables; those that are not UTF-8 left out.
    pub environment: Vec<(String, String)>,
    /// Seconds since the Unix epoch, to judge tokens by.
    pub now_s: u64,
}

/// What is left to do for `main`.
#[derive(Debug)]
pub enum Start {
    /// Nothing: exit with this.
    Done(ExitCode),
    /// Run the proxy with this config; ask `Source` again to reload.
    Run(Box<Loaded>, Source),
}

/// Reads the command line and does everything but `run`.
#[must_use]
pub fn start(surroundings: Surroundings) -> Start {
    let Surroundings { arguments, environment, now_s } = surroundings;
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return Start::Done(usage(&error)),
    };
    let code = match cli.command {
        Command::Run(args) => return run(args, environment),
        Command::Check { config } => check::check(&Source::file(config).with_environment(environment)),
        Command::Keygen(args) => keygen::keygen(&args),
        Command::Token(token::TokenCommand::Verify(args)) => token::verify(&args, now_s),
        Command::Schema => print::json(&crate::config::schema()),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "waitroom-proxy", &mut script);
            print::bytes(&script)
        }
    };
    Start::Done(code)
}

/// The checker of operators' own waiting pages, for [`Source::load`].
///
/// # Errors
/// Every mistake with its line.
pub fn check_template(text: &str) -> Result<Vec<String>, Vec<(usize, String)>> {
    let checked = WaitingPage::from_template(text);
    let checked = checked.map_err(|problems| problems.into_iter().map(|p| (p.line, p.message)).collect::<Vec<_>>());
    checked.map(|page| page.warnings())
}

fn run(args: RunArgs, environment: Vec<(String, String)>) -> Start {
    let source = match (args.config, args.origin) {
        (Some(file), _) => Source::file(file),
        (None, Some(origin)) => Source::origin(origin, args.rate.unwrap_or_default()),
        // Clap requires one of the two.
        (None, None) => return Start::Done(print::failure(BAD_USAGE, "give --config FILE or --origin URL --rate N")),
    };
    let source = source.with_listen(args.listen).with_environment(environment);
    match source.load(&check_template) {
        Ok(loaded) => Start::Run(Box::new(loaded), source),
        Err(mistakes) => Start::Done(check::refuse(&mistakes)),
    }
}

/// Help and version are no mistakes; everything else is bad usage.
fn usage(error: &clap::Error) -> ExitCode {
    // Nobody reads it: nothing to be done about it.
    let _ = error.print();
    if error.use_stderr() { ExitCode::from(BAD_USAGE) } else { ExitCode::SUCCESS }
}

#[cfg(test)]
mod tests;
