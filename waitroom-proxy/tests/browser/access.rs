//! An accessibility scan with axe-core: every view, light and dark, on phone and desktop.

use std::{fs, path::PathBuf};

use serde_json::Value;
use testbed::{
    browser::{Browser, Options},
    process::Program,
};
use tokio::sync::OnceCell;
use waitroom_proxy::{
    page::Lang,
    status::{Eta, Status},
};

use crate::support::{SOON, Stage, ask, until, waiting};

/// The same for everybody, so that a new rule does not turn an old commit red.
const AXE: &str = "axe-core@4.14.1";

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
                fs::create_dir_all(&folder).unwrap();
                let npm = Program::installed("npm", "npm").unwrap();
                let npm =
                    npm.args(["install", "--no-save", "--no-audit", "--no-fund", AXE]).arg("--prefix").arg(&folder);
                let output = npm.output(SOON).await.unwrap();
                assert!(file.exists(), "npm did not install axe-core: {output:?}");
            }
            file
        }
    };
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Everything axe-core finds, as `rule: element`.
async fn findings(browser: &Browser) -> Vec<String> {
    let script = format!(
        "const done = arguments[arguments.length - 1];\n{}\n\
         axe.run(document, {{ resultTypes: ['violations'] }})\
         .then((found) => done(found.violations), (error) => done([{{ id: String(error), nodes: [] }}]));",
        axe().await
    );
    let found = browser.execute_async(&script, Vec::new()).await.unwrap();
    let name = |violation: &Value| format!("{}: {}", violation["id"], violation["nodes"]);
    found.as_array().unwrap().iter().map(name).collect()
}

async fn scan(options: Options) {
    let stage = Stage::start(options).await;
    let near = Status { eta_s: Some(Eta { low: 1, high: 2 }), ..waiting(3) };
    let paused = Status { paused: true, eta_s: None, ..waiting(1_234) };
    let joining = Status { seq: None, position: None, eta_s: None, poll_after_ms: 300_000, ..waiting(1) };
    let left = Status { state: waitroom_proxy::status::State::None, ..joining.clone() };
    for (lang, status, view) in [
        (Lang::En, waiting(1_234), "waiting"),
        (Lang::Ko, Status { stale: true, ..waiting(1_234_567) }, "waiting"),
        (Lang::Ja, paused, "paused"),
        (Lang::ZhHans, near, "near"),
        (Lang::ZhHant, joining, "joining"),
        (Lang::En, left, "left"),
    ] {
        stage.show(lang, &status).await;
        until(&stage.browser, &format!("document.documentElement.dataset.view === '{view}'")).await;
        assert_eq!(findings(&stage.browser).await, Vec::<String>::new(), "{view}");
        if view == "waiting" {
            ask(&stage.browser, "document.querySelector('details').open = true").await;
            assert_eq!(findings(&stage.browser).await, Vec::<String>::new(), "{view}, leaving");
        }
        let width =
            ask(&stage.browser, "document.documentElement.scrollWidth - document.documentElement.clientWidth").await;
        assert_eq!(width, 0, "{view} does not scroll sideways");
    }
}

#[tokio::test]
async fn axe_finds_nothing_on_a_desktop_in_light() {
    scan(Browser::options().reduced_motion()).await;
}

#[tokio::test]
async fn axe_finds_nothing_on_a_desktop_in_dark() {
    scan(Browser::options().reduced_motion().dark()).await;
}

#[tokio::test]
async fn axe_finds_nothing_on_a_phone_in_light() {
    scan(Browser::options().reduced_motion().size(360, 740)).await;
}

#[tokio::test]
async fn axe_finds_nothing_on_a_phone_in_dark() {
    scan(Browser::options().reduced_motion().size(360, 740).dark()).await;
}
