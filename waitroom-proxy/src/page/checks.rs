//! What the Content-Security-Policy of the waiting page would block, found before a visitor does. Pure.

use super::{
    html::{Tag, Token},
    template::{Problems, Template},
};

/// Attributes that make a browser fetch something.
const FETCHING: [&str; 8] = ["src", "srcset", "poster", "data", "background", "manifest", "imagesrcset", "ping"];
/// Elements that are nothing without something from outside.
const OUTSIDE: [&str; 10] =
    ["iframe", "frame", "object", "embed", "applet", "base", "portal", "audio", "video", "track"];

/// Adds what is wrong to `problems`, and the insides of scripts and styles to `template`.
pub(super) fn check(tokens: &[Token<'_>], template: &mut Template, problems: &mut Problems<'_>) {
    let mut body = false;
    for token in tokens {
        match token {
            Token::Text(text, at) if body => refuse_late_refresh(text, *at, problems),
            Token::Tag(tag) if !tag.closing => {
                body |= tag.name == "body";
                check_tag(tag, problems);
            }
            Token::Raw { element, text, at } => check_raw(element, text, *at, template, problems),
            _ => {}
        }
    }
}

fn refuse_late_refresh(text: &str, at: usize, problems: &mut Problems<'_>) {
    if let Some(found) = text.find("{{refresh}}") {
        problems.add(at + found, "{{refresh}} belongs into <head>; browsers ignore it in <body>");
    }
}

fn check_tag(tag: &Tag<'_>, problems: &mut Problems<'_>) {
    if OUTSIDE.contains(&tag.name.as_str()) {
        problems.add(tag.at, format!("<{}> is blocked by the page's Content-Security-Policy", tag.name));
    }
    if tag.name == "meta"
        && tag.attribute("http-equiv").is_some_and(|what| !what.eq_ignore_ascii_case("x-ua-compatible"))
    {
        problems.add(tag.at, "<meta http-equiv> would get in the way of the page; for reloads there is {{refresh}}");
    }
    for attribute in &tag.attributes {
        let (name, value) = (attribute.name.as_str(), plain_url(attribute.value));
        // Where the value is empty, its place may lie behind the tag.
        let at = attribute.at.min(tag.end);
        if name.len() > 2 && name.starts_with("on") {
            problems
                .add(at, format!("the event handler {name}=\"…\" is blocked by the page's Content-Security-Policy"));
        } else if name == "style" {
            problems.add(at, "style=\"…\" is blocked by the page's Content-Security-Policy; use a <style> block");
        } else if name == "srcdoc" {
            problems.add(at, "srcdoc=\"…\" is blocked by the page's Content-Security-Policy");
        } else if value.starts_with("javascript:") || value.starts_with("vbscript:") {
            problems.add(at, format!("a script in {name}=\"…\" is blocked by the page's Content-Security-Policy"));
        } else if fetches(tag, name) && !allowed(tag, &value) {
            problems.add(at, format!("{name}=\"{}\" is an outside resource: {ADVICE}", shorten(attribute.value)));
        } else if matches!(name, "action" | "formaction") && leaves_site(&value) {
            problems.add(at, format!("{name}=\"{}\": forms may only go to this site", shorten(attribute.value)));
        }
    }
}

const ADVICE: &str = "everything has to be in the template itself (inline SVG, or a data: URL for an image)";

fn fetches(tag: &Tag<'_>, attribute: &str) -> bool {
    // SVG's <use>, <image> and <feImage> fetch by href too.
    let by_link = matches!(attribute, "href" | "xlink:href")
        && matches!(tag.name.as_str(), "link" | "image" | "use" | "feimage" | "script");
    by_link || FETCHING.contains(&attribute)
}

/// Images may come as `data:` URLs; parts of the same document may be referred to.
fn allowed(tag: &Tag<'_>, value: &str) -> bool {
    let image = match tag.name.as_str() {
        "img" | "image" | "feimage" | "input" | "source" => true,
        "link" => tag.attribute("rel").is_some_and(|rel| rel.to_ascii_lowercase().contains("icon")),
        _ => false,
    };
    value.starts_with('#') || (image && value.starts_with("data:image/"))
}

fn leaves_site(value: &str) -> bool {
    value.starts_with("//") || value.starts_with("/\\") || value.contains("://")
}

/// As a browser reads a URL: no white space or control characters, scheme in any case.
fn plain_url(value: &str) -> String {
    let decoded = value.replace("&colon;", ":").replace("&Tab;", "").replace("&NewLine;", "").replace("&#58;", ":");
    decoded.chars().filter(|letter| !letter.is_whitespace() && !letter.is_control()).collect::<String>().to_lowercase()
}

fn shorten(value: &str) -> String {
    if value.chars().count() <= 40 { value.to_owned() } else { value.chars().take(39).chain(['…']).collect() }
}

fn check_raw(element: &Tag<'_>, text: &str, at: usize, template: &mut Template, problems: &mut Problems<'_>) {
    match element.name.as_str() {
        "script" => {
            let data = element.attribute("type").is_some_and(|kind| kind.contains("json") && kind != "importmap");
            if !data {
                template.scripts.push(text.to_owned());
            }
        }
        "style" => {
            check_css(text, at, template, problems);
            template.styles.push(text.to_owned());
        }
        _ => {}
    }
}

fn check_css(css: &str, at: usize, template: &mut Template, problems: &mut Problems<'_>) {
    let lower = css.to_ascii_lowercase();
    for (found, _) in lower.match_indices("@import") {
        problems.add(at + found, format!("@import is an outside resource: {ADVICE}"));
    }
    for (found, opening) in lower.match_indices("url(") {
        let value = lower[found + opening.len()..].trim_start_matches([' ', '"', '\'', '\n', '\t']);
        if value.starts_with("data:font/") || value.starts_with("data:application/font") {
            template.fonts = true;
        } else if !value.starts_with("data:image/") && !value.starts_with('#') {
            problems.add(at + found, format!("url(…) is an outside resource: {ADVICE}"));
        }
    }
}
