//! The servers of the bench: the proxy and all that it is compared with on one core, what is behind them on the other.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use hyper::Method;
use testbed::ports::Reserved;
use testbed::process::Child;
use testbed::scratch::Scratch;

use super::super::Profile;
use super::super::load::Target;
use super::super::reference::{self, Location, pinned};
use super::super::rounds::{LOAD_CORE, SERVER_CORE, Variant};
use super::super::visit::{self, BROWSER};
use super::peers::{self, Peers};
use crate::http::{self, Answer};

const READY_WITHIN: Duration = Duration::from_secs(30);

/// A body of a small API answer.
const UPSTREAM_BODY: &[u8] = &[b'x'; 256];

/// Running servers. The folder goes last.
#[derive(Debug)]
pub(super) struct Site {
    proxy: Child,
    bare: Child,
    nginx: Child,
    peers: Peers,
    upstream: Child,
    addresses: Addresses,
    /// The cookies of somebody inside, and of somebody in line.
    session: String,
    ticket: String,
    _ports: Vec<Reserved>,
    _folder: Scratch,
}

#[derive(Clone, Copy, Debug)]
struct Addresses {
    proxy: SocketAddr,
    admin: SocketAddr,
    bare: SocketAddr,
    nginx: SocketAddr,
    upstream: SocketAddr,
}

impl Site {
    /// Starts all of them; somebody is inside, and somebody waits.
    pub(super) async fn start(profile: Profile) -> Result<Self> {
        let folder = Scratch::new("bench")?;
        let ports = (0..5).map(|_| Reserved::new()).collect::<std::io::Result<Vec<_>>>()?;
        let at = |index: usize| ports[index].addr();
        let addresses = Addresses { proxy: at(0), admin: at(1), bare: at(2), nginx: at(3), upstream: at(4) };

        let body = constant()?;
        let upstream = [Location { path: "/", answer: &body, from_file: false }];
        let upstream = reference::start(folder.path(), LOAD_CORE, addresses.upstream, &upstream).await?;
        let bare = pinned(SERVER_CORE, &profile.executable("examples/bare_pingora"))?
            .args([addresses.bare.to_string(), addresses.upstream.to_string()])
            .start()?;
        bare.wait_for_port(addresses.bare, READY_WITHIN).await?;
        let proxy = start_proxy(profile, &folder, &addresses).await?;

        let session = visit::enter(addresses.proxy, "open").await.context("getting a session in the open room")?;
        pause(addresses.admin).await.context("closing the full room")?;
        let ticket = visit::line_up(addresses.proxy, "full").await.context("getting a place in the full room")?;
        let page = http::get(addresses.proxy, "/full", &BROWSER).await?;
        ensure!(page.head.headers.contains_key("content-encoding"), "the waiting page is not compressed");
        let status = http::get(addresses.proxy, "/queue/status?room=full", &[("cookie", &ticket)]).await?;
        let same = [
            Location { path: "= /page", answer: &page, from_file: true },
            Location { path: "= /status", answer: &status, from_file: false },
        ];
        let nginx = reference::start(folder.path(), SERVER_CORE, addresses.nginx, &same).await?;
        for (path, ours) in [("/page", &page), ("/status", &status)] {
            let theirs = http::get(addresses.nginx, path, &BROWSER).await?;
            ensure!(theirs.body == ours.body, "nginx says other bytes at {path} than the proxy");
            ensure!(header_bytes(&theirs).abs_diff(header_bytes(ours)) < 64, "nginx sends other headers at {path}");
        }
        let status_text = std::str::from_utf8(&status.body).context("a status that is no text")?;
        let peers = Peers::start(folder.path(), addresses.upstream, status_text).await?;
        println!("  the waiting page has {} bytes, a status {} bytes", page.body.len(), status.body.len());
        Ok(Self { proxy, bare, nginx, peers, upstream, addresses, session, ticket, _ports: ports, _folder: folder })
    }

    /// Everything that is measured, in this order in each round; `report::RATIOS` names them.
    pub(super) fn variants(&self) -> Vec<Variant> {
        let Addresses { proxy, bare, nginx, .. } = self.addresses;
        let peers = &self.peers;
        let cookie = |text: &str| vec![("Cookie".to_owned(), text.to_owned())];
        let browser: Vec<_> = BROWSER.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (session, ticket, token) = (cookie(&self.session), cookie(&self.ticket), cookie(&peers.cookie));
        let variant = |name, at: (SocketAddr, &str), headers: &[(String, String)], server: &Child, behind| Variant {
            name,
            target: Target { addr: at.0, path: at.1.to_owned(), headers: headers.to_vec() },
            server: server.pid(),
            behind,
        };
        let behind = Some(self.upstream.pid());
        let (lua, haproxy, status) = (peers.nginx_addr, peers.haproxy_addr, "/queue/status?room=full");
        vec![
            variant("forward: waitroom", (proxy, "/open"), &session, &self.proxy, behind),
            variant("forward: bare Pingora", (bare, "/open"), &session, &self.bare, behind),
            variant("forward: nginx plain", (lua, "/plain"), &session, &peers.nginx, behind),
            variant("forward: HAProxy plain", (haproxy, "/open"), &session, &peers.haproxy, behind),
            variant("forward: nginx + Lua HS256", (lua, "/checked"), &token, &peers.nginx, behind),
            variant("page: waitroom", (proxy, "/full"), &browser, &self.proxy, None),
            variant("page: nginx static", (nginx, "/page"), &browser, &self.nginx, None),
            variant("status: waitroom", (proxy, status), &ticket, &self.proxy, None),
            variant("status: nginx + Lua constant", (lua, "/constant"), &ticket, &peers.nginx, None),
            variant("status: nginx + Lua ZRANK", (lua, &peers::zrank_path()), &ticket, &peers.nginx, peers.redis.pid()),
        ]
    }
}

async fn start_proxy(profile: Profile, folder: &Scratch, addresses: &Addresses) -> Result<Child> {
    let Addresses { proxy, admin, upstream, .. } = addresses;
    let room = |name: &str| {
        format!(
            "[[rooms]]\nname = \"{name}\"\npaths = [\"/{name}\"]\nupstreams = [\"{upstream}\"]\nrate_per_s = 1000.0\n\
             max_active = 0\nabandon_after_s = 3600\nsession_ttl_s = 3600\nsession_max_s = 7200\n\n"
        )
    };
    let text = format!(
        "[server]\nlisten = [\"{proxy}\"]\nadmin_listen = \"{admin}\"\n\n[store]\nurl = \"memory://\"\n\n{}{}",
        room("open"),
        room("full")
    );
    let config = folder.path().join("waitroom.toml");
    fs::write(&config, text).with_context(|| format!("writing {}", config.display()))?;
    let child =
        pinned(SERVER_CORE, &profile.executable("waitroom-proxy"))?.args(["run", "--config"]).arg(&config).start()?;
    let ready = async || http::text(*admin, "/readyz").await.is_ok();
    child.wait_until("the proxy to be ready", READY_WITHIN, ready).await?;
    child.wait_for_port(*proxy, READY_WITHIN).await?;
    Ok(child)
}

/// The upstream's answer.
fn constant() -> Result<Answer> {
    let (head, ()) = hyper::Response::builder().header("content-type", "application/json").body(())?.into_parts();
    Ok(Answer { head, body: Bytes::from_static(UPSTREAM_BODY) })
}

async fn pause(admin: SocketAddr) -> Result<()> {
    let answer = http::ask(Method::POST, admin, "/admin/rooms/full/pause", &[("x-waitroom-admin", "1")]).await?;
    ensure!(answer.head.status.is_success(), "pausing: {} {:?}", answer.head.status, answer.body);
    Ok(())
}

/// How much the headers are on the wire.
fn header_bytes(answer: &Answer) -> usize {
    answer.head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len()).sum()
}
