//! The fast lane: what a first sight costs while nobody waits, beside a bare forward to the same upstream.

use anyhow::Result;
use testbed::ports::Reserved;

use super::super::Profile;
use super::super::reference::pinned;
use super::super::rounds::{LOAD_CORE, SERVER_CORE};
use super::bed::{Bed, OPEN};
use super::book::{Aim, Book, Row};
use super::store::figure;

/// Requests to each, one at a time.
const COUNT: &str = "2000";

pub(super) async fn measure(profile: Profile, book: &mut Book) -> Result<()> {
    let mut bed = Bed::start(profile).await?;
    let site = format!("{}/{OPEN}", bed.add_node(&[SERVER_CORE], 0.0).await?.visitors);
    let port = Reserved::new()?;
    let (bare_addr, upstream) = (port.addr(), bed.upstream_addr.to_string());
    let bare =
        pinned(SERVER_CORE, &profile.executable("examples/bare_pingora"))?.args([&bare_addr.to_string(), &upstream]);
    let bare = bare.start()?;
    bare.wait_for_port(bare_addr, std::time::Duration::from_secs(30)).await?;
    let bare_site = format!("{bare_addr}/{OPEN}");
    let report = bed.rush(&[LOAD_CORE], &["lane", "--site", &site, "--bare", &bare_site, "--count", COUNT]).await?;
    for (quantile, path, aim) in [("p50", "p50_ms", Aim::AtMost(8.0)), ("p99", "p99_ms", Aim::None)] {
        let (ours, theirs) = (figure(&report, &format!("site.{path}"))?, figure(&report, &format!("bare.{path}"))?);
        book.note(Row {
            what: format!("fast lane over a bare forward, {quantile}"),
            value: ours - theirs,
            unit: "ms",
            aim,
            beside: format!("first sight {ours:.2} ms, bare Pingora {theirs:.2} ms; one request at a time, in turn"),
        });
    }
    Ok(())
}
