//! At start: is this a server that can keep a queue? One sentence each, with what to do.

use std::collections::HashMap;

use redis::Value;

use super::super::{CheckError, StoreError};
use super::RedisStore;

/// The first version that knows `ZRANGE … BYSCORE` and `ZMSCORE`.
const OLDEST: (u32, u32) = (6, 2);

impl RedisStore {
    /// Asks the server what it is, and refuses one that would lose a queue.
    ///
    /// # Errors
    /// [`CheckError::Down`] when it does not answer; [`CheckError::Unfit`] when it must not be used as it is.
    pub async fn connect_check(&self) -> Result<(), CheckError> {
        let down = |error: StoreError| CheckError::Down(error.reason());
        let address = self.link.address();
        self.command(&["PING"]).await.map_err(down)?;
        let info = match self.command(&["INFO"]).await {
            Ok(Value::BulkString(text)) => parse_info(&String::from_utf8_lossy(&text)),
            Ok(_) => HashMap::new(),
            // Without the right to ask, the rest cannot be known; the scripts do without, too.
            Err(StoreError::Unavailable(sentence)) if sentence.contains("may not") => return Ok(()),
            Err(error) => return Err(down(error)),
        };
        judge(&info, address)
    }
}

fn parse_info(text: &str) -> HashMap<String, String> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(key, value)| (key.to_owned(), value.trim().to_owned()))
        .collect()
}

fn judge(info: &HashMap<String, String>, address: &str) -> Result<(), CheckError> {
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
    if field("redis_mode") == "cluster" {
        return unfit(format!(
            "Redis at {address} is part of a cluster, which this version does not speak: use a single server"
        ));
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
        judge(&parse_info(info), "host:6379").err().map(|error| error.to_string())
    }

    #[test]
    fn a_server_that_keeps_what_it_is_given_is_fine() {
        assert_eq!(judged("redis_version:7.0.15\r\nrole:master\r\nmaxmemory_policy:noeviction\r\n"), None);
        // Keys without an expiry are safe from these; heartbeats, which have one, may go.
        assert_eq!(judged("redis_version:6.2.0\r\nrole:master\r\nmaxmemory_policy:volatile-lru\r\n"), None);
    }

    #[test]
    fn refused_old_servers_replicas_clusters_and_eviction_each_with_what_to_do() {
        for (info, says) in [
            ("redis_version:6.0.16\r\n", "6.2 or later"),
            ("role:slave\r\nmaster_host:10.0.0.1\r\nmaster_port:6379\r\n", "replica of 10.0.0.1:6379"),
            ("redis_mode:cluster\r\n", "cluster"),
            ("maxmemory_policy:allkeys-lru\r\n", "maxmemory-policy noeviction"),
        ] {
            let sentence = judged(info).expect(info);
            assert!(sentence.contains(says), "{sentence}");
        }
    }
}
