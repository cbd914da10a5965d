//! The waiting page: everything a visitor sees, ready to be sent. Pure: no socket, no clock, no compressing
//! when it is asked for.
//!
//! A [`WaitingPage`] is a checked template. [`WaitingPage::for_room`] prepares it for one room in every
//! language; what it returns is shared by all requests until the next reload.

mod checks;
mod csp;
mod encoding;
mod gzip;
mod html;
mod lang;
mod room;
mod slot;
mod template;
#[cfg(test)]
mod tests;
mod texts;
mod view;

use std::sync::Arc;

pub use encoding::Encoding;
pub use lang::Lang;
pub use room::RoomPage;
pub use template::TemplateProblem;

use template::Template;
use texts::Texts;

const PAGE_HTML: &str = include_str!("page/built_in/page.html");
const LEFT_HTML: &str = include_str!("page/built_in/left.html");
const STYLE: &str = include_str!("page/built_in/page.css");
const SCRIPT: &str = include_str!("page/built_in/page.js");

/// What fits into the first window of a new connection, so that the page comes in one round trip.
const ONE_ROUND_TRIP: usize = 14 * 1024;
/// A crowd reloads: a page larger than this, compressed, eats the bandwidth that the site needs.
const MAX_COMPRESSED: usize = 64 * 1024;

/// A template of the waiting page that has been found good.
#[derive(Clone, Debug)]
pub struct WaitingPage {
    parts: Arc<Parts>,
    csp: Arc<str>,
}

/// What all rooms with this template share.
#[derive(Debug)]
struct Parts {
    template: Template,
    left: Template,
    style: String,
    script: String,
    /// In the order of [`Lang::ALL`].
    texts: Vec<Texts>,
}

impl WaitingPage {
    /// The page that comes with the proxy.
    ///
    /// # Errors
    /// None in a build whose tests pass.
    pub fn built_in() -> Result<Self, Vec<TemplateProblem>> {
        Self::from_template(&squeeze(PAGE_HTML))
    }

    /// A page from an operator's own template: HTML with slots like `{{position}}`.
    ///
    /// # Errors
    /// Every problem at once, with its line: slots that are unknown, unclosed, missing or misplaced, whatever
    /// the Content-Security-Policy would block, and pages that are too large.
    pub fn from_template(source: &str) -> Result<Self, Vec<TemplateProblem>> {
        let texts = Lang::ALL.iter().map(|lang| Texts::read(*lang)).collect::<Result<Vec<_>, _>>();
        let texts = texts.map_err(|error| whole_page(format!("the texts of the page: {error}")))?;
        let is_text = |name: &str| texts.iter().all(|texts| texts.page.contains_key(name));
        let template = Template::parse(source, is_text)?;
        let left = Template::parse_part(&squeeze(LEFT_HTML), is_text)?;
        let (style, script) = (squeeze(STYLE), squeeze(SCRIPT));
        // The page after leaving uses the built-in style, whatever the template does.
        let scripts = template.scripts.iter().chain([&script]).map(String::as_str);
        let styles = template.styles.iter().chain([&style]).map(String::as_str);
        let csp = csp::policy(scripts, styles, template.fonts);
        let parts = Parts { template, left, style, script, texts };
        let page = Self { parts: Arc::new(parts), csp: csp.into() };
        let size = page.largest_compressed();
        if size > MAX_COMPRESSED {
            return Err(whole_page(format!(
                "the page has {size} bytes compressed; at most {MAX_COMPRESSED} are allowed, {ONE_ROUND_TRIP} are good"
            )));
        }
        Ok(page)
    }

    /// Prepares the page for a room. `home` is the path where visitors begin who want to join (again).
    ///
    /// Takes some milliseconds: for start and reload, not for requests.
    #[must_use]
    pub fn for_room(&self, name: &str, home: &str) -> RoomPage {
        RoomPage::new(&self.parts, Arc::clone(&self.csp), name, home)
    }

    /// The `Content-Security-Policy` that goes with the page, and with the one shown after leaving.
    #[must_use]
    pub fn csp(&self) -> &str {
        &self.csp
    }

    /// What is legal and unwise about the template.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let size = self.largest_compressed();
        let large = (size > ONE_ROUND_TRIP).then(|| {
            format!("the page has {size} bytes compressed: over {ONE_ROUND_TRIP} it takes more than one round trip")
        });
        self.parts.template.warnings.iter().cloned().chain(large).collect()
    }

    fn largest_compressed(&self) -> usize {
        let room = self.for_room("a", "/");
        Lang::ALL.iter().map(|lang| room.first_sight(*lang, Encoding::Gzip).len()).max().unwrap_or(0)
    }
}

fn whole_page(message: String) -> Vec<TemplateProblem> {
    vec![TemplateProblem { line: 1, message }]
}

/// Takes out indentation, empty lines and whole-line comments: the sources are written for people.
fn squeeze(source: &str) -> String {
    let lines = source.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("// "));
    let lines = lines.filter(|line| !(line.starts_with("/* ") && line.ends_with(" */")));
    lines.collect::<Vec<_>>().join("\n")
}

fn html_escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(letter),
        }
    }
    out
}

/// `q=0.85` → 850 (RFC 9110, 12.4.2). `None`: something else.
fn weight_per_mille(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.trim().split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("q") {
        return None;
    }
    let value = value.trim();
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    let digits = fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let fraction: u16 = format!("{fraction:0<3}").parse().ok().filter(|_| digits)?;
    match whole {
        "0" => Some(fraction),
        "1" if fraction == 0 => Some(1000),
        _ => None,
    }
}
