//! All rooms together: names, overlaps, and what no room protects.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use super::{Checker, room};
use crate::classify;
use crate::config::Room;
use crate::config::raw::RawRoom;

/// More rooms than anybody has; each costs a ticker.
const MAX_ROOMS: usize = 1000;

/// How many prefixes a warning names before it says "and more".
const NAMED_PREFIXES: usize = 5;

pub(super) fn check(checker: &mut Checker<'_>, raw: &[RawRoom], listen: &[SocketAddr]) -> Option<Vec<Room>> {
    let unreadable = checker.document.has("rooms") && checker.document.value["rooms"].is_null();
    // What could not be read was reported by the reader.
    if raw.is_empty() && !unreadable {
        checker.mistake("rooms", "is missing: add at least one [[rooms]] with a name and upstreams");
    }
    if raw.len() > MAX_ROOMS {
        checker.mistake("rooms", format!("has {} entries, at most {MAX_ROOMS} are allowed", raw.len()));
        return None;
    }
    unique_names(checker, raw);
    let checked: Vec<Option<Room>> =
        raw.iter().enumerate().map(|(i, raw)| room::check(checker, i, raw, listen)).collect();
    overlaps(checker, &checked);
    open_paths(checker, &checked);
    bypasses(checker, &checked);
    any_host(checker, &checked);
    let rooms: Vec<Room> = checked.into_iter().collect::<Option<_>>()?;
    (!rooms.is_empty()).then_some(rooms)
}

fn unique_names(checker: &mut Checker<'_>, raw: &[RawRoom]) {
    let mut first: HashMap<&str, usize> = HashMap::new();
    for (i, name) in raw.iter().enumerate().filter_map(|(i, room)| Some((i, room.name.as_deref()?))) {
        match first.get(name) {
            Some(other) => {
                let message = format!("{name:?} is also the name of rooms[{other}]: give each room its own");
                checker.mistake(&format!("rooms[{i}].name"), message);
            }
            None => drop(first.insert(name, i)),
        }
    }
}

/// The hosts of a room as keys; `None`: any.
fn hosts(room: &Room) -> Vec<Option<&str>> {
    if room.hosts.is_empty() { vec![None] } else { room.hosts.iter().map(|host| Some(host.as_str())).collect() }
}

fn host_words(host: Option<&str>) -> String {
    host.map_or_else(|| "any host".to_owned(), |host| format!("host {host}"))
}

fn overlaps(checker: &mut Checker<'_>, rooms: &[Option<Room>]) {
    let mut first: HashMap<(Option<&str>, Box<[u8]>), usize> = HashMap::new();
    for (i, room) in rooms.iter().enumerate().filter_map(|(i, room)| Some((i, room.as_ref()?))) {
        for (j, path) in room.paths.iter().enumerate() {
            let Ok(prefix) = classify::normal_prefix(path) else { continue };
            for host in hosts(room) {
                let other = *first.entry((host, prefix.clone())).or_insert(i);
                if other == i {
                    continue;
                }
                let message = format!(
                    "{path:?} on {} already belongs to rooms[{other}]: a request can wait in one room only",
                    host_words(host)
                );
                checker.mistake(&format!("rooms[{i}].paths[{j}]"), message);
                break;
            }
        }
    }
}

/// Warns of hosts on which some paths are in no room.
fn open_paths(checker: &mut Checker<'_>, rooms: &[Option<Room>]) {
    let mut by_host: BTreeMap<Option<&str>, (usize, Vec<&str>)> = BTreeMap::new();
    for (i, room) in rooms.iter().enumerate().filter_map(|(i, room)| Some((i, room.as_ref()?))) {
        for host in hosts(room) {
            by_host.entry(host).or_insert((i, Vec::new())).1.extend(room.paths.iter().map(String::as_str));
        }
    }
    for (host, (first, mut paths)) in by_host {
        if paths.contains(&"/") {
            continue;
        }
        let more = if paths.len() > NAMED_PREFIXES { ", …" } else { "" };
        paths.truncate(NAMED_PREFIXES);
        let message = format!(
            "{}: every path outside {}{more} is in no room and is forwarded without waiting to this room's upstreams; \
             if they ignore case, so is another spelling of a protected path",
            host_words(host),
            paths.join(", ")
        );
        checker.warning(&format!("rooms[{first}].paths"), message);
    }
}

fn bypasses(checker: &mut Checker<'_>, rooms: &[Option<Room>]) {
    for (i, room) in rooms.iter().enumerate().filter_map(|(i, room)| Some((i, room.as_ref()?))) {
        for (j, bypass) in room.bypass_paths.iter().enumerate() {
            let covers = |prefix: &String, path: &str| {
                let prefix = prefix.trim_end_matches('/');
                path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            let key = format!("rooms[{i}].bypass_paths[{j}]");
            if room.paths.iter().any(|path| covers(bypass, path)) {
                checker.warning(&key, format!("{bypass:?} covers a protected path: nobody ever waits there"));
            } else if !room.paths.iter().any(|path| covers(path, bypass)) {
                checker.warning(&key, format!("{bypass:?} lies below none of the room's paths: it does nothing"));
            }
        }
    }
}

fn any_host(checker: &mut Checker<'_>, rooms: &[Option<Room>]) {
    let rooms: Vec<_> = rooms.iter().enumerate().filter_map(|(i, room)| Some((i, room.as_ref()?))).collect();
    let with_hosts = rooms.iter().any(|(_, room)| !room.hosts.is_empty());
    for (i, room) in rooms.iter().filter(|(_, room)| with_hosts && room.hosts.is_empty()) {
        let message = format!(
            "is empty beside rooms that name hosts: {} answers for every other host name, also unknown ones",
            room.name
        );
        checker.warning(&format!("rooms[{i}].hosts"), message);
    }
}
