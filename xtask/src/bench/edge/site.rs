//! The servers of the bench: the proxy, a bare Pingora and nginx on one core, what is behind them on the other.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use hyper::Method;
use testbed::ports::Reserved;
use testbed::process::{Child, Program};
use testbed::scratch::Scratch;

use super::super::load::Target;
use super::super::reference::{self, Location, pinned};
use super::super::rounds::{LOAD_CORE, SERVER_CORE, Variant};
use crate::cargo;
use crate::http::{self, Answer};

const READY_WITHIN: Duration = Duration::from_secs(30);

/// A body of a small API answer.
const UPSTREAM_BODY: &[u8] = &[b'x'; 256];

/// What a browser sends for a page.
const BROWSER: [(&str, &str); 2] = [("accept", "text/html"), ("accept-encoding", "gzip")];

/// Running servers. The folder goes last.
#[derive(Debug)]
pub(super) struct Site {
    proxy: Child,
    bare: Child,
    nginx: Child,
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
    pub(super) async fn start() -> Result<Self> {
        let folder = Scratch::new("bench")?;
        let ports = (0..5).map(|_| Reserved::new()).collect::<std::io::Result<Vec<_>>>()?;
        let at = |index: usize| ports[index].addr();
        let addresses = Addresses { proxy: at(0), admin: at(1), bare: at(2), nginx: at(3), upstream: at(4) };

        let body = constant()?;
        let upstream = [Location { path: "/", answer: &body, from_file: false }];
        let upstream = reference::start(folder.path(), LOAD_CORE, addresses.upstream, &upstream).await?;
        let bare = executable("examples/bare_pingora")?
            .args([addresses.bare.to_string(), addresses.upstream.to_string()])
            .start()?;
        bare.wait_for_port(addresses.bare, READY_WITHIN).await?;
        let proxy = start_proxy(&folder, &addresses).await?;

        let session = enter(addresses.proxy).await.context("getting a session in the open room")?;
        pause(addresses.admin).await.context("closing the full room")?;
        let ticket = line_up(addresses.proxy).await.context("getting a place in the full room")?;
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
        println!("  the waiting page has {} bytes, a status {} bytes", page.body.len(), status.body.len());
        Ok(Self { proxy, bare, nginx, upstream, addresses, session, ticket, _ports: ports, _folder: folder })
    }

    /// Ours and its reference, three times, in the order in which they are measured.
    pub(super) fn variants(&self) -> Vec<Variant> {
        let Addresses { proxy, bare, nginx, .. } = self.addresses;
        let owned = |headers: &[(&str, &str)]| -> Vec<(String, String)> {
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let variant =
            |name, addr, path: &str, headers: &[(&str, &str)], server: &Child, behind: Option<&Child>| Variant {
                name,
                target: Target { addr, path: path.to_owned(), headers: owned(headers) },
                server: server.pid(),
                behind: behind.map(Child::pid),
            };
        let (session, ticket) = ([("Cookie", self.session.as_str())], [("Cookie", self.ticket.as_str())]);
        let behind = Some(&self.upstream);
        vec![
            variant("forward: waitroom", proxy, "/open", &session, &self.proxy, behind),
            variant("forward: bare Pingora", bare, "/open", &session, &self.bare, behind),
            variant("page: waitroom", proxy, "/full", &BROWSER, &self.proxy, None),
            variant("page: nginx static", nginx, "/page", &BROWSER, &self.nginx, None),
            variant("status: waitroom", proxy, "/queue/status?room=full", &ticket, &self.proxy, None),
            variant("status: nginx constant", nginx, "/status", &ticket, &self.nginx, None),
        ]
    }
}

fn executable(name: &str) -> Result<Program> {
    pinned(SERVER_CORE, &cargo::executable("dist", name).to_string_lossy())
}

async fn start_proxy(folder: &Scratch, addresses: &Addresses) -> Result<Child> {
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
    let child = executable("waitroom-proxy")?.args(["run", "--config"]).arg(&config).start()?;
    let ready = async || http::text(*admin, "/readyz").await.is_ok();
    child.wait_until("the proxy to be ready", READY_WITHIN, ready).await?;
    Ok(child)
}

/// The upstream's answer.
fn constant() -> Result<Answer> {
    let (head, ()) = hyper::Response::builder().header("content-type", "application/json").body(())?.into_parts();
    Ok(Answer { head, body: Bytes::from_static(UPSTREAM_BODY) })
}

/// Goes in while nobody waits, and comes back once with the token, so that the session is no longer provisional.
async fn enter(proxy: SocketAddr) -> Result<String> {
    let first = http::get(proxy, "/open", &BROWSER).await?;
    ensure!(first.head.status == 200 && first.body == UPSTREAM_BODY, "not let in: {}", first.head.status);
    let cookies = cookies(&first);
    ensure!(cookies.contains("wr_token_open="), "no token among the cookies: {cookies}");
    let second = http::get(proxy, "/open", &[("cookie", &cookies)]).await?;
    ensure!(second.body == UPSTREAM_BODY, "the session does not hold: {}", second.head.status);
    // The first cookie is good for 15 s only, and each request with it would be told of the renewal.
    let whole = self::cookies(&second);
    ensure!(whole.contains("wr_token_open="), "no renewed token among the cookies: {whole}");
    Ok(whole)
}

async fn pause(admin: SocketAddr) -> Result<()> {
    let answer = http::ask(Method::POST, admin, "/admin/rooms/full/pause", &[("x-waitroom-admin", "1")]).await?;
    ensure!(answer.head.status.is_success(), "pausing: {} {:?}", answer.head.status, answer.body);
    Ok(())
}

/// Takes a place: the page gives a pre-ticket, the first poll with it joins, and one more sees the position.
async fn line_up(proxy: SocketAddr) -> Result<String> {
    let page = http::get(proxy, "/full", &BROWSER).await?;
    let pre_ticket = cookies(&page);
    let path = "/queue/status?room=full";
    let joined = http::get(proxy, path, &[("cookie", &pre_ticket)]).await?;
    let ticket = cookies(&joined);
    ensure!(!ticket.is_empty(), "joining gave no ticket: {} {:?}", joined.head.status, joined.body);
    testbed::wait::until("a position in the line", READY_WITHIN, async || {
        let answer = http::get(proxy, path, &[("cookie", &ticket)]).await;
        answer.is_ok_and(|answer| String::from_utf8_lossy(&answer.body).contains("\"position\""))
    })
    .await?;
    Ok(ticket)
}

/// How much the headers are on the wire.
fn header_bytes(answer: &Answer) -> usize {
    answer.head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len()).sum()
}

/// What a browser would send back.
fn cookies(answer: &Answer) -> String {
    let set = answer.head.headers.get_all("set-cookie").iter().filter_map(|value| value.to_str().ok());
    set.filter_map(|cookie| cookie.split(';').next()).collect::<Vec<_>>().join("; ")
}
