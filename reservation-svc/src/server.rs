//! Which Redis server: the one at an address, or the primary that Sentinels name at the moment. Knows nothing of what
//! it is asked; time limits are for whoever asks. Must not know SQL or HTTP.

use arc_swap::ArcSwapOption;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType};
use redis::{Client, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo, RedisResult, TlsMode};
use tokio::sync::Mutex;

/// Where Sentinels listen when the URL names no port.
const SENTINEL_PORT: u16 = 26_379;

/// Not a URL of a server that could be asked. Never repeats it: it may hold a password.
#[derive(Debug, thiserror::Error)]
#[error("not a Redis URL (expected redis://HOST:PORT/ or redis+sentinel://HOST:PORT,HOST:PORT/NAME)")]
pub struct NotAServer;

/// A server, and the connection to it. Connects at its first use.
pub struct Server {
    source: Source,
    config: ConnectionManagerConfig,
    /// None until the first use, and after [`Server::leave`].
    current: ArcSwapOption<ConnectionManager>,
}

enum Source {
    One(Client),
    /// Without a login at the Sentinels, and with the servers' if there is one: some want it, others refuse it. Asked by
    /// one at a time.
    Sentinels(Mutex<Vec<SentinelClient>>),
}

impl Server {
    /// The server that `url` names, each connection set up by `config`.
    pub fn at(url: &str, config: ConnectionManagerConfig) -> Result<Self, NotAServer> {
        let source = match url.split_once("+sentinel://") {
            Some((scheme, rest)) => Source::Sentinels(Mutex::new(sentinels(scheme, rest).ok_or(NotAServer)?)),
            None => Source::One(Client::open(url).map_err(|_| NotAServer)?),
        };
        Ok(Self { source, config, current: ArcSwapOption::empty() })
    }

    /// The connection. Finds the server first, if it is not known.
    pub async fn connection(&self) -> RedisResult<ConnectionManager> {
        if let Some(current) = self.current.load_full() {
            return Ok(ConnectionManager::clone(&current));
        }
        let client = match &self.source {
            Source::One(client) => client.clone(),
            Source::Sentinels(sentinels) => primary(&mut sentinels.lock().await).await?,
        };
        let manager = ConnectionManager::new_lazy_with_config(client, self.config.clone())?;
        self.current.store(Some(manager.clone().into()));
        Ok(manager)
    }

    /// Gives the connection up: one that fell silent, or whose server is the primary no more.
    pub fn leave(&self) {
        self.current.store(None);
    }
}

async fn primary(sentinels: &mut [SentinelClient]) -> RedisResult<Client> {
    let mut found = Err((redis::ErrorKind::EmptySentinelList, "no Sentinels").into());
    for client in sentinels {
        found = client.async_get_client().await;
        if found.is_ok() {
            break;
        }
    }
    found
}

/// The clients of `[user:password@]host[:port],…/NAME[/database]`.
fn sentinels(scheme: &str, rest: &str) -> Option<Vec<SentinelClient>> {
    let (hosts, path) = rest.split_once('/')?;
    let (name, database) = path.split_once('/').unwrap_or((path, "0"));
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if !matches!(scheme, "redis" | "rediss") || name.is_empty() || !name.bytes().all(good) {
        return None;
    }
    let (login, hosts) = hosts.rsplit_once('@').map_or(("", hosts), |(login, hosts)| (login, hosts));
    let at = |login: &str, host: &str, database: &str| -> Option<ConnectionInfo> {
        // A colon inside of brackets belongs to an IPv6 address.
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
        let port = if has_port { String::new() } else { format!(":{SENTINEL_PORT}") };
        let login = if login.is_empty() { String::new() } else { format!("{login}@") };
        format!("{scheme}://{login}{host}{port}/{database}").into_connection_info().ok()
    };
    // What is asked for at the servers: the login and the database of the URL.
    let settings: RedisConnectionInfo = at(login, hosts.split(',').next()?, database)?.redis_settings().clone();
    let mut node = SentinelNodeConnectionInfo::default().set_redis_connection_info(settings);
    if scheme == "rediss" {
        node = node.set_tls_mode(TlsMode::Secure);
    }
    let logins = if login.is_empty() { vec![""] } else { vec!["", login] };
    let client = |login: &str| {
        let all = hosts.split(',').map(|host| at(login, host, "0")).collect::<Option<Vec<_>>>()?;
        SentinelClient::build(all, name, Some(node.clone()), SentinelServerType::Master).ok()
    };
    logins.into_iter().map(client).collect()
}

/// Whether a URL names a server, for whoever checks a configuration.
pub fn is_server(url: &str) -> bool {
    match url.split_once("://") {
        Some(("redis" | "rediss", _)) => true,
        Some(("redis+sentinel" | "rediss+sentinel", rest)) => sentinels("redis", rest).is_some(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_sentinels() {
        for good in [
            "redis+sentinel://a:1,[::1],b/main.db-1/3",
            "rediss+sentinel://user:p%40ss@a/main",
            "redis://h/",
            "rediss://:p@h:1/2",
        ] {
            assert!(is_server(good), "{good}");
        }
        for bad in [
            "redis+sentinel://a:1,b:2",
            "redis+sentinel://a:1/",
            "redis+sentinel://a:1/na me",
            "redis+sentinel://a:x/main",
            "redis+sentinel://a:1/main/x",
            "redis+cluster://a:1",
            "http://a",
        ] {
            assert!(!is_server(bad), "{bad}");
        }
        let said = Server::at("redis+sentinel://:hidden-word@a:1/", ConnectionManagerConfig::new()).err().unwrap();
        assert!(!said.to_string().contains("hidden-word"));
    }
}
