//! Two sites asked in turn, one request at a time: what the way through one of them adds.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use serde_json::json;
use tokio::time::Instant;

use crate::report::Latencies;
use crate::target;
use crate::wire::{Wire, get};

/// What to ask.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The site under test, `HOST:PORT/PATH`
    #[arg(long, value_parser = target)]
    site: (SocketAddr, String),
    /// What it is compared with
    #[arg(long, value_parser = target)]
    bare: (SocketAddr, String),
    /// Requests to each
    #[arg(long, default_value_t = 2000)]
    count: u32,
}

/// Every request to the site comes from somebody new, who has no cookie.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let mut sites = Vec::new();
    for (addr, path) in [&options.site, &options.bare] {
        sites.push((Wire::to(*addr), get(*addr, path, "Accept: text/html\r\n"), Latencies::new()?));
    }
    for round in 0..options.count + options.count / 10 {
        for (wire, request, latencies) in &mut sites {
            let began = Instant::now();
            let answer = wire.ask(request).await?;
            let took = began.elapsed();
            ensure!(answer.status == 200, "answered with {}: {}", answer.status, answer.body);
            // The first tenth warms up.
            if round >= options.count / 10 {
                latencies.note(took);
            }
        }
    }
    println!("{}", json!({ "site": sites[0].2.json(), "bare": sites[1].2.json() }));
    Ok(())
}
