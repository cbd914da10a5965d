//! `loadtest`: reads the command line, runs, prints, and says by its exit code how it went.

use std::{io::Write, path::Path, process::ExitCode};

use anyhow::Context;
use clap::Parser;
use loadtest::{
    cli::{Cli, Command, RunArgs},
    report::Report,
    run::{RunError, run},
    simulate::SimulateArgs,
};
use tokio::sync::watch;

/// An invariant is broken.
const BROKEN: u8 = 1;
/// Bad flags (`EX_USAGE`).
const USAGE: u8 = 64;
/// Nobody answers, or nobody could get in for errors (`EX_UNAVAILABLE`).
const UNAVAILABLE: u8 = 69;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no mistakes. A closed output is nobody's fault.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let outcome = match &cli.command {
        Command::Run(args) => play(args),
        Command::Simulate(args) => simulate(args),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("loadtest: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn play(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let plan = match args.plan(rand::random()) {
        Ok(plan) => plan,
        Err(error) => return Ok(refused(&error, USAGE)),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")?;
    let report = runtime.block_on(async {
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(stop_on_ctrl_c(stop));
        run(plan, rand::random(), stopped).await
    });
    let report = match report {
        Ok(report) => report,
        Err(error @ RunError::Site(_)) => return Ok(refused(&error, USAGE)),
        Err(error @ RunError::Unreachable { .. }) => return Ok(refused(&error, UNAVAILABLE)),
        Err(error) => return Err(error.into()),
    };
    // Whoever closed our output does not want to read it.
    let _ = write!(std::io::stdout(), "{report}");
    if let Some(path) = &args.json {
        write_json(path, &report)?;
    }
    Ok(verdict(&report))
}

fn simulate(args: &SimulateArgs) -> anyhow::Result<ExitCode> {
    // Whoever closed our output does not want to read it.
    let outcome = match args.play(&mut |line| drop(writeln!(std::io::stdout(), "{line}"))) {
        Ok(outcome) => outcome,
        Err(error) => return Ok(refused(&error, USAGE)),
    };
    if let Some(path) = &args.json {
        write_json(path, &outcome)?;
    }
    Ok(if outcome.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(BROKEN) })
}

fn verdict(report: &Report) -> ExitCode {
    if !report.is_clean() {
        ExitCode::from(BROKEN)
    } else if report.entered == 0 && !report.errors.is_empty() {
        eprintln!("loadtest: nobody got in, see the errors above");
        ExitCode::from(UNAVAILABLE)
    } else {
        ExitCode::SUCCESS
    }
}

fn refused(error: &dyn std::error::Error, code: u8) -> ExitCode {
    eprintln!("loadtest: {error}");
    ExitCode::from(code)
}

fn write_json(path: &Path, report: &impl serde::Serialize) -> anyhow::Result<()> {
    let json = serde_json::to_string_pretty(report).context("the report is not JSON")?;
    std::fs::write(path, json + "\n").with_context(|| format!("cannot write {}", path.display()))
}

/// The first Ctrl-C lets everybody leave and prints what there is; the second ends at once.
async fn stop_on_ctrl_c(stop: watch::Sender<bool>) {
    for press in 0.. {
        if tokio::signal::ctrl_c().await.is_err() {
            // Cannot listen; keep the channel open, since closing it would end the run.
            std::future::pending::<()>().await;
        }
        if press == 0 {
            eprintln!("loadtest: stopping; everybody leaves (Ctrl-C again: at once)");
            stop.send_replace(true);
        } else {
            std::process::exit(130);
        }
    }
}
