//! The Content-Security-Policy of the waiting page: nothing from outside, and only the scripts and styles
//! that were there when it was made. Pure.

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::digest::{SHA256, digest};

/// `fonts`: whether fonts may come as `data:` URLs.
pub(super) fn policy<'s>(
    scripts: impl Iterator<Item = &'s str>,
    styles: impl Iterator<Item = &'s str>,
    fonts: bool,
) -> String {
    let scripts = sources(scripts);
    let styles = sources(styles);
    let fonts = if fonts { "; font-src data:" } else { "" };
    format!(
        "default-src 'none'; script-src {scripts}; style-src {styles}; img-src data:{fonts}; connect-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
}

fn sources<'s>(blocks: impl Iterator<Item = &'s str>) -> String {
    let mut hashes: Vec<String> = blocks.map(hash).collect();
    hashes.sort();
    hashes.dedup();
    if hashes.is_empty() { "'none'".to_owned() } else { hashes.join(" ") }
}

fn hash(block: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(digest(&SHA256, block.as_bytes())))
}
