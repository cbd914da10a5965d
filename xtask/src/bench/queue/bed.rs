//! What a part runs on: a private Redis, proxies as they are shipped, an upstream; all gone when it is dropped.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use serde_json::Value;
use testbed::ports::Reserved;
use testbed::process::{Child, Program};
use testbed::redis::PrivateRedis;
use testbed::scratch::Scratch;

use super::super::Profile;
use super::super::reference::{self, Location};
use super::super::resp::Asker;
use super::super::rounds::{LOAD_CORE, SERVER_CORE};
use crate::http::{self, Answer};

/// The cores that a part may use; on a larger machine the others stay out of it.
pub(super) const BOTH: [usize; 2] = [SERVER_CORE, LOAD_CORE];

/// The room with a line that nobody leaves by a turn, and the one that is open.
pub(super) const FULL: &str = "full";
pub(super) const OPEN: &str = "open";

/// Files that one process may open: as many connections as a part holds, and some more.
const FILES: u64 = 16_384;

const READY_WITHIN: Duration = Duration::from_secs(60);

/// No program of a part runs longer.
const DONE_WITHIN: Duration = Duration::from_secs(180);

/// A proxy.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) child: Child,
    pub(super) visitors: SocketAddr,
    _ports: [Reserved; 2],
}

/// Redis, an upstream, and proxies when they are wanted.
#[derive(Debug)]
pub(super) struct Bed {
    profile: Profile,
    pub(super) nodes: Vec<Node>,
    _upstream: Child,
    pub(super) upstream_addr: SocketAddr,
    pub(super) redis: PrivateRedis,
    _port: Reserved,
    folder: Scratch,
}

impl Bed {
    /// A Redis and an upstream; no proxy yet.
    pub(super) async fn start(profile: Profile) -> Result<Self> {
        let folder = Scratch::new("bench-queue")?;
        let redis = PrivateRedis::start().await?;
        pin(redis.pid().context("redis has gone")?).await?;
        let port = Reserved::new()?;
        let (head, ()) = hyper::Response::builder().header("content-type", "application/json").body(())?.into_parts();
        let answer = Answer { head, body: Bytes::from_static(&[b'x'; 256]) };
        let location = [Location { path: "/", answer: &answer, from_file: false }];
        let upstream = reference::start(folder.path(), LOAD_CORE, port.addr(), &location).await?;
        let upstream_addr = port.addr();
        Ok(Self { profile, nodes: Vec::new(), _upstream: upstream, upstream_addr, redis, _port: port, folder })
    }

    /// Adds a proxy that lets `rate_per_s` into the room `full`, and everybody into `open`.
    pub(super) async fn add_node(&mut self, cores: &[usize], rate_per_s: f64) -> Result<&Node> {
        let ports = [Reserved::new()?, Reserved::new()?];
        let (visitors, admin) = (ports[0].addr(), ports[1].addr());
        let config = self.folder.path().join(format!("waitroom-{}.toml", visitors.port()));
        let text = config_text(visitors, admin, &self.redis.url(), self.upstream_addr, rate_per_s);
        fs::write(&config, text).with_context(|| format!("writing {}", config.display()))?;
        let program = on_cores(cores, &self.profile.executable("waitroom-proxy"))?;
        let child = program.named("waitroom-proxy").args(["run", "--config"]).arg(&config).start()?;
        let ready = async || http::text(admin, "/readyz").await.is_ok();
        child.wait_until("the proxy to be ready", READY_WITHIN, ready).await?;
        child.wait_for_port(visitors, READY_WITHIN).await?;
        self.nodes.push(Node { child, visitors, _ports: ports });
        self.nodes.last().context("no node")
    }

    /// Ends the proxies.
    pub(super) fn without_nodes(&mut self) {
        self.nodes.clear();
    }

    /// The first proxy.
    pub(super) fn node(&self) -> Result<&Node> {
        self.nodes.first().context("no proxy was started")
    }

    /// A connection to Redis.
    pub(super) async fn ask(&self) -> Result<Asker> {
        Asker::connect(self.redis.addr()).await
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Puts so many in line, in batches as large as a busy proxy makes them.
    pub(super) async fn fill(&self, room: &str, visitors: u64, batch: u64) -> Result<Value> {
        let (visitors, batch) = (visitors.to_string(), batch.to_string());
        self.store(&["join", &self.redis.url(), room, &visitors, &batch]).await
    }

    /// Runs `queue_store`.
    pub(super) async fn store(&self, args: &[&str]) -> Result<Value> {
        to_its_end(on_cores(&BOTH, &self.profile.executable("examples/queue_store"))?.named("queue_store").args(args))
            .await
    }

    /// Runs `rush`.
    pub(super) async fn rush(&self, cores: &[usize], args: &[&str]) -> Result<Value> {
        to_its_end(on_cores(cores, &self.profile.executable("examples/rush"))?.named("rush").args(args)).await
    }
}

/// A program on some cores, that may open many files.
pub(super) fn on_cores(cores: &[usize], path: &str) -> Result<Program> {
    let cores: Vec<String> = cores.iter().map(ToString::to_string).collect();
    let hard = hard_limit(&fs::read_to_string("/proc/self/limits").context("reading /proc/self/limits")?);
    ensure!(
        hard.is_none_or(|hard| hard >= FILES),
        "a process may open {} files here, and the bench needs {FILES}: raise the limit (`ulimit -Hn`), as root",
        hard.unwrap_or_default()
    );
    let prlimit = Program::installed("prlimit", "util-linux")?;
    Ok(prlimit.arg(format!("--nofile={FILES}:")).args(["taskset", "-c", &cores.join(","), path]))
}

/// `None`: no limit.
fn hard_limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

async fn pin(pid: u32) -> Result<()> {
    let cores = BOTH.map(|core| core.to_string()).join(",");
    let taskset = Program::installed("taskset", "util-linux")?.args(["-acp", &cores, &pid.to_string()]);
    let output = taskset.output(READY_WITHIN).await?;
    ensure!(output.status.success(), "taskset: {}{}; a benchmark needs two cores", output.stdout, output.stderr);
    Ok(())
}

/// The JSON that a program prints as its last line.
async fn to_its_end(program: Program) -> Result<Value> {
    let output = program.output(DONE_WITHIN).await?;
    if !output.status.success() {
        bail!("{}: {}{}", output.status, output.stdout, output.stderr);
    }
    let last = output.stdout.lines().last().unwrap_or_default();
    serde_json::from_str(last).with_context(|| format!("not understood: {last}"))
}

/// Memory that a process has now, in bytes.
pub(super) fn resident(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).with_context(|| format!("process {pid} is gone"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse().context("VmRSS is no number")?;
    Ok(kib * 1024.0)
}

fn config_text(visitors: SocketAddr, admin: SocketAddr, redis: &str, upstream: SocketAddr, rate: f64) -> String {
    let room = |name: &str, rate: f64| {
        format!(
            "[[rooms]]\nname = \"{name}\"\npaths = [\"/{name}\"]\nupstreams = [\"{upstream}\"]\nrate_per_s = {rate:?}\n\
             max_active = 0\nabandon_after_s = 3600\nsession_ttl_s = 3600\nsession_max_s = 7200\n\
             sse_max_streams = 10000\n\n"
        )
    };
    format!(
        "[server]\nlisten = [\"{visitors}\"]\nadmin_listen = \"{admin}\"\nmax_connections = 15000\n\n\
         [store]\nurl = \"{redis}\"\n\n{}{}",
        room(FULL, rate),
        room(OPEN, 20_000.0)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_files_is_read() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max open files            1024                 20000                files\n";
        assert_eq!(hard_limit(limits), Some(20_000));
        assert_eq!(hard_limit(&limits.replace("20000", "unlimited")), None);
    }

    #[test]
    fn the_memory_of_this_process_is_known() {
        assert!(resident(std::process::id()).unwrap() > 1_000_000.0);
    }
}
