//! The browser: what it asks for, what it shows, and that it is gone afterwards.

#![expect(clippy::unwrap_used, reason = "a helper of tests may panic as they do")]

use std::fs;
use std::time::Duration;

use testbed::browser::Browser;
use testbed::browser::fantoccini::Locator;
use testbed::origin::{Origin, Script};
use testbed::process::{Program, Signal};
use testbed::wait;

const LONG: Duration = Duration::from_secs(60);

const PAGE: &str = "<!doctype html><title>t</title><p id=p>plain</p><script>p.textContent='scripted'</script>";

async fn origin() -> Origin {
    let origin = Origin::start().await.unwrap();
    origin.script("/", Script::new().header("content-type", "text/html").body(PAGE));
    origin
}

async fn paragraph(browser: &Browser, origin: &Origin) -> String {
    browser.goto(&origin.url()).await.unwrap();
    browser.find(Locator::Id("p")).await.unwrap().text().await.unwrap()
}

#[tokio::test]
async fn script_runs_or_not_as_told() {
    let origin = origin().await;
    let browser = Browser::start().await.unwrap();
    assert_eq!(paragraph(&browser, &origin).await, "scripted");
    browser.close().await.unwrap();
    let browser = Browser::options().without_script().start().await.unwrap();
    assert_eq!(paragraph(&browser, &origin).await, "plain");
}

#[tokio::test]
async fn language_size_colours_and_motion_are_as_told() {
    let origin = origin().await;
    let options = Browser::options().languages("ko,en").size(360, 640).dark().reduced_motion();
    let browser = options.start().await.unwrap();
    browser.goto(&origin.url()).await.unwrap();
    let script = "return [innerWidth, matchMedia('(prefers-color-scheme: dark)').matches, \
                  matchMedia('(prefers-reduced-motion: reduce)').matches]";
    let seen = browser.execute(script, Vec::new()).await.unwrap();
    assert_eq!(seen, serde_json::json!([360, true, true]));
    let requests = origin.requests();
    assert!(requests[0].header("accept-language").unwrap().starts_with("ko"), "{requests:?}");
}

/// Pids of all processes whose command line contains `text`.
fn processes(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&command).contains(text) {
            found.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    found
}

#[tokio::test]
async fn a_dropped_browser_leaves_no_process() {
    let browser = Browser::start().await.unwrap();
    let profile = browser.profile().display().to_string();
    assert!(!processes(&profile).is_empty());
    drop(browser);
    wait::until("the end of Chromium", LONG, async || processes(&profile).is_empty()).await.unwrap();
}

/// The variable that turns [`parent_of_a_browser`] from a no-op into a parent that waits to be killed.
const PARENT: &str = "TESTBED_PARENT_OF_A_BROWSER";

#[tokio::test]
async fn parent_of_a_browser() {
    if std::env::var_os(PARENT).is_none() {
        return;
    }
    let browser = Browser::start().await.unwrap();
    println!("profile:{}", browser.profile().display());
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn no_browser_outlives_a_parent_that_is_killed() {
    let parent = Program::new(std::env::current_exe().unwrap())
        .args(["--exact", "parent_of_a_browser", "--nocapture", "--test-threads=1"])
        .env(PARENT, "1")
        .start()
        .unwrap();
    let line = parent.wait_for_line("profile:", LONG).await.unwrap();
    let (_, profile) = line.split_once("profile:").unwrap();
    assert!(!processes(profile).is_empty());
    parent.signal(Signal::Kill).unwrap();
    wait::until("the end of Chromium", LONG, async || processes(profile).is_empty()).await.unwrap();
}
