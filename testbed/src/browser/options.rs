//! How a browser is to look at the world: language, size, colours, script.

use std::path::Path;

use fantoccini::wd::Capabilities;
use serde_json::json;

use super::Browser;
use crate::error::Result;

/// What keeps Chromium from calling home, asking questions or needing a sandbox that root cannot have.
const FLAGS: [&str; 12] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--disable-sync",
    "--disable-default-apps",
    "--metrics-recording-only",
    "--no-first-run",
    "--no-pings",
];

/// Chromium's value of a content setting that is blocked.
const BLOCKED: u8 = 2;

/// Options of a browser.
#[derive(Clone, Debug)]
pub struct Options {
    script: bool,
    languages: String,
    size: (u32, u32),
    dark: bool,
    reduced_motion: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { script: true, languages: "en".to_owned(), size: (1280, 800), dark: false, reduced_motion: false }
    }
}

impl Options {
    /// Turns script off in all pages.
    #[must_use]
    pub fn without_script(mut self) -> Self {
        self.script = false;
        self
    }

    /// What `Accept-Language` is made of, most wanted first: `"ko,en"`.
    #[must_use]
    pub fn languages(mut self, languages: impl Into<String>) -> Self {
        self.languages = languages.into();
        self
    }

    /// The window's size in CSS pixels.
    #[must_use]
    pub fn size(mut self, width: u32, height: u32) -> Self {
        self.size = (width, height);
        self
    }

    /// Prefers dark colours.
    #[must_use]
    pub fn dark(mut self) -> Self {
        self.dark = true;
        self
    }

    /// Prefers reduced motion.
    #[must_use]
    pub fn reduced_motion(mut self) -> Self {
        self.reduced_motion = true;
        self
    }

    /// Starts the browser.
    ///
    /// # Errors
    /// As [`Browser::start`].
    pub async fn start(self) -> Result<Browser> {
        Browser::start_with(&self).await
    }

    /// What the driver is asked for.
    pub(super) fn capabilities(&self, chromium: &Path, profile: &Path) -> Capabilities {
        let (width, height) = self.size;
        let mut args: Vec<String> = FLAGS.iter().map(|&flag| flag.to_owned()).collect();
        args.push(format!("--user-data-dir={}", profile.join("profile").display()));
        args.push(format!("--window-size={width},{height}"));
        args.push(format!("--lang={}", self.languages.split(',').next().unwrap_or("en")));
        let mut prefs = json!({ "intl.accept_languages": self.languages });
        if !self.script {
            prefs["profile.managed_default_content_settings.javascript"] = json!(BLOCKED);
        }
        let mut capabilities = Capabilities::new();
        let chrome = json!({ "binary": chromium, "args": args, "prefs": prefs });
        capabilities.insert("goog:chromeOptions".to_owned(), chrome);
        capabilities
    }

    /// What has to be set in a running browser. It holds for the first tab.
    pub(super) async fn apply(&self, browser: &Browser) -> Result<()> {
        let (width, height) = self.size;
        // Headless windows have a least width of 500: phones need the emulation.
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        browser.cdp("Emulation.setDeviceMetricsOverride", metrics).await?;
        let scheme = if self.dark { "dark" } else { "light" };
        let motion = if self.reduced_motion { "reduce" } else { "no-preference" };
        let features = json!([
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": motion },
        ]);
        browser.cdp("Emulation.setEmulatedMedia", json!({ "features": features })).await?;
        Ok(())
    }
}
