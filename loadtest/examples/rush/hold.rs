//! Connections that made one request each and are then left alone.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;

use crate::target;
use crate::wire::{Wire, get};

/// What to hold.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Where to, `HOST:PORT/PATH`
    #[arg(long, value_parser = target)]
    to: (SocketAddr, String),
    /// A header line to send, such as `Cookie: a=b`
    #[arg(long)]
    header: Vec<String>,
    /// How many
    #[arg(long, default_value_t = 6000)]
    connections: usize,
    /// The answer does not end: only its beginning is waited for
    #[arg(long)]
    stream: bool,
}

/// Says `held` with a count when all have been answered, and once a second how many are still open.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let (addr, path) = &options.to;
    let headers: String = options.header.iter().map(|line| format!("{line}\r\n")).collect();
    let request = get(*addr, path, &headers);
    let mut wires: Vec<Wire> = Vec::new();
    for number in 0..options.connections {
        let mut wire = Wire::to(*addr);
        if options.stream {
            wire.begin(&request).await.with_context(|| format!("stream {number}"))?;
        } else {
            let answer = wire.ask(&request).await.with_context(|| format!("connection {number}"))?;
            anyhow::ensure!(answer.status == 200, "connection {number}: {} {}", answer.status, answer.body);
        }
        wires.push(wire);
    }
    loop {
        let open =
            wires.iter_mut().filter(|wire| wire.is_open()).filter_map(|wire| wire.still_open().then_some(())).count();
        println!("{}", json!({ "held": options.connections, "open": open }));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
