//! An accessibility scan with axe-core: every view, light and dark, on phone and desktop.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use testbed::browser::{Browser, Options};
use testbed::gateway::Gateway;
use testbed::process::Program;
use tokio::sync::OnceCell;

use crate::site::Site;

/// The same for everybody, so that a new rule does not turn an old commit red.
const AXE: &str = "axe-core@4.14.1";

/// A download of half a megabyte.
const FETCHED_WITHIN: Duration = Duration::from_secs(120);

/// The source of axe-core: from `WAITROOM_AXE`, else fetched into the build folder once.
async fn axe() -> &'static str {
    static SOURCE: OnceCell<String> = OnceCell::const_new();
    SOURCE.get_or_init(read_axe).await
}

async fn read_axe() -> String {
    let file = match std::env::var_os("WAITROOM_AXE") {
        Some(file) => PathBuf::from(file),
        None => {
            let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/npm");
            let file = folder.join("node_modules/axe-core/axe.min.js");
            if !file.exists() {
                std::fs::create_dir_all(&folder).unwrap();
                let npm = Program::installed("npm", "npm").unwrap();
                let npm = npm.args(["install", "--no-save", "--no-audit", "--no-fund", AXE]);
                let output = npm.arg("--prefix").arg(&folder).output(FETCHED_WITHIN).await.unwrap();
                assert!(file.exists(), "npm did not install axe-core: {output:?}");
            }
            file
        }
    };
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Everything axe-core finds, as `rule: elements`.
async fn findings(site: &Site) -> Vec<String> {
    let script = format!(
        "const done = arguments[arguments.length - 1];\n{}\n\
         axe.run(document, {{ resultTypes: ['violations'], rules: {{ 'target-size': {{ enabled: true }} }} }})\
         .then((found) => done(found.violations), (error) => done([{{ id: String(error), nodes: [] }}]));",
        axe().await
    );
    let found = site.browser.execute_async(&script, Vec::new()).await.unwrap();
    let nodes = |violation: &Value| {
        let nodes = violation["nodes"].as_array().into_iter().flatten();
        nodes
            .take(3)
            .map(|node| format!("{} ({})", node["html"], node["failureSummary"]))
            .collect::<Vec<_>>()
            .join("; ")
    };
    found.as_array().unwrap().iter().map(|violation| format!("{}: {}", violation["id"], nodes(violation))).collect()
}

async fn assert_accessible(site: &Site, view: &str) {
    assert_eq!(findings(site).await, Vec::<String>::new(), "{view}");
    let wider = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
    assert_eq!(site.ask(wider).await, 0, "{view} does not scroll sideways");
}

async fn scan(options: Options) {
    let gateway = Gateway::start().await.unwrap();
    let site = Site::at(options.reduced_motion(), &gateway).await;
    site.database
        .sql(
            "UPDATE concert_seats SET status = 'TEMPORARILY_RESERVED', hold_id = gen_random_uuid(), \
             version = version + 1, held_until = now() + interval '1 hour' WHERE schedule_id = 1 AND id % 3 = 0",
        )
        .await
        .unwrap();
    site.open("").await;
    site.until_heading("What’s on").await;
    assert_accessible(&site, "concerts").await;
    site.open("#/concerts/1").await;
    site.until("document.querySelector('.evening')").await;
    assert_accessible(&site, "evenings").await;
    site.open("#/seats/1/1").await;
    site.until("document.querySelector('.seats')").await;
    let choose = "const cell = document.querySelector('.seats [data-status=available]'); cell.focus(); \
                  cell.dispatchEvent(new KeyboardEvent('keydown', { key: ' ', bubbles: true }))";
    site.browser.execute(choose, Vec::new()).await.unwrap();
    site.until("document.querySelector('[aria-selected=true]')").await;
    assert_accessible(&site, "seats").await;
    site.press("Hold 1 seat").await;
    site.until_heading("Your seats are held").await;
    site.browser.execute("document.querySelector('details').open = true", Vec::new()).await.unwrap();
    assert_accessible(&site, "hold").await;
    site.press("Pay").await;
    site.until_heading("Your ticket").await;
    site.browser.execute("document.querySelector('details').open = true", Vec::new()).await.unwrap();
    assert_accessible(&site, "ticket").await;
    site.press("My tickets").await;
    site.until_heading("My tickets").await;
    site.browser.execute("document.querySelector('details').open = true", Vec::new()).await.unwrap();
    assert_accessible(&site, "tickets").await;
    site.open("#/wallet").await;
    site.until_heading("Wallet").await;
    assert_accessible(&site, "wallet").await;
    site.open("#/sign-in").await;
    site.until_heading("Welcome to the demo").await;
    assert_accessible(&site, "sign in").await;
    site.end_sessions().await;
    site.press("Wallet").await;
    site.until("document.getElementById('ended').open").await;
    assert_accessible(&site, "the end of the session").await;
    site.assert_nothing_blocked().await;
}

#[tokio::test]
async fn axe_finds_nothing_on_a_desktop_in_light() {
    scan(Browser::options()).await;
}

#[tokio::test]
async fn axe_finds_nothing_on_a_desktop_in_dark() {
    scan(Browser::options().dark()).await;
}

#[tokio::test]
async fn axe_finds_nothing_on_a_phone_in_light() {
    scan(Browser::options().size(390, 844)).await;
}

#[tokio::test]
async fn axe_finds_nothing_on_a_phone_in_dark() {
    scan(Browser::options().size(390, 844).dark()).await;
}
