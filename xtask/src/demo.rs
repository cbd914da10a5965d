//! `cargo xtask demo`: the whole way on real parts, with a crowd and an account at the end.

mod audit;
mod crowd;
mod files;
mod site;
mod summary;
mod watch;

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::Instant;

use crate::demo::crowd::Crowd;
use crate::demo::site::Site;
use crate::demo::watch::Watch;
use crate::prepare::{self, Purpose};
use crate::{cargo, say};

/// The visitors' port, when it is free and none was asked for.
const USUAL_PORT: u16 = 8080;

/// Exit code after a Ctrl-C that does not wait for the account, as shells have it.
const INTERRUPTED: i32 = 130;

/// Options of `demo`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many visitors come
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    crowd: u32,
    /// How many are let in each second
    #[arg(long, value_name = "R", default_value_t = 50.0, value_parser = rate)]
    rate: f64,
    /// Ends with the summary after so many seconds; without it, it stays up until Ctrl-C
    #[arg(long = "for", value_name = "SECS", value_parser = clap::value_parser!(u64).range(5..=86_400))]
    seconds: Option<u64>,
    /// Sends nobody: the queue is yours
    #[arg(long)]
    no_crowd: bool,
    /// The visitors' port; without it 8080, or another when that is taken
    #[arg(long, value_name = "P", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.1..=100_000.0).contains(&rate) => Ok(rate),
        _ => Err("must be a number from 0.1 to 100000, in visitors per second".to_owned()),
    }
}

/// Runs the demo; `false` when the account at its end does not add up.
pub(crate) async fn run(options: &Options) -> Result<bool> {
    let port = visitors_port(options.port)?;
    prepare::system(Purpose::Demo)?;
    say::step("building (release; the first time takes some minutes)");
    cargo::run(&["build", "--release", "-p", "waitroom-proxy", "-p", "reservation-svc", "-p", "loadtest"])?;
    let mut interrupt = Box::pin(interrupted());
    let site = tokio::select! {
        site = Site::start(port, options) => site?,
        _ = &mut interrupt => bail!("interrupted while starting; everything is stopped"),
    };
    println!("{}", site.welcome(options));

    let began = Instant::now();
    let mut watch = Watch::new(site.admin(), began);
    let mut crowd = if options.no_crowd { None } else { Some(Crowd::send(&site, options)?) };
    let end = options.seconds.map(|seconds| began + Duration::from_secs(seconds));
    let stopped = tokio::select! {
        stopped = watch.follow(&site, crowd.as_mut(), end) => stopped,
        () = &mut interrupt => Ok(()),
    };
    // Nobody has to wait for the account: what is left running dies with this process.
    tokio::spawn(async {
        interrupted().await;
        std::process::exit(INTERRUPTED);
    });
    // A service that died is told after its account: what it left behind is the interesting part.
    println!();
    let report = match crowd {
        Some(crowd) => crowd.finish().await?,
        None => None,
    };
    let audit = audit::of(&site).await;
    let good = summary::print(options, &watch, report.as_ref(), &audit);
    site.stop().await;
    stopped?;
    Ok(good)
}

fn visitors_port(asked: Option<u16>) -> Result<u16> {
    let bind = |port: u16| std::net::TcpListener::bind(("127.0.0.1", port));
    match asked {
        Some(port) => match bind(port) {
            Ok(_) => Ok(port),
            Err(cause) => bail!("port {port} cannot be used: {cause}; choose another with --port"),
        },
        None if bind(USUAL_PORT).is_ok() => Ok(USUAL_PORT),
        None => {
            let port = testbed::ports::free();
            say::step(&format!("port {USUAL_PORT} is taken; visitors come in at {port}"));
            Ok(port)
        }
    }
}

/// Ctrl-C, or SIGTERM from whoever runs this.
async fn interrupted() {
    let terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
    let Ok(mut terminate) = terminate else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
