//! What may change while the proxy runs, and how a change is noticed.

use std::sync::mpsc::channel;
use std::time::Duration;

use super::{Folder, ROOM, config};
use crate::config::watch::Watched;
use crate::config::{Changes, Config, ConfigWatcher, diff};
use crate::store::RoomName;

/// Long enough for a busy machine; no test waits for it unless it fails.
const DEADLINE: Duration = Duration::from_secs(20);

fn names(list: &[&str]) -> Vec<RoomName> {
    list.iter().map(|name| RoomName::new(name).unwrap()).collect()
}

fn rooms(list: &[(&str, f64)]) -> Config {
    let room = |(name, rate): &(&str, f64)| {
        format!(
            "[[rooms]]\nname = \"{name}\"\nhosts = [\"{name}.example\"]\nupstreams = [\"h:1\"]\nrate_per_s = {rate:?}\n"
        )
    };
    config(&list.iter().map(room).collect::<String>())
}

#[test]
fn rooms_are_added_removed_and_changed() {
    let old = rooms(&[("a", 1.0), ("b", 1.0), ("c", 1.0)]);
    let new = rooms(&[("b", 2.0), ("c", 1.0), ("d", 1.0)]);
    let changes = diff(&old, &new, "f").unwrap();
    let expected =
        Changes { added: names(&["d"]), removed: names(&["a"]), changed: names(&["b"]), ..Changes::default() };
    assert_eq!(changes, expected);
    assert!(diff(&old, &old.clone(), "f").unwrap().is_empty());
    let turned = rooms(&[("b", 1.0), ("a", 1.0), ("c", 1.0)]);
    assert_eq!(diff(&old, &turned, "f").unwrap(), Changes { reordered: true, ..Changes::default() });
}

#[test]
fn i23_what_needs_a_restart_is_refused_with_a_sentence() {
    let old = config(ROOM);
    let text = "[server]\nlisten = [\"127.0.0.1:1\"]\nadmin_listen = \"127.0.0.1:2\"\nmax_connections = 3\n\
                [store]\nurl = \"redis://127.0.0.1:6379\"\nmin_acks = 1\n";
    let refused = diff(&old, &config(&format!("{text}{ROOM}")), "waitroom.toml").unwrap_err();
    let keys: Vec<_> = refused.iter().map(|p| p.key.as_str()).collect();
    let all = ["server.listen", "server.admin_listen", "server.max_connections", "store.url", "store.min_acks"];
    assert_eq!(keys, all);
    assert!(refused[0].to_string().contains("restart"), "{}", refused[0]);
}

#[test]
fn keys_made_at_start_survive_a_reload() {
    let mut old = config(ROOM);
    old.tokens.fill_missing(&mut |bytes| bytes.fill(1)).unwrap();
    assert!(diff(&old, &config(ROOM), "f").unwrap().is_empty());
    let issuer = config(&format!("[tokens]\nissuer = \"other\"\n{ROOM}"));
    assert_eq!(diff(&old, &issuer, "f").unwrap(), Changes { tokens: true, ..Changes::default() });
    let settings = config(&format!("[server]\ntrusted_proxies = [\"10.0.0.0/8\"]\n{ROOM}"));
    assert_eq!(diff(&old, &settings, "f").unwrap(), Changes { settings: true, ..Changes::default() });
}

#[test]
fn only_other_contents_are_a_change() {
    let folder = Folder::with("first");
    let file = folder.0.path().join("waitroom.toml");
    let mut watched = Watched::new(std::slice::from_ref(&file));
    assert!(!watched.changed());
    folder.put("waitroom.toml", b"first", 0o640);
    assert!(!watched.changed(), "written again, with other permissions");
    folder.put("waitroom.toml", b"second", 0o640);
    assert!(watched.changed() && !watched.changed());
    std::fs::remove_file(&file).unwrap();
    assert!(watched.changed() && !watched.changed());
}

#[test]
fn file_behind_a_link_is_noticed_where_it_is_changed() {
    let (links, files) = (Folder::with(""), Folder::with("first"));
    let link = links.0.path().join("link.toml");
    let target = files.0.path().join("waitroom.toml");
    std::os::unix::fs::symlink(&target, &link).unwrap();
    let (sender, seen) = channel();
    let _watcher = ConfigWatcher::start(&[link], move || {
        let _ = sender.send(());
    })
    .unwrap();
    files.put("waitroom.toml", b"second", 0o600);
    seen.recv_timeout(DEADLINE).unwrap();
}

#[test]
fn replaced_and_rewritten_files_are_noticed() {
    let folder = Folder::with("first");
    let file = folder.0.path().join("waitroom.toml");
    let (sender, seen) = channel();
    let read = file.clone();
    let watcher = ConfigWatcher::start(std::slice::from_ref(&file), move || {
        let _ = sender.send(std::fs::read_to_string(&read).unwrap_or_default());
    })
    .unwrap();
    // The editor's way: a new file moved over the old one.
    let new = folder.put("waitroom.toml.swp", b"second", 0o600);
    std::fs::rename(new, &file).unwrap();
    assert_eq!(seen.recv_timeout(DEADLINE).unwrap(), "second");
    folder.put("waitroom.toml", b"third", 0o600);
    assert_eq!(seen.recv_timeout(DEADLINE).unwrap(), "third");
    drop(watcher);
    assert!(seen.recv_timeout(DEADLINE).is_err(), "the watcher's thread ends with it");
}

#[test]
fn missing_folder_cannot_be_watched() {
    let error = ConfigWatcher::start(&["/no/such/folder/x.toml".into()], || {}).err().unwrap();
    assert!(error.to_string().starts_with("cannot watch /no/such/folder: "), "{error}");
}
