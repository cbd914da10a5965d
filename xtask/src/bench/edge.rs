//! `bench edge`: forwarding, waiting page and status beside what other servers need for the same.

mod peers;
mod report;
mod site;

use std::time::Duration;

use anyhow::Result;

use super::{Profile, rounds};

/// Builds, measures, prints, and writes `target/bench/edge.json` and `.svg`.
pub(super) async fn run(profile: Profile, count: u32, time: Duration) -> Result<()> {
    profile.build(&["-p", "waitroom-proxy", "--bins", "--example", "bare_pingora"])?;
    let site = site::Site::start(profile).await?;
    let variants = site.variants();
    let samples = rounds::run(&variants, count, time).await?;
    report::write(&variants, &samples, time)
}
