//! What the browser tests share: a stage with the real page and scripted answers, and questions to a browser.

use std::time::Duration;

use serde_json::{Value, json};
use testbed::{
    browser::{Browser, Options},
    origin::{Origin, Script},
    wait,
};
use waitroom_proxy::{
    page::{Encoding, Lang, RoomPage, WaitingPage},
    status::{Eta, State, Status},
};

/// Two cores that compile at the same time are slow; nothing waits this long when all is well.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// The page as the proxy sends it, in front of answers that a test writes.
pub(crate) struct Stage {
    pub(crate) origin: Origin,
    pub(crate) browser: Browser,
    pub(crate) room: RoomPage,
}

impl Stage {
    pub(crate) async fn start(options: Options) -> Self {
        let stage = Self {
            origin: Origin::start().await.unwrap(),
            browser: options.start().await.unwrap(),
            room: WaitingPage::built_in().unwrap().for_room("concert", "/"),
        };
        watch_policy(&stage.browser).await;
        stage
    }

    /// `/` is the waiting page with this status from now on.
    pub(crate) fn page(&self, lang: Lang, status: &Status) {
        let html = self.room.render(lang, status, 3_600, Encoding::Gzip);
        let script =
            Script::new().header("content-type", "text/html; charset=utf-8").header("content-encoding", "gzip");
        let script = script.header("content-security-policy", self.room.csp()).header("cache-control", "no-store");
        self.origin.script("/", script.body(html));
    }

    /// Polls are answered with this status from now on.
    pub(crate) fn answer(&self, status: &Status) {
        let body = serde_json::to_vec(status).unwrap();
        self.origin.script("/queue/status", Script::new().header("content-type", "application/json").body(body));
    }

    /// The same status in the page and in the polls, shown.
    pub(crate) async fn show(&self, lang: Lang, status: &Status) {
        self.page(lang, status);
        self.answer(status);
        self.open().await;
    }

    pub(crate) async fn open(&self) {
        self.browser.goto(&format!("{}/", self.origin.url())).await.unwrap();
    }

    /// Requests for a path so far.
    pub(crate) fn count(&self, path: &str) -> usize {
        self.origin.requests().iter().filter(|request| request.path == path).count()
    }
}

pub(crate) fn waiting(position: u64) -> Status {
    Status {
        room: "concert".to_owned(),
        state: State::Waiting,
        seq: Some(88_123),
        position: Some(position),
        waiting: 50_210,
        rate_per_s: 5.0,
        eta_s: Some(Eta { low: 230, high: 290 }),
        poll_after_ms: 500,
        paused: false,
        stale: false,
        server_time_ms: 1_795_161_600_000,
        expires_at_ms: None,
        token: None,
    }
}

/// Remembers what the Content-Security-Policy blocks in every page of this tab.
pub(crate) async fn watch_policy(browser: &Browser) {
    let source = "window.blocked = []; addEventListener('securitypolicyviolation', \
                  (event) => blocked.push(event.violatedDirective + ' ' + event.blockedURI))";
    browser.cdp("Page.addScriptToEvaluateOnNewDocument", json!({ "source": source })).await.unwrap();
}

pub(crate) async fn assert_nothing_blocked(browser: &Browser) {
    assert_eq!(ask(browser, "blocked").await, json!([]));
}

/// The value of an expression in the page.
pub(crate) async fn ask(browser: &Browser, expression: &str) -> Value {
    browser.execute(&format!("return {expression}"), Vec::new()).await.unwrap()
}

pub(crate) async fn text(browser: &Browser, element: &str) -> String {
    let value = ask(browser, &format!("document.querySelector('{element}').textContent")).await;
    value.as_str().unwrap_or_default().to_owned()
}

/// Waits until an expression in the page is true. A page on its way out has no answer: asked again.
pub(crate) async fn until(browser: &Browser, expression: &str) {
    let script = format!("return Boolean({expression})");
    let yes = async || browser.execute(&script, Vec::new()).await.is_ok_and(|value| value == true);
    if let Err(error) = wait::until(expression, SOON, yes).await {
        panic!("{error}\n{}", browser.source().await.unwrap_or_default());
    }
}

/// Waits until `check` holds outside the page.
pub(crate) async fn until_seen(what: &str, check: impl Fn() -> bool) {
    wait::until(what, SOON, async || check()).await.unwrap();
}
