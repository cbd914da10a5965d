//! Host names, path prefixes and origins: text → checked text. Pure.

use std::net::Ipv4Addr;

use crate::classify;

/// A host without port, in lower case. Also an IP address; IPv6 in brackets, as in `Host`.
pub(super) fn host(text: &str) -> Result<String, String> {
    let lower = text.to_ascii_lowercase();
    let name = lower.strip_suffix('.').unwrap_or(&lower);
    if name.contains("://") || name.contains('/') {
        return Err(format!("{text:?} is a URL: give the host name alone, like \"shop.example\""));
    }
    if name.contains('*') {
        return Err(format!("{text:?} has a wildcard: list every host, or leave `hosts` empty for any"));
    }
    if is_bracketed_v6(name) {
        return Ok(name.to_owned());
    }
    if let Some((name, _)) = name.split_once(':') {
        return Err(format!("{text:?} has a port: hosts are matched without it, write {name:?}"));
    }
    if !is_host_name(name) {
        return Err(format!("{text:?} is not a host name; write international names in their xn-- form"));
    }
    Ok(name.to_owned())
}

pub(super) fn is_bracketed_v6(name: &str) -> bool {
    let inner = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    inner.is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok())
}

/// Letters, digits, `-`, `_` and dots, as DNS and Docker use them; or an IPv4 address.
pub(super) fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let looks_like_v4 = name.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    name.len() <= 253 && name.split('.').all(label) && (!looks_like_v4 || name.parse::<Ipv4Addr>().is_ok())
}

/// A path prefix; refused when no request could ever match it.
pub(super) fn prefix(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err(format!("{text:?} must begin with a slash"));
    }
    if text.contains('?') {
        return Err(format!("{text:?} has a query: prefixes are paths only"));
    }
    if text.contains('*') {
        return Err(format!("{text:?} has a wildcard: \"/buy\" already covers everything below it"));
    }
    match classify::normal_prefix(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(why) => Err(format!("{text:?} can never match: {why}")),
    }
}

/// An origin as browsers send it.
pub(super) fn origin(text: &str) -> Result<String, String> {
    if text == "*" || text == "null" {
        return Err(format!("{text:?} would let every site act for the visitor: list the origins"));
    }
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let rest = rest.ok_or_else(|| format!("{text:?} must begin with https:// or http://"))?;
    if rest.contains(['/', '?', '#', '@']) {
        return Err(format!("{text:?} must end after the host and port, also without a slash"));
    }
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(format!("{text:?} must be in lower case, as browsers send it"));
    }
    let (name, port) = split_port(rest);
    let default = if text.starts_with("https") { "443" } else { "80" };
    match port {
        Some(port) if port == default => {
            return Err(format!("{text:?} names the default port, which browsers leave out: remove \":{port}\""));
        }
        Some(port) if !is_port(port) => return Err(format!("{text:?} has no valid port")),
        _ => {}
    }
    if !is_host_name(name) && !is_bracketed_v6(name) {
        return Err(format!("{text:?} has no valid host name"));
    }
    Ok(text.to_owned())
}

/// Splits `name:port`; brackets of IPv6 stay with the name.
pub(super) fn split_port(text: &str) -> (&str, Option<&str>) {
    let after_v6 = text.rfind(']').unwrap_or(0);
    match text[after_v6..].rfind(':') {
        Some(colon) => (&text[..after_v6 + colon], Some(&text[after_v6 + colon + 1..])),
        None => (text, None),
    }
}

pub(super) fn is_port(text: &str) -> bool {
    matches!(text.parse::<u16>(), Ok(1..)) && text.bytes().all(|b| b.is_ascii_digit())
}
