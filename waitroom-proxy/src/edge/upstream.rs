//! The upstreams of a room: round robin over those that are well, with checks in the background.

use std::collections::HashMap;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use pingora::Result;
use pingora::lb::health_check::{HealthCheck, HttpHealthCheck, TcpHealthCheck};
use pingora::lb::{Backend, Backends, discovery};
use pingora::upstreams::peer::{HttpPeer, PeerOptions};

/// Upstreams tried for one request before giving up.
pub const MAX_TRIES: usize = 3;

/// How often an upstream without a configured check is connected to.
const CONNECT_CHECK_EVERY: Duration = Duration::from_secs(2);

/// One upstream server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamServer {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// It speaks TLS.
    pub tls: bool,
}

/// What the upstreams of a room need to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamSettings {
    /// At least one.
    pub servers: Vec<UpstreamServer>,
    /// The `Host` that upstreams see; `None`: the visitor's.
    pub fixed_host: Option<String>,
    /// Path and interval of active checks; `None`: connect checks.
    pub health: Option<(String, Duration)>,
    /// Until connected, TLS included.
    pub connect: Duration,
    /// Of one read.
    pub read: Duration,
    /// Of one write.
    pub write: Duration,
    /// How long an unused connection is kept.
    pub idle: Duration,
}

/// Why upstreams could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The name does not resolve.
    #[error("the upstream {0} can't be resolved: {1}; check the name, or give an address")]
    Unresolved(String, std::io::Error),
}

/// The upstreams of a room.
pub struct Upstreams {
    /// Who is well.
    backends: Backends,
    /// The same, in the order of their turns, each with how it is spoken to.
    servers: Vec<(Backend, UpstreamServer)>,
    /// Whose turn it is.
    turn: AtomicUsize,
    settings: UpstreamSettings,
    options: PeerOptions,
}

impl Upstreams {
    /// Resolves the names; blocks while it does.
    ///
    /// # Errors
    /// When a name does not resolve.
    pub fn new(settings: UpstreamSettings) -> std::result::Result<Self, UpstreamError> {
        let mut servers = Vec::new();
        for server in &settings.servers {
            let found = (server.host.as_str(), server.port).to_socket_addrs();
            let found = found.map_err(|error| UpstreamError::Unresolved(server.host.clone(), error))?;
            let backend =
                |address: SocketAddr| Backend { addr: address.into(), weight: 1, ext: http::Extensions::default() };
            // One address a name: a dual-stack name is one server, not two.
            servers.extend(found.take(1).map(|address| (backend(address), server.clone())));
        }
        let backends = servers.iter().map(|(backend, _)| backend.clone()).collect();
        let mut backends = Backends::new(discovery::Static::new(backends));
        let options = peer_options(&settings);
        backends.set_health_check(health_check(&settings, &servers, &options));
        Ok(Self { backends, servers, turn: AtomicUsize::new(0), settings, options })
    }

    /// What it was made of.
    #[must_use]
    pub fn settings(&self) -> &UpstreamSettings {
        &self.settings
    }

    /// The `Host` that upstreams see; `None`: the visitor's.
    #[must_use]
    pub fn fixed_host(&self) -> Option<&str> {
        self.settings.fixed_host.as_deref()
    }

    /// The next upstream that is well. With connect checks only, one that seems down is tried rather
    /// than nobody: the check may be older than its recovery.
    #[must_use]
    pub fn pick(&self, visitor_host: &str) -> Option<HttpPeer> {
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut in_turn =
            (0..self.servers.len()).map(|next| &self.servers[first.wrapping_add(next) % self.servers.len()]);
        let next = in_turn.clone().next()?;
        let chosen = match (&self.settings.health, in_turn.find(|(server, _)| self.backends.ready(server))) {
            (_, Some(well)) => well,
            (Some(_), None) => return None,
            (None, None) => next,
        };
        let (backend, server) = chosen;
        let address = *backend.addr.as_inet()?;
        let mut peer = HttpPeer::new(address, server.tls, self.sni(server, visitor_host));
        peer.options = self.options.clone();
        Some(peer)
    }

    /// Checks health for as long as it is polled.
    pub async fn watch(&self) {
        // The discovery is static: this fills in who may be well once, and can't fail.
        if let Err(error) = self.backends.update(|_| {}).await {
            tracing::error!(%error, "the list of upstreams could not be read");
        }
        let every = self.settings.health.as_ref().map_or(CONNECT_CHECK_EVERY, |(_, every)| *every);
        let mut turn = tokio::time::interval(every);
        turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            turn.tick().await;
            self.backends.run_health_check(true).await;
        }
    }

    /// How many upstreams are well, and how many there are.
    #[must_use]
    pub fn well(&self) -> (usize, usize) {
        (self.servers.iter().filter(|(server, _)| self.backends.ready(server)).count(), self.servers.len())
    }

    /// Name in the TLS handshake: follows the `Host` that the upstream sees; an address is none, so there the server's
    /// own name counts.
    fn sni(&self, server: &UpstreamServer, visitor_host: &str) -> String {
        if !server.tls {
            return String::new();
        }
        let host = self.fixed_host().unwrap_or(visitor_host);
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        if name.is_empty() || name.parse::<std::net::IpAddr>().is_ok() || name.contains(['[', ']']) {
            server.host.clone()
        } else {
            name.to_owned()
        }
    }
}

fn peer_options(settings: &UpstreamSettings) -> PeerOptions {
    let mut options = PeerOptions::new();
    options.connection_timeout = Some(settings.connect);
    options.total_connection_timeout = Some(settings.connect);
    options.read_timeout = Some(settings.read);
    options.write_timeout = Some(settings.write);
    options.idle_timeout = Some(settings.idle);
    options
}

fn health_check(
    settings: &UpstreamSettings,
    servers: &[(Backend, UpstreamServer)],
    options: &PeerOptions,
) -> Box<dyn HealthCheck + Send + Sync> {
    let Some((path, _)) = &settings.health else {
        let mut check = TcpHealthCheck::new();
        check.peer_template.options.connection_timeout = Some(settings.connect);
        return check;
    };
    let each = |(backend, server): &(Backend, UpstreamServer)| {
        let host = settings.fixed_host.as_deref().unwrap_or(&server.host);
        let mut check = HttpHealthCheck::new(host, server.tls);
        check.peer_template.options = options.clone();
        match http::Uri::try_from(path.as_str()) {
            Ok(uri) => check.req.set_uri(uri),
            // The checked config holds only paths; asking for `/` is then a check too.
            Err(error) => tracing::error!(%error, path, "not a path to check"),
        }
        (backend.addr.clone(), check)
    };
    Box::new(EachItsOwn(servers.iter().map(each).collect()))
}

/// Checks each server as it is spoken to.
struct EachItsOwn(HashMap<pingora::protocols::l4::socket::SocketAddr, HttpHealthCheck>);

/// Failures in a row that take a server out; one success brings it back.
const FAILURES: usize = 2;

#[async_trait]
impl HealthCheck for EachItsOwn {
    async fn check(&self, target: &Backend) -> Result<()> {
        match self.0.get(&target.addr) {
            Some(check) => check.check(target).await,
            // All there are were there when this was made.
            None => Ok(()),
        }
    }

    fn health_threshold(&self, success: bool) -> usize {
        if success { 1 } else { FAILURES }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstreams(servers: &[(&str, bool)], fixed_host: Option<&str>) -> Upstreams {
        let second = Duration::from_secs(1);
        let server = |(host, tls): &(&str, bool)| UpstreamServer { host: (*host).to_owned(), port: 9, tls: *tls };
        Upstreams::new(UpstreamSettings {
            servers: servers.iter().map(server).collect(),
            fixed_host: fixed_host.map(str::to_owned),
            health: None,
            connect: second,
            read: second,
            write: second,
            idle: second,
        })
        .unwrap()
    }

    /// What the next two in turn are spoken to in, and the name in the handshake.
    fn two(upstreams: &Upstreams, visitor_host: &str) -> [(bool, String); 2] {
        [(); 2].map(|()| upstreams.pick(visitor_host).map(|peer| (peer.is_tls(), peer.sni)).unwrap())
    }

    #[test]
    fn plain_and_tls_servers_stand_side_by_side_each_by_its_own_name() {
        let mixed = upstreams(&[("127.0.0.1", false), ("localhost", true)], None);
        assert_eq!(two(&mixed, "shop.example:443"), [(false, String::new()), (true, "shop.example".to_owned())]);
        assert_eq!(two(&mixed, "10.0.0.7"), [(false, String::new()), (true, "localhost".to_owned())]);
        let fixed = upstreams(&[("127.0.0.1", true), ("localhost", true)], Some("inner.example"));
        assert!(two(&fixed, "shop.example").iter().all(|(tls, name)| *tls && name == "inner.example"));
        let addresses = upstreams(&[("127.0.0.1", true), ("127.0.0.2", true)], None);
        let names = two(&addresses, "[::1]:8080").map(|(_, name)| name);
        assert_eq!(names, ["127.0.0.1", "127.0.0.2"], "not that of the first");
    }
}
