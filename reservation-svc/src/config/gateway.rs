//! `[gateway]`: the external payment gateway. Reads and checks; opens nothing.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::reader::Reader;

/// The external payment gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewaySettings {
    /// Its base URL.
    pub url: String,
    /// The file with the secret that it knows us by.
    pub secret_file: PathBuf,
    /// How long one call may take.
    pub timeout: Duration,
    /// How long the recovery worker leaves a payment alone.
    pub recover_after: Duration,
}

/// The gateway, if one is named.
pub(super) fn read(reader: &mut Reader) -> Option<GatewaySettings> {
    let url = reader.text("gateway.url", "");
    let secret_file = reader.text("gateway.secret_file", "");
    // A payment takes two calls of the ledger and one of these; all of it has to fit into a drain.
    let timeout_ms = reader.whole("gateway.timeout_ms", 3_000, 100..=5_000);
    // Longer than a payment takes at worst, or the worker would undo those that are only slow.
    let recover_after_s = reader.whole("gateway.recover_after_s", 30, 15..=3_600);
    if url.is_empty() {
        if !secret_file.is_empty() {
            reader.mistake("gateway.url", "is missing; name the gateway, or leave gateway.secret_file out too");
        }
        return None;
    }
    match url.parse::<http::Uri>().ok().filter(|uri| uri.host().is_some() && uri.query().is_none()) {
        Some(uri) if uri.scheme_str() == Some("https") => {}
        Some(uri) if uri.scheme_str() == Some("http") && uri.host().is_some_and(is_loopback) => {}
        Some(uri) if uri.scheme_str() == Some("http") => {
            reader
                .mistake("gateway.url", "would send the secret in the clear: use https, or http to this machine only");
        }
        _ => reader.mistake("gateway.url", "must be an https URL without a query"),
    }
    if secret_file.is_empty() {
        reader.mistake("gateway.secret_file", "is missing; make one with `openssl rand -hex 32 > FILE`");
    }
    Some(GatewaySettings {
        url,
        secret_file: secret_file.into(),
        timeout: Duration::from_millis(u64::from(timeout_ms)),
        recover_after: Duration::from_secs(u64::from(recover_after_s)),
    })
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}
