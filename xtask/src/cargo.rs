//! Runs cargo on this workspace and finds what it has built.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |folder| root().join(folder))
}

/// The cargo that runs this xtask.
pub(crate) fn program() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// A cargo command in the root of the workspace.
pub(crate) fn command<A: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(program());
    command.args(args).current_dir(root());
    // `cargo run` tells us of our own package; build scripts that watch these variables (ring's does) would
    // take it for a change, and everything above them would be built again.
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(of_our_package) {
            command.env_remove(name);
        }
    }
    command
}

fn of_our_package(variable: &str) -> bool {
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"]
        .iter()
        .any(|own| variable.starts_with(own))
}

/// Runs cargo with its output going where ours goes.
pub(crate) fn run(args: &[&str]) -> Result<()> {
    let shown = args.join(" ");
    let status = command(args).status().with_context(|| format!("starting `cargo {shown}`"))?;
    ensure!(status.success(), "`cargo {shown}` failed ({status})");
    Ok(())
}

/// The executable `name` of a profile's folder (`debug`, `release`, `dist`).
pub(crate) fn executable(profile_folder: &str, name: &str) -> PathBuf {
    target().join(profile_folder).join(name)
}
