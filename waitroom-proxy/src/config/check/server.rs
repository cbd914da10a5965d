//! `[server]`.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::Checker;
use crate::config::raw::RawServer;
use crate::config::{NamedKey, Server};

/// A shorter admin token can be guessed: 16 characters of base64 are 96 bits.
const WISE_TOKEN_BYTES: usize = 16;

pub(super) fn check(checker: &mut Checker<'_>, raw: &RawServer) -> Option<Server> {
    let listen = checker.list("server.listen", &raw.listen, address);
    if raw.listen.is_empty() {
        checker.mistake("server.listen", "is empty: give at least one address, like \"127.0.0.1:8080\"");
    }
    let admin_listen = checker.accept("server.admin_listen", address(&raw.admin_listen));
    let admin_token = admin_token(checker, raw, admin_listen);
    let trusted_proxies = checker.list("server.trusted_proxies", &raw.trusted_proxies, network);
    let (listen, admin_listen) = (listen?, admin_listen?);
    if let Some(i) = listen.iter().position(|public| collide(*public, admin_listen)) {
        checker.mistake("server.admin_listen", format!("is the same as server.listen[{i}]: give it a port of its own"));
    }
    for (i, net) in trusted_proxies.iter().flatten().enumerate().filter(|(_, net)| net.prefix_len() == 0) {
        let key = format!("server.trusted_proxies[{i}]");
        checker.warning(&key, format!("{net} is everybody: any visitor can claim any address"));
    }
    if !raw.secure_cookies && listen.iter().any(|address| !address.ip().is_loopback()) {
        checker.warning(
            "server.secure_cookies",
            "is false and the proxy listens on a public address: cookies travel in the clear; \
             put TLS in front and set it to true",
        );
    }
    Some(Server {
        listen,
        admin_listen,
        admin_token: admin_token?,
        trusted_proxies: trusted_proxies?,
        secure_cookies: raw.secure_cookies,
        max_connections: usize::try_from(raw.max_connections).unwrap_or(usize::MAX),
    })
}

/// The outer `None`: a mistake. The inner: none needed, none given.
fn admin_token(checker: &mut Checker<'_>, raw: &RawServer, listen: Option<SocketAddr>) -> Option<Option<NamedKey>> {
    let key = "server.admin_token_file";
    if raw.admin_token_file.is_empty() {
        if listen.is_some_and(|address| !address.ip().is_loopback()) {
            checker.mistake(
                key,
                "is needed because server.admin_listen is not loopback: \
                 name a file with a long random token, or listen on 127.0.0.1",
            );
            return None;
        }
        return Some(None);
    }
    let bytes = checker.secret_file(key, &raw.admin_token_file)?;
    let token = bytes.trim_ascii();
    let file = &raw.admin_token_file;
    if token.is_empty() || !token.iter().all(u8::is_ascii_graphic) {
        let message =
            format!("{file} must hold one token of visible ASCII characters; `openssl rand -hex 32` makes one");
        checker.mistake(key, message);
        return None;
    }
    if token.len() < WISE_TOKEN_BYTES {
        let message = format!("the token in {file} has under {WISE_TOKEN_BYTES} characters and can be guessed");
        checker.warning(key, message + ": `openssl rand -hex 32` makes one");
    }
    Some(Some(NamedKey::new(&*raw.admin_token_file, token.to_vec())))
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let hint = match text.strip_prefix("localhost:") {
        Some(port) => format!("use \"127.0.0.1:{port}\""),
        None if text.starts_with(':') => format!("use \"0.0.0.0{text}\" for all interfaces"),
        None => "write it like \"127.0.0.1:8080\" or \"[::1]:8080\"".to_owned(),
    };
    let address: SocketAddr = text.parse().map_err(|_| format!("{text:?} is not an IP address with a port: {hint}"))?;
    Ok(address)
}

fn network(text: &str) -> Result<IpNet, String> {
    let parsed = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    parsed.ok_or_else(|| format!("{text:?} is not a network: write it like \"10.0.0.0/8\" or \"192.0.2.7\""))
}

fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    // Port 0 is any free port: never the same twice.
    a.port() != 0 && a.port() == b.port() && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
}
