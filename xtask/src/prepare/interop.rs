//! Fetches, below the target folder, what the tests check against: PyJWT, schemathesis, jose and axe-core; nothing is installed globally.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cargo;
use crate::say;

/// Pinned: a test that passed yesterday must not fail for a release of today.
const PYTHON_PACKAGES: [&str; 2] = ["PyJWT[crypto]==2.15.1", "schemathesis==4.32.5"];
const NODE_PACKAGES: [&str; 2] = ["jose@6.2.17", "axe-core@4.14.1"];

/// Where the fetched things are, as variables for the tests.
pub(crate) struct Environment {
    python: PathBuf,
    node_modules: PathBuf,
}

impl Environment {
    /// The variables, name and value.
    pub(crate) fn variables(&self) -> [(&'static str, PathBuf); 3] {
        [
            ("WAITROOM_PYTHON", self.python.clone()),
            ("WAITROOM_NODE_MODULES", self.node_modules.clone()),
            ("WAITROOM_AXE", self.node_modules.join("axe-core/axe.min.js")),
        ]
    }
}

/// Fetches what is not there in the pinned version.
pub(crate) fn fetch() -> Result<Environment> {
    let python = python()?;
    let node_modules = node()?;
    let environment = Environment { python, node_modules };
    for (name, path) in environment.variables() {
        ensure!(path.exists(), "{name}: {} is missing although it was installed", path.display());
    }
    Ok(environment)
}

fn python() -> Result<PathBuf> {
    let venv = cargo::target().join("xtask/venv");
    let python = venv.join("bin/python");
    once(&venv, &PYTHON_PACKAGES.join(" "), || {
        say::step(&format!("fetching {} into {}", PYTHON_PACKAGES.join(" "), venv.display()));
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(PYTHON_PACKAGES))
    })?;
    Ok(python)
}

fn node() -> Result<PathBuf> {
    let folder = cargo::target().join("xtask/npm");
    once(&folder, &NODE_PACKAGES.join(" "), || {
        say::step(&format!("fetching {} into {}", NODE_PACKAGES.join(" "), folder.display()));
        fs::create_dir_all(&folder)?;
        // Without a package of its own npm would install into the one above.
        fs::write(folder.join("package.json"), r#"{"private": true}"#)?;
        let npm = ["install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"];
        run(Command::new("npm").args(npm).args(NODE_PACKAGES).current_dir(&folder))
    })?;
    Ok(folder.join("node_modules"))
}

/// Does `work` in a fresh `folder`, unless it was done there before for the same `version`.
fn once(folder: &Path, version: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let stamp = folder.join(".xtask");
    if fs::read_to_string(&stamp).is_ok_and(|done| done == version) {
        return Ok(());
    }
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    work()?;
    fs::write(&stamp, version).with_context(|| format!("writing {}", stamp.display()))
}

fn run(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}");
    let status = command.status().with_context(|| format!("starting {shown}"))?;
    ensure!(status.success(), "{shown} failed ({status}); is the network there?");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_done_once_for_a_version_and_again_after_a_failure() {
        let folder = testbed::scratch::Scratch::new("once").unwrap();
        let folder = folder.path().join("tool");
        let make = || fs::create_dir_all(&folder).map_err(anyhow::Error::from);
        once(&folder, "1", || make().and(Err(anyhow::anyhow!("no network")))).unwrap_err();
        let mut done = 0;
        for version in ["1", "1", "2"] {
            once(&folder, version, || {
                done += 1;
                make()
            })
            .unwrap();
        }
        assert_eq!(done, 2);
    }
}
