//! `bench edge`: forwarding ÷ bare Pingora, waiting page and status ÷ nginx saying the same bytes.

mod report;
mod site;

use std::time::Duration;

use anyhow::Result;

use super::rounds;
use crate::{cargo, say};

/// Builds, measures, prints, and writes `target/bench/edge.json` and `.svg`.
pub(super) async fn run(count: u32, time: Duration) -> Result<()> {
    say::step("building with the profile `dist` (the first time takes many minutes)");
    cargo::run(&["build", "--profile", "dist", "-p", "waitroom-proxy", "--bins", "--example", "bare_pingora"])?;
    let site = site::Site::start().await?;
    let variants = site.variants();
    let samples = rounds::run(&variants, count, time).await?;
    report::write(&variants, &samples, time)
}
