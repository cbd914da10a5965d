//! A headless Chromium with a driver of its own; it keeps no profile and calls nobody.

mod cdp;
mod options;

use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::Value;

pub use fantoccini;
pub use options::Options;

use crate::binaries;
use crate::error::{Error, Result};
use crate::process::{Child, Program};
use crate::scratch::Scratch;

/// The driver is up in 50 ms; a machine that compiles at the same time needs more.
const START_WITHIN: Duration = Duration::from_secs(60);

/// A browser with one session; it gives the methods of a fantoccini [`Client`].
///
/// Dropped, it takes driver, Chromium and profile with it. A session is bound to
/// the runtime on which it was started.
#[derive(Debug)]
pub struct Browser {
    client: Client,
    _driver: Child,
    /// Last, so that the profile is removed after its users are gone.
    profile: Scratch,
}

impl Browser {
    /// Starts one with the default options: English, 1280 × 800, light, script on.
    ///
    /// # Errors
    /// [`Error::Missing`] without Chromium or its driver, [`Error::Browser`] when no session can be opened.
    pub async fn start() -> Result<Self> {
        Self::options().start().await
    }

    /// Options to change before the start.
    #[must_use]
    pub fn options() -> Options {
        Options::default()
    }

    async fn start_with(options: &Options) -> Result<Self> {
        let profile = Scratch::new("browser")?;
        let chromium = launcher(profile.path())?;
        // Left to choose, the driver picks an IPv6 port and then fails when the same IPv4 port is taken.
        let port = crate::ports::free();
        let driver = Program::installed("chromedriver", "chromium-driver")?
            .arg(format!("--port={port}"))
            // Chromium writes crash reports and caches into these, whatever its profile is.
            .env("HOME", profile.path())
            .env("XDG_CONFIG_HOME", profile.path())
            .env("XDG_CACHE_HOME", profile.path())
            .start()?;
        driver.wait_for_line("started successfully on port", START_WITHIN).await?;
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(options.capabilities(&chromium, profile.path()))
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .map_err(|cause| Error::Browser(format!("no session: {cause}\n{}", driver.log())))?;
        let browser = Self { client, _driver: driver, profile };
        options.apply(&browser).await?;
        Ok(browser)
    }

    /// The fantoccini client, to be cloned where an owned one is needed.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The folder of its profile, removed at the end.
    #[must_use]
    pub fn profile(&self) -> &Path {
        self.profile.path()
    }

    /// Sends a command of the DevTools protocol to the current tab, for what WebDriver cannot do.
    ///
    /// # Errors
    /// [`Error::Browser`] with what the browser said.
    pub async fn cdp(&self, method: &str, params: Value) -> Result<Value> {
        let command = cdp::Command { method: method.to_owned(), params };
        self.client.issue_cmd(command).await.map_err(|cause| Error::Browser(format!("{method}: {cause}")))
    }

    /// Ends the session in order; dropping does the same, less politely.
    ///
    /// # Errors
    /// [`Error::Browser`] with what the driver said.
    pub async fn close(self) -> Result<()> {
        self.client.clone().close().await.map_err(|cause| Error::Browser(cause.to_string()))
    }
}

impl Deref for Browser {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

/// A script that starts Chromium so that it dies with its driver: the driver, killed, would leave it behind.
fn launcher(folder: &Path) -> Result<std::path::PathBuf> {
    let chromium = binaries::find("chromium", "chromium")?;
    let setpriv = binaries::find("setpriv", "util-linux")?;
    let path = folder.join("chromium.sh");
    let script =
        format!("#!/bin/sh\nexec '{}' --pdeathsig KILL -- '{}' \"$@\"\n", setpriv.display(), chromium.display());
    let write = || -> io::Result<()> {
        fs::write(&path, script)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
    };
    write().map_err(Error::io("writing the launcher of Chromium"))?;
    Ok(path)
}
