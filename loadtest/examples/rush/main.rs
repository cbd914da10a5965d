//! A rush of newcomers over bare sockets, for `cargo xtask bench queue`: as many requests as one core can make.
//! It follows the contract of the line (pre-ticket, poll, place) and plays nobody who comes in; that is `loadtest run`.

mod hold;
mod join;
mod lane;
mod report;
mod tally;
mod wire;

use std::net::SocketAddr;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// What to do. One line of JSON at the end says what came of it.
#[derive(Parser)]
#[command(name = "rush")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Newcomers get a pre-ticket and a place, over kept connections as fast as the site answers, or at a given rate
    Join(join::Options),
    /// Opens connections, makes one request on each, and holds them until killed
    Hold(hold::Options),
    /// Asks two sites in turn, one request at a time, and tells the latency of each
    Lane(lane::Options),
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    // One thread: the generator shares its cores with what it measures, and must cost little.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match &cli.command {
            Command::Join(options) => join::run(options).await,
            Command::Hold(options) => hold::run(options).await,
            Command::Lane(options) => lane::run(options).await,
        }
    })
}

/// An address and a path, as `host:port/path`.
fn target(text: &str) -> Result<(SocketAddr, String), String> {
    let (addr, path) = text.split_once('/').ok_or("wanted HOST:PORT/PATH")?;
    let addr = addr.parse().map_err(|_| format!("`{addr}` is no address with a port"))?;
    Ok((addr, format!("/{path}")))
}
