//! `cargo xtask demo | test | bench`: installs what is missing and runs the rest; it holds no logic of the services.
//!
//! It builds with Rust alone: no cmake, no library of the system.

mod bench;
mod cargo;
mod demo;
mod http;
mod prepare;
mod say;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Exit code for wrong usage, as everywhere in this project.
const USAGE: u8 = 64;

/// What one can do with this workspace.
#[derive(Parser)]
#[command(name = "cargo xtask", about = "Demo, tests and benchmarks; installs what they need.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the waiting room in front of the reservation service and sends it a crowd
    Demo(demo::Options),
    /// Runs every test of the workspace
    Test(test::Options),
    /// Runs the benchmarks, side by side with their references
    Bench(bench::Options),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing helps when even the terminal is gone.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match run(cli.command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say::problem(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Whether all that was to be shown was shown.
fn run(command: Command) -> anyhow::Result<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    match command {
        Command::Demo(options) => runtime.block_on(demo::run(&options)),
        Command::Test(options) => test::run(&options),
        Command::Bench(options) => runtime.block_on(bench::run(&options)),
    }
}
