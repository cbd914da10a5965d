//! At start: is this a server that can keep a queue? One sentence each, with what to do.

use std::collections::HashMap;
use std::time::Duration;

use redis::{ConnectionInfo, Value, cmd};
use tokio::time::timeout;

use super::super::{CheckError, StoreError};
use super::link::Request;
use super::links::Links;
use super::sentences::Failure;
use super::{RedisStore, ask};

/// The first version that knows `ZRANGE … BYSCORE` and `ZMSCORE`.
const OLDEST: (u32, u32) = (6, 2);

impl RedisStore {
    /// Asks the servers what they are, and refuses those that would lose a queue.
    ///
    /// # Errors
    /// [`CheckError::Down`] when one does not answer; [`CheckError::Unfit`] when it must not be used as it is.
    pub async fn connect_check(&self) -> Result<(), CheckError> {
        let down = |error: StoreError| CheckError::Down(error.reason());
        match &self.links {
            Links::One(link) => {
                let ping = Request::Command(cmd("PING"));
                let live = link.connect().await.map_err(down)?;
                let address = live.address().to_owned();
                link.exchange(live, ping).await.map_err(down)?;
                let live = link.connect().await.map_err(down)?;
                let info = link.exchange(live, Request::Command(cmd("INFO"))).await;
                self.judge(info, &address, Kind::Single)
            }
            Links::Cluster { cluster, limit, .. } => {
                let slow = || CheckError::Down(Failure::slow(cluster.shown(), *limit).error.reason());
                let primaries = timeout(*limit, cluster.primaries(*limit)).await.map_err(|_| slow())?;
                for primary in primaries.map_err(|failure| down(failure.error))? {
                    let address = primary.addr().to_string();
                    let asked = timeout(*limit, info(primary, *limit)).await.map_err(|_| slow())?;
                    let asked = asked.map_err(|error| Failure::explain(&error, &address).error);
                    self.judge(asked, &address, Kind::Cluster)?;
                }
                Ok(())
            }
        }
    }

    fn judge(&self, info: Result<Value, StoreError>, address: &str, kind: Kind) -> Result<(), CheckError> {
        let info = match info {
            Ok(Value::BulkString(text)) => parse_info(&String::from_utf8_lossy(&text)),
            Ok(_) => HashMap::new(),
            // Without the right to ask, the rest cannot be known; the scripts do without, too.
            Err(StoreError::Unavailable(sentence)) if sentence.contains("may not") => return Ok(()),
            Err(error) => return Err(CheckError::Down(error.reason())),
        };
        judge(&info, address, kind)?;
        let replicas: u32 = info.get("connected_slaves").and_then(|count| count.parse().ok()).unwrap_or(0);
        if replicas < self.min_acks {
            return Err(CheckError::Down(format!(
                "Redis at {address} has {replicas} replicas, and `min_acks` asks for the word of {}: start more, or \
                 lower `min_acks`",
                self.min_acks
            )));
        }
        Ok(())
    }
}

/// How the store's URL speaks of the server.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Single,
    Cluster,
}

async fn info(server: ConnectionInfo, limit: Duration) -> redis::RedisResult<Value> {
    cmd("INFO").query_async(&mut ask::connect(server, limit).await?).await
}

fn parse_info(text: &str) -> HashMap<String, String> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(key, value)| (key.to_owned(), value.trim().to_owned()))
        .collect()
}

fn judge(info: &HashMap<String, String>, address: &str, kind: Kind) -> Result<(), CheckError> {
    let field = |name: &str| info.get(name).map_or("", String::as_str);
    let unfit = |sentence: String| Err(CheckError::Unfit(sentence));
    let version = field("redis_version");
    if !version.is_empty() && parse_version(version) < OLDEST {
        let (major, minor) = OLDEST;
        return unfit(format!("Redis at {address} is version {version}: it must be {major}.{minor} or later"));
    }
    if field("role") == "slave" {
        let primary = format!("{}:{}", field("master_host"), field("master_port"));
        return unfit(format!("Redis at {address} is a replica of {primary}: point the store's `url` at the primary"));
    }
    match (field("redis_mode"), kind) {
        ("cluster", Kind::Single) => {
            return unfit(format!(
                "Redis at {address} is part of a cluster: use redis+cluster:// in the store's `url`"
            ));
        }
        ("sentinel", _) => {
            return unfit(format!(
                "the server at {address} is a Sentinel: use redis+sentinel://{address}/NAME in the store's `url`"
            ));
        }
        _ => {}
    }
    let policy = field("maxmemory_policy");
    if !matches!(policy, "" | "noeviction") && !policy.starts_with("volatile-") {
        return unfit(format!(
            "Redis at {address} may throw queues away when memory is short (`maxmemory-policy {policy}`): \
             set `maxmemory-policy noeviction`"
        ));
    }
    Ok(())
}

fn parse_version(version: &str) -> (u32, u32) {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(info: &str) -> Option<String> {
        judge(&parse_info(info), "host:6379", Kind::Single).err().map(|error| error.to_string())
    }

    #[test]
    fn a_server_that_keeps_what_it_is_given_is_fine() {
        assert_eq!(judged("redis_version:7.0.15\r\nrole:master\r\nmaxmemory_policy:noeviction\r\n"), None);
        // Keys without an expiry are safe from these; heartbeats and the lease, which have one, may go.
        assert_eq!(judged("redis_version:6.2.0\r\nrole:master\r\nmaxmemory_policy:volatile-lru\r\n"), None);
    }

    #[test]
    fn refused_old_servers_replicas_clusters_and_eviction_each_with_what_to_do() {
        for (info, says) in [
            ("redis_version:6.0.16\r\n", "6.2 or later"),
            ("role:slave\r\nmaster_host:10.0.0.1\r\nmaster_port:6379\r\n", "replica of 10.0.0.1:6379"),
            ("redis_mode:cluster\r\n", "redis+cluster://"),
            ("redis_mode:sentinel\r\n", "redis+sentinel://"),
            ("maxmemory_policy:allkeys-lru\r\n", "maxmemory-policy noeviction"),
        ] {
            let sentence = judged(info).expect(info);
            assert!(sentence.contains(says), "{sentence}");
        }
    }
}
