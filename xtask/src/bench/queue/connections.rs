//! Memory of connections that are left alone: RSS over several thousand of them, by kind, beside nginx.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use testbed::ports::Reserved;
use testbed::process::Child;

use super::super::rounds::SERVER_CORE;
use super::super::{Profile, visit};
use super::bed::{BOTH, Bed, FULL, OPEN, on_cores, resident};
use super::book::{Aim, Book, Row};

const CONNECTIONS: usize = 6_000;

const HELD_WITHIN: Duration = Duration::from_secs(60);

/// Between the last answer and the look at the memory.
const SETTLED: Duration = Duration::from_secs(2);

const NGINX: &str = include_str!("connections/nginx.conf");

/// Memory of each, in bytes, and how many are still open when it is looked at.
struct Held {
    each: f64,
    open: u64,
}

pub(super) async fn measure(profile: Profile, book: &mut Book) -> Result<()> {
    let nginx_idle = nginx(profile, &[], "/idle").await?;
    let nginx_stream = nginx(profile, &["--stream"], "/events").await?;
    let bare = bare(profile).await?;
    let poller = proxy(profile, Kind::Poller).await?;
    let visitor = proxy(profile, Kind::Visitor).await?;
    let stream = proxy(profile, Kind::Stream).await?;
    let kib = |held: &Held| format!("{:.1} KiB", held.each / 1024.0);
    let (idle, bare) = (format!("nginx {}", kib(&nginx_idle)), format!("bare Pingora {}", kib(&bare)));
    let streams = format!("nginx + Lua {}", kib(&nginx_stream));
    let rows = [
        ("connection of a poller", poller, Aim::None, format!("{idle}, {bare}")),
        ("idle connection of an admitted visitor", visitor, Aim::None, format!("{idle}, {bare}")),
        // What the closest peer needs at least; see peers' figures in docs/PERFORMANCE.md.
        ("event stream", stream, Aim::AtMost(23.0), streams),
    ];
    for (what, held, aim, beside) in rows {
        book.note(Row {
            what: format!("memory of a {what}").replace("a idle", "an idle").replace("a event", "an event"),
            value: held.each / 1024.0,
            unit: "KiB",
            aim,
            beside: format!(
                "{beside}; {} of {CONNECTIONS} still open {} s after the last answer",
                held.open,
                SETTLED.as_secs()
            ),
        });
    }
    Ok(())
}

enum Kind {
    Poller,
    Visitor,
    Stream,
}

/// A fresh proxy for each kind: memory that one kind has given back must not serve the next.
async fn proxy(profile: Profile, kind: Kind) -> Result<Held> {
    let mut bed = Bed::start(profile).await?;
    let node = bed.add_node(&[SERVER_CORE], 0.0).await?;
    let addr = node.visitors;
    let (path, cookies, flags): (_, _, &[&str]) = match kind {
        Kind::Poller => (format!("/queue/status?room={FULL}"), visit::line_up(addr, FULL).await?, &[]),
        Kind::Visitor => (format!("/{OPEN}"), visit::enter(addr, OPEN).await?, &[]),
        Kind::Stream => (format!("/queue/events?room={FULL}"), visit::line_up(addr, FULL).await?, &["--stream"]),
    };
    let cookie = format!("Cookie: {cookies}");
    hold(profile, &bed.node()?.child, addr, &path, &[flags, &["--header", &cookie]].concat()).await
}

async fn bare(profile: Profile) -> Result<Held> {
    let bed = Bed::start(profile).await?;
    let port = Reserved::new()?;
    let program = on_cores(&[SERVER_CORE], &profile.executable("examples/bare_pingora"))?;
    let child = program.args([port.addr().to_string(), bed.upstream_addr.to_string()]).start()?;
    child.wait_for_port(port.addr(), HELD_WITHIN).await?;
    hold(profile, &child, port.addr(), "/", &[]).await
}

async fn nginx(profile: Profile, flags: &[&str], path: &str) -> Result<Held> {
    let bed = Bed::start(profile).await?;
    let port = Reserved::new()?;
    let config = bed.folder().join("held.conf");
    fs::write(&config, NGINX.replace("@LISTEN@", &port.addr().to_string())).context("writing nginx's config")?;
    let nginx = on_cores(&[SERVER_CORE], "nginx")?.named("nginx").args(["-e", "stderr", "-p"]).arg(bed.folder());
    let child = nginx.arg("-c").arg(&config).start()?;
    child.wait_for_port(port.addr(), HELD_WITHIN).await?;
    hold(profile, &child, port.addr(), path, flags).await
}

async fn hold(profile: Profile, server: &Child, addr: SocketAddr, path: &str, flags: &[&str]) -> Result<Held> {
    let before = resident(server.pid())?;
    let rush = on_cores(&BOTH, &profile.executable("examples/rush"))?.named("rush");
    let to = format!("{addr}{path}");
    let rush = rush.args(["hold", "--to", &to, "--connections", &CONNECTIONS.to_string()]).args(flags).start()?;
    rush.wait_for_line("held", HELD_WITHIN).await?;
    tokio::time::sleep(SETTLED).await;
    let each = (resident(server.pid())? - before) / CONNECTIONS as f64;
    let last = rush.log();
    let last: Value =
        serde_json::from_str(last.lines().last().unwrap_or_default()).context("reading what rush says")?;
    Ok(Held { each, open: last["open"].as_u64().context("rush does not say how many are open")? })
}
