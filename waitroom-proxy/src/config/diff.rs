//! What a reload would change, and what it may not. Pure.

use super::{Config, Problem};
use crate::store::RoomName;

/// What changes when a new config takes the place of an old one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Rooms that are new.
    pub added: Vec<RoomName>,
    /// Rooms that are gone.
    pub removed: Vec<RoomName>,
    /// Rooms whose settings differ.
    pub changed: Vec<RoomName>,
    /// Signing or seal keys, or the issuer, differ.
    pub tokens: bool,
    /// `admin_token_file`, `trusted_proxies`, `secure_cookies` or the store's policy differ.
    pub settings: bool,
    /// Rooms are the same but stand in another order, which decides where open paths go.
    pub reordered: bool,
}

impl Changes {
    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Compares two configs. `source` names the new one in problems.
///
/// # Errors
/// One problem for each change that needs a restart; then nothing may be applied.
pub fn diff(old: &Config, new: &Config, source: &str) -> Result<Changes, Vec<Problem>> {
    let needs_restart = [
        ("server.listen", old.server.listen != new.server.listen),
        ("server.admin_listen", old.server.admin_listen != new.server.admin_listen),
        ("server.max_connections", old.server.max_connections != new.server.max_connections),
        ("store.url", old.store.url != new.store.url),
        ("store.min_acks", old.store.min_acks != new.store.min_acks),
    ];
    let refused: Vec<Problem> = needs_restart
        .iter()
        .filter(|(_, differs)| *differs)
        .map(|(key, _)| Problem {
            source: source.to_owned(),
            line: None,
            key: (*key).to_owned(),
            message: "cannot change while the proxy runs: restart it, or put the old value back".to_owned(),
        })
        .collect();
    if !refused.is_empty() {
        return Err(refused);
    }
    let find = |config: &Config, name: &RoomName| config.rooms.iter().find(|room| room.name == *name).cloned();
    let mut changes = Changes {
        tokens: !same_tokens(old, new),
        settings: old.server != new.server || old.store != new.store,
        ..Changes::default()
    };
    for room in &new.rooms {
        match find(old, &room.name) {
            None => changes.added.push(room.name.clone()),
            Some(before) if before != *room => changes.changed.push(room.name.clone()),
            Some(_) => {}
        }
    }
    for room in old.rooms.iter().filter(|room| find(new, &room.name).is_none()) {
        changes.removed.push(room.name.clone());
    }
    let stays = |config: &Config, other: &Config| {
        let names = config.rooms.iter().map(|room| room.name.clone());
        names.filter(|name| find(other, name).is_some()).collect::<Vec<_>>()
    };
    changes.reordered = stays(old, new) != stays(new, old);
    Ok(changes)
}

/// Keys made at start stay when the new config names none either.
fn same_tokens(old: &Config, new: &Config) -> bool {
    let same = |old: &[super::NamedKey], new: &[super::NamedKey]| new.is_empty() || old == new;
    old.tokens.issuer == new.tokens.issuer
        && old.tokens.algorithm == new.tokens.algorithm
        && same(&old.tokens.keys, &new.tokens.keys)
        && same(&old.tokens.seal_keys, &new.tokens.seal_keys)
}
