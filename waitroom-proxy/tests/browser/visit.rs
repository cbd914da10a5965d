//! The whole way in a browser: real proxy, real store, a site behind it.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use tempfile::TempDir;
use testbed::{
    browser::{Browser, fantoccini::Locator},
    origin::{Origin, Script},
    ports,
    process::{Child, Program},
    wire::Wire,
};

use crate::support::{SOON, ask, assert_nothing_blocked, text, until, watch_policy};

const POSITION: &str = "document.querySelector('[data-wr=position]').textContent";
const IN: &str = "document.title === 'The site'";

/// A proxy with one paused room in front of a site.
struct Venue {
    origin: Origin,
    proxy: Child,
    url: String,
    admin: String,
    client: Client<HttpConnector, Empty<Bytes>>,
    _folder: TempDir,
}

impl Venue {
    async fn open(rate_per_s: f64) -> Self {
        let origin = Origin::start().await.unwrap();
        let site = "<!doctype html><title>The site</title><h1>Choose your seats</h1>";
        origin.script("/buy", Script::new().header("content-type", "text/html").body(site));
        let folder = TempDir::new().unwrap();
        let config = folder.path().join("waitroom.toml");
        let (listen, admin) = (ports::free(), ports::free());
        let toml = format!(
            "[server]\nlisten = [\"127.0.0.1:{listen}\"]\nadmin_listen = \"127.0.0.1:{admin}\"\n\
             [[rooms]]\nname = \"concert\"\nupstreams = [\"{}\"]\nrate_per_s = {rate_per_s:?}\nburst = 1\nmax_active = 0\n",
            origin.addr()
        );
        std::fs::write(&config, toml).unwrap();
        let proxy = Program::new(env!("CARGO_BIN_EXE_waitroom-proxy")).args(["run", "--config"]).arg(&config);
        let venue = Self {
            origin,
            proxy: proxy.start().unwrap(),
            url: format!("http://127.0.0.1:{listen}"),
            admin: format!("http://127.0.0.1:{admin}"),
            client: Client::builder(TokioExecutor::new()).build_http(),
            _folder: folder,
        };
        venue.proxy.wait_for_line("operators: http", SOON).await.unwrap();
        let up = async || venue.get("/queue/status?room=concert", &[]).await.0 == 200;
        venue.proxy.wait_until("the proxy to answer", SOON, up).await.unwrap();
        venue.operate("pause").await;
        venue
    }

    async fn send(&self, request: Request<Empty<Bytes>>) -> (u16, http::HeaderMap, Bytes) {
        let Ok(answer) = self.client.request(request).await else { return (0, http::HeaderMap::new(), Bytes::new()) };
        let (head, body) = answer.into_parts();
        (head.status.as_u16(), head.headers, body.collect().await.unwrap().to_bytes())
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> (u16, http::HeaderMap, Bytes) {
        let request = Request::get(format!("{}{path}", self.url));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        self.send(request.body(Empty::new()).unwrap()).await
    }

    async fn operate(&self, what: &str) {
        let request =
            Request::post(format!("{}/admin/rooms/concert/{what}", self.admin)).header("x-waitroom-admin", "1");
        let (status, _, body) = self.send(request.body(Empty::new()).unwrap()).await;
        assert!((200..300).contains(&status), "{what}: {status} {body:?}");
        let paused = what == "pause";
        let told = async || {
            let (_, _, body) = self.get("/queue/status?room=concert", &[]).await;
            serde_json::from_slice::<Value>(&body).is_ok_and(|status| status["paused"] == paused)
        };
        self.proxy.wait_until(what, SOON, told).await.unwrap();
    }

    /// Others join the line; their tickets keep waiting.
    async fn crowd(&self, visitors: usize) {
        for _ in 0..visitors {
            let (status, headers, _) = self.get("/buy", &[]).await;
            assert_eq!(status, 429);
            let ticket = headers["x-queue-ticket"].to_str().unwrap();
            let (_, _, body) = self.get("/queue/status?room=concert", &[("x-queue-ticket", ticket)]).await;
            let status: Value = serde_json::from_slice(&body).unwrap();
            assert!(status["seq"].is_u64(), "{status}");
        }
    }

    async fn visit(&self, browser: &Browser) {
        browser.goto(&format!("{}/buy", self.url)).await.unwrap();
    }

    /// What reached the site's page, never without a token.
    fn entered(&self) -> usize {
        let visits: Vec<_> = self.origin.requests().into_iter().filter(|request| request.path == "/buy").collect();
        assert!(visits.iter().all(|request| request.header_all("x-queue-token").len() == 1), "{visits:?}");
        visits.len()
    }
}

#[tokio::test]
async fn arrive_wait_see_the_position_fall_and_be_let_in() {
    let venue = Venue::open(2.0).await;
    venue.crowd(24).await;
    let browser = Browser::start().await.unwrap();
    watch_policy(&browser).await;
    venue.visit(&browser).await;
    until(&browser, &format!("{POSITION} === '25'")).await;
    assert_eq!(browser.title().await.unwrap(), "25 · Paused – Concert");
    assert_eq!(text(&browser, "[data-wr=waiting]").await, "25");
    assert_nothing_blocked(&browser).await;
    assert_eq!(venue.entered(), 0);
    venue.operate("resume").await;
    // While the line was paused the page was told to ask seldom; as anybody would, the visitor reloads.
    browser.refresh().await.unwrap();
    // Every figure that is shown, kept where the site can be asked for it later.
    let note = "const shown = [], position = document.querySelector('[data-wr=position]'); \
                  const note = () => { shown.push(Number(position.textContent)); \
                  sessionStorage.setItem('shown', JSON.stringify(shown)); }; \
                  new MutationObserver(note).observe(position, { childList: true }); note(); return 0";
    browser.execute(note, Vec::new()).await.unwrap();
    until(&browser, IN).await;
    assert_eq!(venue.entered(), 1);
    let shown: Vec<u64> =
        serde_json::from_str(ask(&browser, "sessionStorage.getItem('shown')").await.as_str().unwrap()).unwrap();
    assert!(shown.is_sorted_by(|one, next| one >= next), "{shown:?}");
    assert!(shown.iter().any(|position| (2..25).contains(position)), "{shown:?}");
    // Once in, the site stays open.
    browser.refresh().await.unwrap();
    assert_eq!(browser.title().await.unwrap(), "The site");
}

#[tokio::test]
async fn i4_reload_and_second_tab_keep_the_place() {
    let venue = Venue::open(100.0).await;
    venue.crowd(3).await;
    let browser = Browser::start().await.unwrap();
    venue.visit(&browser).await;
    until(&browser, &format!("{POSITION} === '4'")).await;
    venue.crowd(2).await;
    let place =
        "(({ seq, position }) => [seq, position])(JSON.parse(document.getElementById('waitroom-status').textContent))";
    browser.refresh().await.unwrap();
    let first = ask(&browser, place).await;
    assert_eq!(first[1], 4);
    let tab = browser.new_window(true).await.unwrap();
    let before = browser.window().await.unwrap();
    browser.switch_to_window(tab.handle).await.unwrap();
    venue.visit(&browser).await;
    assert_eq!(ask(&browser, place).await, first);
    assert_eq!(ask(&browser, POSITION).await, "4");
    // One is let in: so are both.
    venue.operate("resume").await;
    until(&browser, IN).await;
    browser.switch_to_window(before).await.unwrap();
    until(&browser, IN).await;
}

#[tokio::test]
async fn without_script_the_page_waits_by_itself() {
    let venue = Venue::open(100.0).await;
    venue.crowd(2).await;
    let browser = Browser::options().without_script().languages("ko").start().await.unwrap();
    venue.visit(&browser).await;
    // The first page has no place yet; it reloads after a second and comes back with one.
    let titled = async |title: &str| {
        let check = async || browser.title().await.is_ok_and(|shown| shown == title);
        testbed::wait::until(title, SOON, check).await.unwrap();
    };
    titled("3 · 일시 중지 – Concert").await;
    let source = browser.source().await.unwrap();
    assert!(source.contains("lang=\"ko\"") && source.contains(">3</span>"), "{source}");
    venue.operate("resume").await;
    titled("The site").await;
    assert_eq!(venue.entered(), 1);
}

#[tokio::test]
async fn leaving_gives_up_the_place() {
    let venue = Venue::open(100.0).await;
    for script in [true, false] {
        let options = if script { Browser::options() } else { Browser::options().without_script() };
        let browser = options.start().await.unwrap();
        venue.visit(&browser).await;
        let titled = async |title: &str| {
            let check = async || browser.title().await.is_ok_and(|shown| shown.ends_with(title));
            testbed::wait::until(title, SOON, check).await.unwrap();
        };
        titled("1 · Paused – Concert").await;
        browser.find(Locator::Css("summary")).await.unwrap().click().await.unwrap();
        browser.find(Locator::Css("form button")).await.unwrap().click().await.unwrap();
        titled("Not in line – Concert").await;
        let cookies = browser.get_all_cookies().await.unwrap();
        assert!(cookies.is_empty(), "{cookies:?}");
        // The way back leads to the end of the line, with a ticket of its own.
        let again = "a.again";
        browser.find(Locator::Css(again)).await.unwrap().click().await.unwrap();
        titled("1 · Paused – Concert").await;
        browser.find(Locator::Css("summary")).await.unwrap().click().await.unwrap();
        browser.find(Locator::Css("form button")).await.unwrap().click().await.unwrap();
        titled("Not in line – Concert").await;
    }
    assert_eq!(venue.entered(), 0);
}

#[tokio::test]
async fn an_outage_of_the_proxy_is_survived_in_place() {
    let venue = Venue::open(100.0).await;
    venue.crowd(1).await;
    let wire = Wire::to(venue.url.strip_prefix("http://").unwrap().parse().unwrap()).await.unwrap();
    let browser = Browser::start().await.unwrap();
    browser.goto(&format!("http://{}/buy", wire.addr())).await.unwrap();
    until(&browser, &format!("{POSITION} === '2'")).await;
    wire.cut().await.unwrap();
    until(&browser, "document.querySelector('[data-wr=notice]').textContent.includes('Your place is safe')").await;
    assert_eq!(text(&browser, "[data-wr=position]").await, "2");
    wire.mend().await.unwrap();
    until(&browser, "document.querySelector('[data-wr=notice]').textContent === ''").await;
    venue.operate("resume").await;
    until(&browser, IN).await;
}
