//! Asks Sentinels where the primary is. Believes the newest configuration, and checks nothing at the primary itself.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::try_join;
use redis::{ConnectionAddr, ConnectionInfo, RedisConnectionInfo, RedisError, cmd};

use super::ask;
use super::sentences::Failure;

/// The Sentinels of one primary.
pub(super) struct Sentinels {
    all: Vec<ConnectionInfo>,
    name: String,
    /// For sentences: `host:port, host:port`.
    shown: String,
}

/// An address as Sentinels give it.
type Address = (String, u16);

impl Sentinels {
    pub(super) fn new(all: Vec<ConnectionInfo>, name: String) -> Self {
        let shown = all.iter().map(|info| info.addr().to_string()).collect::<Vec<_>>().join(", ");
        Self { all, name, shown }
    }

    /// For sentences, while it is not known where the primary is.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// The primary's address with the login from the URL.
    pub(super) async fn primary(&self, limit: Duration) -> Result<ConnectionInfo, Failure> {
        let answers = ask::all(self.all.iter().map(|info| self.look(info, limit))).await?;
        let (host, port) = ask::best(&answers).ok_or_else(|| Failure::slow(&self.shown, limit))?;
        Ok(at(&self.all[0], host, port))
    }

    /// What one Sentinel says, and how new its configuration is.
    async fn look(&self, info: &ConnectionInfo, limit: Duration) -> Result<(u64, Address), Failure> {
        // Most Sentinels want no login, and refuse one that they do not want.
        let bare = info.clone().set_redis_settings(RedisConnectionInfo::default());
        match self.look_as(bare, limit).await {
            Err(error) if error.code() == Some("NOAUTH") => {
                let settings = info.redis_settings().clone().set_db(0);
                self.look_as(info.clone().set_redis_settings(settings), limit).await
            }
            answer => answer,
        }
        .map_err(|error| self.explain(&error, info))
    }

    async fn look_as(&self, info: ConnectionInfo, limit: Duration) -> Result<(u64, Address), RedisError> {
        let mut connection = ask::connect(info, limit).await?;
        let mut other = connection.clone();
        let ask = |about: &str| cmd("SENTINEL").arg(about).arg(&self.name).clone();
        // The address by its own command: while a failover is under way, the state still tells the old one.
        let (state, address) = (ask("MASTER"), ask("GET-MASTER-ADDR-BY-NAME"));
        let (state, address): (HashMap<String, String>, Address) =
            try_join(state.query_async(&mut connection), address.query_async(&mut other)).await?;
        let epoch = state.get("config-epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or(0);
        Ok((epoch, address))
    }

    fn explain(&self, error: &RedisError, info: &ConnectionInfo) -> Failure {
        let (address, name) = (info.addr(), &self.name);
        let text = error.to_string();
        if text.contains("No such master") {
            return Failure::told(format!(
                "the Sentinel at {address} watches no primary called `{name}`: correct the name at the end of the \
                 store's `url`"
            ));
        }
        if text.contains("unknown command") {
            return Failure::told(format!(
                "the server at {address} is no Sentinel: put the Sentinels' addresses into the store's `url`, or use \
                 redis://"
            ));
        }
        if matches!(error.code(), Some("NOAUTH" | "WRONGPASS")) || text.contains("Password authentication failed") {
            return Failure::told(format!(
                "the Sentinel at {address} does not accept the user and password of the store's `url`: give Sentinels \
                 and servers the same, or Sentinels none"
            ));
        }
        let mut failure = Failure::explain(error, &format!("{address} (a Sentinel)"));
        failure.broken = true;
        failure
    }
}

/// The same login and transport at another address.
pub(super) fn at(like: &ConnectionInfo, host: String, port: u16) -> ConnectionInfo {
    let addr = match like.addr() {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: tls_params.clone() }
        }
        _ => ConnectionAddr::Tcp(host, port),
    };
    like.clone().set_addr(addr)
}
