//! The request target and the host it names. Pure.

use super::{BadPath, Refusal};

/// Splits a request target into the authority of an absolute URL, if it is one, and the path without its query.
pub(super) fn split(target: &str) -> Result<(Option<&str>, &str), BadPath> {
    let (authority, path_and_query) = if target.starts_with('/') {
        (None, target)
    } else {
        let rest = strip_scheme(target).ok_or(BadPath::NotAbsolute)?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        (Some(authority), path)
    };
    let end = path_and_query.find('?').unwrap_or(path_and_query.len());
    match &path_and_query[..end] {
        // `http://host` and `http://host?q` mean the root.
        "" => Ok((authority, "/")),
        path => Ok((authority, path)),
    }
}

/// A path and query for the upstream, when the target is an absolute URL; `None` when it is a path already.
/// What is neither is refused: the upstream would see bytes that nobody has looked at.
pub(super) fn origin_form(target: &str) -> Result<Option<String>, BadPath> {
    if target.starts_with('/') {
        return Ok(None);
    }
    let rest = strip_scheme(target).ok_or(BadPath::NotAbsolute)?;
    let path = &rest[rest.find(['/', '?']).unwrap_or(rest.len())..];
    Ok(Some(if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }))
}

/// The host that counts, without port and trailing dot. A target that names another host than the
/// header is refused: one of the two would be matched here and the other one seen by the upstream.
pub(super) fn host<'a>(header: Option<&'a str>, authority: Option<&'a str>) -> Result<&'a str, Refusal> {
    let from_header = header.map(bare).transpose()?.filter(|host| !host.is_empty());
    let from_target = authority.map(bare).transpose()?.filter(|host| !host.is_empty());
    match (from_header, from_target) {
        (Some(a), Some(b)) if !a.eq_ignore_ascii_case(b) => Err(BadPath::OtherHost.into()),
        (Some(host), _) | (None, Some(host)) => Ok(host),
        (None, None) => Err(Refusal::MissingHost),
    }
}

fn strip_scheme(target: &str) -> Option<&str> {
    ["http://", "https://"].into_iter().find_map(|scheme| {
        let head = target.get(..scheme.len())?;
        head.eq_ignore_ascii_case(scheme).then(|| &target[scheme.len()..])
    })
}

/// Without port (`:80`, also an empty one) and without one trailing dot. Brackets of IPv6 stay. What
/// follows the name must be a port: another server could read a second name there.
fn bare(host: &str) -> Result<&str, BadPath> {
    let end = match host.rfind(']') {
        Some(bracket) => bracket + 1,
        None => host.find(':').unwrap_or(host.len()),
    };
    let (name, port) = host.split_at(end);
    let is_port =
        port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()));
    if !is_port || host.contains('@') {
        return Err(BadPath::OtherHost);
    }
    Ok(name.strip_suffix('.').unwrap_or(name))
}
