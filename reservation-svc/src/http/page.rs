//! The page to click through and its files, built into the binary. Serves bytes; the page itself speaks the same API
//! as everybody else.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use ring::digest;

use super::App;
use super::problem::{Kind, Problem};

/// Nothing from outside, nothing inline, in no frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

const INDEX: &str = include_str!("page/index.html");

/// A file under `/assets/`.
struct Asset {
    path: &'static str,
    kind: &'static str,
    text: &'static str,
}

macro_rules! assets {
    ($($path:literal: $kind:expr),* $(,)?) => {
        &[$(Asset { path: $path, kind: $kind, text: include_str!(concat!("page/", $path)) }),*]
    };
}

const ASSETS: &[Asset] = assets! {
    "page.css": CSS,
    "icon.svg": SVG,
    "app.js": SCRIPT,
    "api.js": SCRIPT,
    "chosen.js": SCRIPT,
    "dom.js": SCRIPT,
    "format.js": SCRIPT,
    "hold.js": SCRIPT,
    "seatmap.js": SCRIPT,
    "user.js": SCRIPT,
    "views/card.js": SCRIPT,
    "views/concerts.js": SCRIPT,
    "views/hold.js": SCRIPT,
    "views/seats.js": SCRIPT,
    "views/sign_in.js": SCRIPT,
    "views/ticket.js": SCRIPT,
    "views/tickets.js": SCRIPT,
    "views/wallet.js": SCRIPT,
};

/// The ETags, in the order of [`ASSETS`]: they change with the binary only.
static TAGS: LazyLock<Vec<String>> = LazyLock::new(|| ASSETS.iter().map(|asset| etag(asset.text)).collect());

/// `/` and `/assets/…`.
pub(super) fn router() -> Router<Arc<App>> {
    Router::new().route("/", get(index)).route("/assets/{*path}", get(asset))
}

async fn index(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let page = [("demo_login", app.demo.is_some()), ("tickets", app.tickets.is_some()), ("card", app.cards)]
        .into_iter()
        .fold(INDEX.to_owned(), |page, (slot, on)| {
            page.replace(&format!("{{{{{slot}}}}}"), if on { "true" } else { "false" })
        })
        .replace("{{max_seats}}", &app.holds.max_seats.to_string());
    answer(&headers, HTML, &etag(&page), page)
}

async fn asset(Path(path): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    let found = ASSETS.iter().zip(TAGS.iter()).find(|(asset, _)| asset.path == path);
    let (asset, tag) = found.ok_or_else(|| Problem::new(Kind::NotFound, "There is no such file."))?;
    Ok(answer(&headers, asset.kind, tag, asset.text.to_owned()))
}

/// The text, or 304 when the client has it. Asked for every time, so that a new version is seen at once.
fn answer(request: &HeaderMap, kind: &'static str, tag: &str, text: String) -> Response {
    let known = request.get(header::IF_NONE_MATCH).and_then(|known| known.to_str().ok());
    let current = known.is_some_and(|known| known.split(',').any(|known| known.trim() == tag));
    let mut answer = if current {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, kind)], text).into_response()
    };
    let headers = answer.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(tag) {
        headers.insert(header::ETAG, tag);
    }
    for (name, value) in [
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// Weak, because the same text goes out compressed or not.
fn etag(text: &str) -> String {
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    let short = digest.as_ref().iter().take(12).map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("W/\"{short}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_import_of_a_script_is_served() {
        for asset in ASSETS.iter().filter(|asset| asset.kind == SCRIPT) {
            let folder = asset.path.rsplit_once('/').map_or("", |(folder, _)| folder);
            for line in asset.text.lines().filter(|line| line.starts_with("import ")) {
                let from = line.split('"').nth(1).unwrap();
                let path = match (from.strip_prefix("../"), from.strip_prefix("./")) {
                    (Some(up), _) => up.to_owned(),
                    (None, Some(here)) if folder.is_empty() => here.to_owned(),
                    (None, Some(here)) => format!("{folder}/{here}"),
                    (None, None) => panic!("{}: {from} is not one of ours", asset.path),
                };
                assert!(ASSETS.iter().any(|asset| asset.path == path), "{} imports {path}", asset.path);
            }
        }
    }

    #[test]
    fn nothing_is_inline_and_nothing_from_outside() {
        assert!(!INDEX.contains("style=") && !INDEX.contains("<style") && !INDEX.contains(" on"), "inline code");
        for text in ASSETS.iter().filter(|asset| asset.kind != SVG).map(|asset| asset.text).chain([INDEX]) {
            assert!(!text.contains("http://") && !text.contains("https://") && !text.contains("innerHTML"));
        }
    }
}
