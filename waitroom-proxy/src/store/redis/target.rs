//! Which servers a URL names: one, those that Sentinels watch, or a cluster. Pure; no sentence repeats the URL, which may hold a password.

use redis::{ConnectionInfo, IntoConnectionInfo as _};

/// Where Sentinels listen when the URL names no port.
const SENTINEL_PORT: &str = "26379";

/// Where Redis listens when the URL names no port.
const REDIS_PORT: &str = "6379";

/// Servers by their role.
#[derive(Clone, Debug)]
pub(in crate::store) enum Target {
    /// This server and no other.
    One(Box<ConnectionInfo>),
    /// The primary of this name, wherever these Sentinels say that it is.
    Sentinel {
        /// The Sentinels, each with the login and database that are meant for the primary.
        sentinels: Vec<ConnectionInfo>,
        /// What they call the primary.
        name: String,
    },
    /// For each room the node that serves its hash slot; these nodes are asked first.
    Cluster(Vec<ConnectionInfo>),
}

impl Target {
    /// Reads everything behind `scheme://`. `None` for a scheme that names no Redis.
    pub(in crate::store) fn parse(scheme: &str, rest: &str) -> Option<Result<Self, String>> {
        let (scheme, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
        if !matches!((scheme, kind), ("redis" | "rediss", "" | "sentinel" | "cluster")) {
            return None;
        }
        if rest.contains('#') {
            return Some(Err("no `#` in it: a certificate that cannot be verified is never accepted".to_owned()));
        }
        Some(match kind {
            "sentinel" => sentinel(scheme, rest),
            "cluster" => cluster(scheme, rest),
            _ => server(&format!("{scheme}://{rest}")).map(|info| Self::One(Box::new(info))),
        })
    }
}

fn sentinel(scheme: &str, rest: &str) -> Result<Target, String> {
    let (hosts, path) = rest.split_once('/').ok_or("a Sentinel URL ends with the primary's name")?;
    let (name, database) = path.split_once('/').unwrap_or((path, "0"));
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.is_empty() || !name.bytes().all(good) {
        return Err("a Sentinel URL ends with the primary's name: letters, digits, `.`, `_`, `-`".to_owned());
    }
    let sentinels = servers(scheme, hosts, database, SENTINEL_PORT)?;
    Ok(Target::Sentinel { sentinels, name: name.to_owned() })
}

fn cluster(scheme: &str, rest: &str) -> Result<Target, String> {
    let (hosts, database) = rest.split_once('/').unwrap_or((rest, ""));
    if !matches!(database, "" | "0") {
        return Err("a cluster has no databases but 0".to_owned());
    }
    servers(scheme, hosts, "0", REDIS_PORT).map(Target::Cluster)
}

/// One server for each of `[user:password@]host[:port],host[:port]`.
fn servers(scheme: &str, hosts: &str, database: &str, port: &str) -> Result<Vec<ConnectionInfo>, String> {
    let (user, hosts) = match hosts.rsplit_once('@') {
        Some((user, hosts)) => (format!("{user}@"), hosts),
        None => (String::new(), hosts),
    };
    let each = hosts.split(',').map(|host| {
        // A colon inside of brackets belongs to an IPv6 address.
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
        let port = if has_port { String::new() } else { format!(":{port}") };
        server(&format!("{scheme}://{user}{host}{port}/{database}"))
    });
    each.collect()
}

fn server(url: &str) -> Result<ConnectionInfo, String> {
    url.into_connection_info().map_err(|error| error.category().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Target, String> {
        let (scheme, rest) = url.split_once("://").expect(url);
        Target::parse(scheme, rest).expect(url)
    }

    #[test]
    fn sentinels_and_seeds_have_their_ports_and_one_login() {
        let url = "rediss+sentinel://user:p%40ss@a:1,[::1],b/main.db-1/3";
        let Ok(Target::Sentinel { sentinels, name }) = parse(url) else { panic!("refused") };
        let shown: Vec<String> = sentinels.iter().map(|info| info.addr().to_string()).collect();
        assert_eq!((shown.join(" ").as_str(), name.as_str()), ("a:1 ::1:26379 b:26379", "main.db-1"));
        for info in &sentinels {
            let settings = info.redis_settings();
            assert_eq!((settings.username(), settings.password(), settings.db()), (Some("user"), Some("p@ss"), 3));
            assert!(matches!(info.addr(), redis::ConnectionAddr::TcpTls { insecure: false, .. }));
        }
        let Ok(Target::Cluster(seeds)) = parse("redis+cluster://a,b:2/0") else { panic!("refused") };
        let shown: Vec<String> = seeds.iter().map(|info| info.addr().to_string()).collect();
        assert_eq!(shown.join(" "), "a:6379 b:2");
    }

    #[test]
    fn refused_urls_of_several_servers() {
        for url in [
            "redis+sentinel://a:1,b:2",
            "redis+sentinel://a:1/",
            "redis+sentinel://a:1/na me",
            "redis+sentinel://a:x/main",
            "redis+sentinel://a:1,/main",
            "redis+sentinel://a:1/main/x",
            "redis+cluster://a:1/2",
            "redis+cluster://",
            "rediss+cluster://a:1/#insecure",
        ] {
            assert!(parse(url).is_err(), "{url}");
        }
        assert!(Target::parse("http+cluster", "a:1").is_none() && Target::parse("redis+x", "a:1").is_none());
    }
}
