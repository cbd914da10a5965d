//! What each command needs from the system, and which Debian packages bring it; it only looks.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Purpose;

/// One thing that has to be there.
pub(crate) struct Need {
    /// What is looked for, in a word.
    pub(crate) what: &'static str,
    /// What it is for.
    pub(crate) why: &'static str,
    /// The Debian packages that bring it.
    pub(crate) packages: &'static [&'static str],
    found: fn() -> bool,
    by: &'static [Purpose],
}

use Purpose::{Bench, Demo, Test};

static NEEDS: [Need; 17] = [
    need("cc", "compiles C inside crates", &["gcc", "libc6-dev"], &[Demo, Test, Bench], || on_path("cc")),
    need("c++", "compiles C++ inside crates", &["g++"], &[Demo, Test, Bench], || on_path("c++")),
    need("make", "builds C inside crates", &["make"], &[Demo, Test, Bench], || on_path("make")),
    need("cmake", "builds zlib-ng for Pingora", &["cmake"], &[Demo, Test, Bench], || on_path("cmake")),
    need("postgres", "a private database", &["postgresql"], &[Demo, Test, Bench], postgres),
    need("redis-server", "a private store", &["redis-server"], &[Demo, Test, Bench], || on_path("redis-server")),
    need("libfaketime", "a proxy whose clock is wrong", &["libfaketime"], &[Test], faketime),
    need("chromium", "the browser tests", &["chromium"], &[Test], || on_path("chromium")),
    need("chromedriver", "the browser tests", &["chromium-driver"], &[Test], || on_path("chromedriver")),
    need("python3 with venv", "PyJWT checks our tokens", &["python3", "python3-venv"], &[Test], python),
    need("node", "jose checks our tokens", &["nodejs"], &[Test], || on_path("node")),
    need("npm", "fetches jose and axe-core", &["npm"], &[Test], || on_path("npm")),
    need("nginx", "the reference of the benchmarks", &["nginx-light"], &[Bench], || on_path("nginx")),
    need("nginx with Lua", "a reference of the benchmarks", &["libnginx-mod-http-lua"], &[Bench], nginx_lua),
    need("cjson for Lua", "a reference of the benchmarks", &["lua-cjson"], &[Bench], cjson),
    need("haproxy", "a reference of the benchmarks", &["haproxy"], &[Bench], || on_path("haproxy")),
    need("wrk", "the load of the benchmarks", &["wrk"], &[Bench], || on_path("wrk")),
];

const fn need(
    what: &'static str,
    why: &'static str,
    packages: &'static [&'static str],
    by: &'static [Purpose],
    found: fn() -> bool,
) -> Need {
    Need { what, why, packages, found, by }
}

/// What `purpose` needs and the system has not.
pub(crate) fn missing(purpose: Purpose) -> Vec<&'static Need> {
    NEEDS.iter().filter(|need| need.by.contains(&purpose) && !(need.found)()).collect()
}

/// Where a program is: on `PATH`, or in the folders that a short `PATH` leaves out.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/bin", "/usr/bin", "/usr/sbin", "/bin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(system).map(|folder| folder.join(program)).find(|candidate| candidate.is_file())
}

fn on_path(program: &str) -> bool {
    find(program).is_some()
}

/// Debian keeps the server outside of `PATH`, one folder a version.
fn postgres() -> bool {
    let versions = fs::read_dir(Path::new("/usr/lib/postgresql")).into_iter().flatten().flatten();
    versions.map(|version| version.path().join("bin/postgres")).any(|server| server.is_file()) || on_path("postgres")
}

/// Where packages put modules of nginx, on Debian and Ubuntu alike.
fn nginx_lua() -> bool {
    Path::new("/usr/lib/nginx/modules/ngx_http_lua_module.so").is_file()
}

/// Libraries are in a folder named after the machine's architecture.
fn cjson() -> bool {
    let architectures = fs::read_dir(Path::new("/usr/lib")).into_iter().flatten().flatten();
    architectures.map(|folder| folder.path().join("lua/5.1/cjson.so")).any(|library| library.is_file())
}

/// A library to be put in front of others, in the folder of the machine's architecture.
fn faketime() -> bool {
    let folders = fs::read_dir(Path::new("/usr/lib")).into_iter().flatten().flatten();
    folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1")).any(|library| library.is_file())
}

/// Debian's python3 has no `ensurepip` without the package python3-venv.
fn python() -> bool {
    let mut python = Command::new("python3");
    python.args(["-c", "import venv, ensurepip"]).stdout(Stdio::null()).stderr(Stdio::null());
    python.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_need_names_a_package_and_is_needed_by_something() {
        assert!(NEEDS.iter().all(|need| !need.packages.is_empty() && !need.by.is_empty()));
    }

    #[test]
    fn the_demo_needs_no_browser_and_no_bench_tools() {
        let asked: Vec<&str> = NEEDS.iter().filter(|need| need.by.contains(&Demo)).map(|need| need.what).collect();
        assert_eq!(asked, ["cc", "c++", "make", "cmake", "postgres", "redis-server"]);
    }
}
