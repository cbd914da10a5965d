//! Which node of a cluster serves a hash slot. Asks the nodes; keeps their addresses and no connection.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use redis::{ConnectionInfo, Value, cmd};

use super::ask;
use super::sentences::Failure;
use super::sentinel::at;

/// How many nodes are asked at once, at most: an answer of any is enough, several outvote one that is behind.
const ASKED: usize = 12;

const SLOTS: u16 = 16_384;

/// A cluster known by some of its nodes.
pub(super) struct Cluster {
    /// From the URL; asked first, for ever.
    seeds: Vec<ConnectionInfo>,
    /// All nodes as last heard: the cluster is found also when every seed has been replaced.
    known: Mutex<Vec<(String, u16)>>,
    shown: String,
}

/// Slots from the first to the last, and their primary.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Range {
    first: u16,
    last: u16,
    primary: (String, u16),
}

/// The slots of a cluster as one node sees them, and all nodes that it names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Map {
    ranges: Vec<Range>,
    nodes: Vec<(String, u16)>,
}

/// The hash slot of a room: that of the name in the braces of its keys.
pub(super) fn slot_of(room: &str) -> u16 {
    // CRC-16/XMODEM, as in the specification of Redis Cluster.
    let crc = room.bytes().fold(0_u16, |crc, byte| {
        (0..8).fold(
            crc ^ (u16::from(byte) << 8),
            |crc, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
            },
        )
    });
    crc % SLOTS
}

impl Cluster {
    pub(super) fn new(seeds: Vec<ConnectionInfo>) -> Self {
        let shown = seeds.iter().map(|info| info.addr().to_string()).collect::<Vec<_>>().join(", ");
        Self { seeds, known: Mutex::default(), shown }
    }

    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// The node that serves the slot, with the login from the URL.
    pub(super) async fn owner(&self, slot: u16, limit: Duration) -> Result<ConnectionInfo, Failure> {
        let maps = self.maps(limit).await?;
        let owners = maps.iter().filter_map(|map| {
            let range = map.ranges.iter().find(|range| (range.first..=range.last).contains(&slot))?;
            Some((0, range.primary.clone()))
        });
        match ask::best(&owners.collect::<Vec<_>>()) {
            Some((host, port)) => Ok(self.at(host, port)),
            None => Err(self.uncovered(slot)),
        }
    }

    /// The primaries of all shards.
    pub(super) async fn primaries(&self, limit: Duration) -> Result<Vec<ConnectionInfo>, Failure> {
        let maps = self.maps(limit).await?;
        let map = ask::best(&maps.into_iter().map(|map| (0, map)).collect::<Vec<_>>()).unwrap_or_default();
        let mut next = 0;
        for range in &map.ranges {
            if range.first != next {
                return Err(self.uncovered(next));
            }
            next = range.last + 1;
        }
        if next != SLOTS {
            return Err(self.uncovered(next));
        }
        let mut primaries: Vec<_> = map.ranges.into_iter().map(|range| range.primary).collect();
        primaries.sort();
        primaries.dedup();
        Ok(primaries.into_iter().map(|(host, port)| self.at(host, port)).collect())
    }

    /// The same login at another node.
    pub(super) fn at(&self, host: String, port: u16) -> ConnectionInfo {
        at(&self.seeds[0], host, port)
    }

    fn uncovered(&self, slot: u16) -> Failure {
        Failure::told(format!("no node of the cluster at {} serves hash slot {slot}: repair the cluster", self.shown))
    }

    async fn maps(&self, limit: Duration) -> Result<Vec<Map>, Failure> {
        let mut asked = self.seeds.clone();
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (host, port) in known {
            let info = self.at(host, port);
            if asked.len() < ASKED && asked.iter().all(|other| other.addr() != info.addr()) {
                asked.push(info);
            }
        }
        let maps = ask::all(asked.iter().map(|info| look(info, limit))).await?;
        let mut nodes: Vec<_> = maps.iter().flat_map(|map| map.nodes.iter().cloned()).collect();
        nodes.sort();
        nodes.dedup();
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = nodes;
        Ok(maps)
    }
}

async fn look(info: &ConnectionInfo, limit: Duration) -> Result<Map, Failure> {
    let address = info.addr();
    let answer: Result<Value, _> = async {
        let mut connection = ask::connect(info.clone(), limit).await?;
        cmd("CLUSTER").arg("SLOTS").query_async(&mut connection).await
    }
    .await;
    let value = answer.map_err(|error| {
        if error.to_string().contains("cluster support disabled") {
            return Failure::told(format!(
                "Redis at {address} is not part of a cluster: use redis:// or redis+sentinel:// in the store's `url`"
            ));
        }
        let mut failure = Failure::explain(&error, &address.to_string());
        failure.broken = true;
        failure
    })?;
    let host = match address {
        redis::ConnectionAddr::Tcp(host, _) | redis::ConnectionAddr::TcpTls { host, .. } => host.as_str(),
        _ => "",
    };
    read(&value, host)
        .ok_or_else(|| Failure::told(format!("Redis at {address} answered `CLUSTER SLOTS` in an unknown form")))
}

/// Reads `[[first, last, [host, port, …], replicas …], …]`; an empty host is the one that was asked.
fn read(value: &Value, asked: &str) -> Option<Map> {
    let Value::Array(rows) = value else { return None };
    let mut map = Map::default();
    for row in rows {
        let Value::Array(fields) = row else { return None };
        let [Value::Int(first), Value::Int(last), nodes @ ..] = fields.as_slice() else { return None };
        let nodes: Vec<_> = nodes.iter().map(|node| address(node, asked)).collect::<Option<_>>()?;
        let primary = nodes.first()?.clone();
        map.ranges.push(Range { first: u16::try_from(*first).ok()?, last: u16::try_from(*last).ok()?, primary });
        map.nodes.extend(nodes);
    }
    map.ranges.sort_by_key(|range| range.first);
    Some(map)
}

fn address(node: &Value, asked: &str) -> Option<(String, u16)> {
    let Value::Array(fields) = node else { return None };
    let [host, Value::Int(port), ..] = fields.as_slice() else { return None };
    let host = match host {
        Value::BulkString(host) => String::from_utf8(host.clone()).ok()?,
        Value::SimpleString(host) => host.clone(),
        _ => String::new(),
    };
    let host = if host.is_empty() || host == "?" { asked.to_owned() } else { host };
    Some((host, u16::try_from(*port).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(slot_of("123456789"), 0x31C3);
        assert_eq!((slot_of(""), slot_of("foo")), (0, 12_182));
    }

    #[test]
    fn a_map_is_read_and_a_nameless_host_is_the_one_asked() {
        let node = |host: Value, port| Value::Array(vec![host, Value::Int(port), Value::BulkString(b"id".to_vec())]);
        let row =
            |first, last, nodes: Vec<Value>| Value::Array([vec![Value::Int(first), Value::Int(last)], nodes].concat());
        let host = |name: &str| Value::BulkString(name.as_bytes().to_vec());
        let value = Value::Array(vec![
            row(8_192, 16_383, vec![node(Value::Nil, 2)]),
            row(0, 8_191, vec![node(host("a"), 1), node(host("b"), 3)]),
        ]);
        let map = read(&value, "asked").expect("readable");
        assert_eq!(map.ranges[0], Range { first: 0, last: 8_191, primary: ("a".to_owned(), 1) });
        assert_eq!(map.ranges[1].primary, ("asked".to_owned(), 2));
        assert_eq!(map.nodes.len(), 3);
        assert_eq!(read(&Value::Array(vec![Value::Nil]), "asked"), None);
    }
}
