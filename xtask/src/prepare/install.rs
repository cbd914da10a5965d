//! Installs Debian packages and Rust components; what it runs as root is in `install.sh`.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::needs::find;
use crate::cargo;
use crate::say;

/// Runs as root, with the packages as its arguments.
const SCRIPT: &str = include_str!("install.sh");

/// Installs Debian packages.
pub(crate) fn packages(packages: &[&str]) -> Result<()> {
    let list = packages.join(" ");
    let by_hand = format!("apt-get update && apt-get install -y --no-install-recommends {list}");
    ensure!(find("apt-get").is_some(), "this is no Debian or Ubuntu: install by hand what those call {list}");
    refuse_snap(packages)?;
    let mut command = if is_root()? {
        Command::new("sh")
    } else if find("sudo").is_some() {
        let mut sudo = Command::new("sudo");
        sudo.arg("sh");
        sudo
    } else {
        bail!("installing needs root, and there is no sudo here; as root, run:\n  {by_hand}");
    };
    say::step(&format!("installing: {by_hand} (no service is started)"));
    let status = command.args(["-c", SCRIPT, "install"]).args(packages).stdin(Stdio::inherit()).status();
    let status = status.context("starting the installation")?;
    ensure!(status.success(), "the installation failed ({status}); as root, try:\n  {by_hand}");
    Ok(())
}

/// Installs rustfmt and clippy where they are missing.
pub(crate) fn rust_components() -> Result<()> {
    let works = |tool: &str| {
        let mut command = cargo::command([tool, "--version"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let components = [("fmt", "rustfmt"), ("clippy", "clippy")];
    let missing: Vec<&str> = components.iter().filter(|(tool, _)| !works(tool)).map(|(_, name)| *name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    ensure!(find("rustup").is_some(), "missing here: {list}; install them the way that Rust was installed");
    say::step(&format!("installing: rustup component add {list}"));
    let status = Command::new("rustup").args(["component", "add"]).args(&missing).current_dir(cargo::root()).status();
    ensure!(status.context("starting rustup")?.success(), "`rustup component add {list}` failed");
    Ok(())
}

/// Ubuntu's package of Chromium only points to a snap, which neither containers nor CI have.
fn refuse_snap(packages: &[&str]) -> Result<()> {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let ubuntu = release.lines().any(|line| line == "ID=ubuntu");
    if ubuntu && packages.contains(&"chromium") {
        bail!(
            "Ubuntu has Chromium only as a snap: install it with `snap install chromium`, or put `chromium` and \
             `chromedriver` of another source on PATH, and run this again"
        );
    }
    Ok(())
}

fn is_root() -> Result<bool> {
    let me = Path::new("/proc/self").metadata().context("reading /proc/self")?;
    Ok(me.uid() == 0)
}
