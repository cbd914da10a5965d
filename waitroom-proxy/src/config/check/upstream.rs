//! Upstream servers: `host:port`, `http://…`, `https://…`. Pure.

use super::names;
use crate::config::{Upstream, UpstreamHost};

pub(super) fn parse(text: &str) -> Result<Upstream, String> {
    let (tls, default_port, rest) = match text.split_once("://") {
        None => (false, None, text),
        Some(("http", rest)) => (false, Some("80"), rest),
        Some(("https", rest)) => (true, Some("443"), rest),
        Some((scheme, _)) => return Err(format!("{text:?} has the scheme {scheme:?}: use http:// or https://")),
    };
    let rest = if default_port.is_some() { rest.strip_suffix('/').unwrap_or(rest) } else { rest };
    if rest.contains('@') {
        return Err("has a user name in it: upstreams take none".to_owned());
    }
    if rest.contains(['/', '?', '#']) {
        return Err(format!("{text:?} has a path: requests keep their own, give the server only"));
    }
    let (name, port) = names::split_port(rest);
    let port = port.or(default_port).ok_or_else(|| format!("{text:?} has no port: write \"{text}:80\" or a URL"))?;
    if !names::is_port(port) {
        return Err(format!("{text:?} has no valid port"));
    }
    if !names::is_host_name(name) && !names::is_bracketed_v6(name) {
        return Err(format!("{text:?} has no valid host name; write IPv6 addresses like \"[::1]:9000\""));
    }
    let host = name.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    let port = port.parse().map_err(|_| format!("{text:?} has no valid port"))?;
    Ok(Upstream { host, port, tls })
}

pub(super) fn host_policy(text: &str) -> Result<UpstreamHost, String> {
    if text == "preserve" {
        return Ok(UpstreamHost::Preserve);
    }
    let (name, port) = names::split_port(text);
    let name_ok = names::is_host_name(name) || names::is_bracketed_v6(name);
    if name_ok && port.is_none_or(names::is_port) {
        return Ok(UpstreamHost::Fixed(text.to_owned()));
    }
    Err(format!("{text:?} is neither \"preserve\" nor a host name like \"shop.internal\""))
}
