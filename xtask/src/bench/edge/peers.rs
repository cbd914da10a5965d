//! What else people put in front of a site: nginx and HAProxy as plain proxies, and nginx with Lua that checks tokens
//! and tells positions. All on the core of the server under test; the Redis of the latter is on the other.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testbed::ports::Reserved;
use testbed::process::{Child, Program};
use testbed::redis::PrivateRedis;

use super::super::reference::pinned;
use super::super::resp::Asker;
use super::super::rounds::{LOAD_CORE, SERVER_CORE};
use crate::http;

const STARTED_WITHIN: Duration = Duration::from_secs(20);

/// Where Debian and Ubuntu keep the modules of nginx.
const MODULES: &str = "/usr/lib/nginx/modules";

/// How many stand in the line that `ZRANK` looks at, and how many a script puts there at once.
const IN_LINE: u64 = 1_000_000;
const A_CALL: u64 = 50_000;

const NGINX: &str = include_str!("peers/nginx.conf");
const HAPROXY: &str = include_str!("peers/haproxy.cfg");
const LUA: [(&str, &str); 2] =
    [("token.lua", include_str!("peers/token.lua")), ("position.lua", include_str!("peers/position.lua"))];

/// The running peers.
#[derive(Debug)]
pub(super) struct Peers {
    pub(super) nginx: Child,
    pub(super) haproxy: Child,
    pub(super) nginx_addr: SocketAddr,
    pub(super) haproxy_addr: SocketAddr,
    /// A cookie that the check in Lua accepts.
    pub(super) cookie: String,
    pub(super) redis: PrivateRedis,
    _ports: [Reserved; 2],
}

impl Peers {
    /// Starts them in front of `upstream`; `status` is what the constant says.
    pub(super) async fn start(folder: &Path, upstream: SocketAddr, status: &str) -> Result<Self> {
        let ports = [Reserved::new()?, Reserved::new()?];
        let (nginx_addr, haproxy_addr) = (ports[0].addr(), ports[1].addr());
        let redis = PrivateRedis::start().await?;
        pin(redis.pid().context("redis has gone")?).await?;
        fill(redis.addr()).await.context("filling the line for ZRANK")?;

        let folder = folder.join("peers");
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        for (name, text) in LUA {
            fs::write(folder.join(name), text).with_context(|| format!("writing {name}"))?;
        }
        let nginx = NGINX
            .replace("@MODULES@", MODULES)
            .replace("@FOLDER@", &folder.to_string_lossy())
            .replace("@UPSTREAM@", &upstream.to_string())
            .replace("@LISTEN@", &nginx_addr.to_string())
            .replace("@STATUS@", &lua_string(status)?)
            .replace("@REDIS_HOST@", &redis.addr().ip().to_string())
            .replace("@REDIS_PORT@", &redis.addr().port().to_string());
        let haproxy =
            HAPROXY.replace("@LISTEN@", &haproxy_addr.to_string()).replace("@UPSTREAM@", &upstream.to_string());
        let (nginx_conf, haproxy_cfg) = (folder.join("nginx.conf"), folder.join("haproxy.cfg"));
        fs::write(&nginx_conf, nginx).context("writing nginx.conf")?;
        fs::write(&haproxy_cfg, haproxy).context("writing haproxy.cfg")?;

        let nginx =
            pinned(SERVER_CORE, "nginx")?.args(["-e", "stderr"]).arg("-p").arg(&folder).arg("-c").arg(&nginx_conf);
        let nginx = nginx.start()?;
        let haproxy = pinned(SERVER_CORE, "haproxy")?.args(["-db", "-f"]).arg(&haproxy_cfg).start()?;
        nginx.wait_for_port(nginx_addr, STARTED_WITHIN).await?;
        haproxy.wait_for_port(haproxy_addr, STARTED_WITHIN).await?;
        let cookie = format!("token={}", http::text(nginx_addr, "/token").await?.trim());
        let peers = Self { nginx, haproxy, nginx_addr, haproxy_addr, cookie, redis, _ports: ports };
        peers.prove(status).await?;
        Ok(peers)
    }

    /// That each does what it is measured for.
    async fn prove(&self, status: &str) -> Result<()> {
        let plain = http::text(self.nginx_addr, "/plain").await?;
        ensure!(http::text(self.haproxy_addr, "/plain").await? == plain, "HAProxy says something else than nginx");
        let cookie = [("cookie", self.cookie.as_str())];
        let checked = http::get(self.nginx_addr, "/checked", &cookie).await?;
        ensure!(checked.head.status == 200 && checked.body == plain, "the check in Lua refuses its own token");
        let forged = [("cookie", &*format!("{}x", self.cookie))];
        let refused = http::get(self.nginx_addr, "/checked", &forged).await?;
        ensure!(refused.head.status == 401, "the check in Lua lets a forged token pass: {}", refused.head.status);
        ensure!(http::text(self.nginx_addr, "/constant").await? == status, "the constant in Lua is another");
        let told = http::json(self.nginx_addr, &zrank_path()).await?;
        ensure!(told["position"] == IN_LINE / 2, "ZRANK tells {told}");
        Ok(())
    }
}

/// Asks for the position of the one in the middle.
pub(super) fn zrank_path() -> String {
    format!("/zrank?visitor=visitor:{}", IN_LINE / 2)
}

async fn pin(pid: u32) -> Result<()> {
    let taskset = Program::installed("taskset", "util-linux")?;
    let output = taskset.args(["-acp", &LOAD_CORE.to_string(), &pid.to_string()]).output(STARTED_WITHIN).await?;
    ensure!(output.status.success(), "taskset: {}{}", output.stdout, output.stderr);
    Ok(())
}

async fn fill(redis: SocketAddr) -> Result<()> {
    let mut redis = Asker::connect(redis).await?;
    let script = "for i = tonumber(ARGV[1]), tonumber(ARGV[2]) do redis.call('ZADD', KEYS[1], i, 'visitor:' .. i) end";
    for first in (1..=IN_LINE).step_by(usize::try_from(A_CALL)?) {
        let last = (first + A_CALL - 1).min(IN_LINE);
        redis.ask(&["EVAL", script, "1", "line", &first.to_string(), &last.to_string()]).await?;
    }
    Ok(())
}

/// A string of Lua, inside a block of nginx's config.
fn lua_string(text: &str) -> Result<String> {
    ensure!(!text.contains("]==]") && !text.contains('@'), "this does not fit into a string of Lua: {text}");
    Ok(format!("[==[{text}]==]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_of_lua_is_quoted_or_refused() {
        assert_eq!(lua_string(r#"{"a":1}"#).unwrap(), r#"[==[{"a":1}]==]"#);
        assert!(lua_string("]==] os.exit()").is_err());
    }
}
