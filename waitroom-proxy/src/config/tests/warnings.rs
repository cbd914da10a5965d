//! What is legal and unwise.

use super::{Folder, ROOM, lines};

fn warned(text: &str, line: usize, key: &str, says: &str) {
    let report = Folder::with(text).report();
    assert!(report.mistakes.is_empty(), "{:#?}", lines(&report.mistakes));
    let hit = |w: &super::Problem| w.line == Some(line) && w.key == key && w.message.contains(says);
    assert!(report.warnings.iter().any(hit), "no {line} {key} {says} in {:#?}", lines(&report.warnings));
}

#[test]
fn unwise_settings_of_a_room() {
    let room =
        |line: &str, key: &str, says: &str| warned(&format!("{ROOM}{line}\n"), 4, &format!("rooms[0].{key}"), says);
    room("paths = [\"/buy\"]", "paths", "any host: every path outside /buy is in no room");
    room(
        "paths = [\"/a\", \"/b\", \"/c\", \"/d\", \"/e\", \"/f\"]",
        "paths",
        "outside /a, /b, /c, /d, /e, … is in no room",
    );
    room("bypass_paths = [\"/\"]", "bypass_paths[0]", "nobody ever waits there");
    room("rate_per_s = 0", "rate_per_s", "nobody is let in");
    room("claim_ttl_s = 5", "claim_ttl_s", "under 15 seconds");
    room("abandon_after_s = 10", "abandon_after_s", "under 60 seconds");
    room("claim_ttl_s = 90000", "claim_ttl_s", "no ticket to take it up with");
    let text = format!("{ROOM}ticket_max_age_s = 80\n");
    warned(&text, 4, "rooms[0].ticket_max_age_s", "less than abandon_after_s (90)");
    let text = format!("{ROOM}session_max_s = 60\n");
    warned(&text, 4, "rooms[0].session_max_s", "every session ends after 60 seconds");
    let short = super::config(&text).rooms.remove(0);
    assert_eq!((short.session_ttl, short.session_max), (short.session_max, std::time::Duration::from_secs(60)));
    let useless = format!("{ROOM}bypass_paths = [\"/img/\"]\npaths = [\"/buy\"]\n");
    warned(&useless, 4, "rooms[0].bypass_paths[0]", "it does nothing");
    warned(&format!("{ROOM}burst = 20\nmax_active = 10\n"), 4, "rooms[0].burst", "more than max_active");
}

#[test]
fn unwise_settings_of_the_server_and_the_store() {
    let cookies = format!("[server]\nlisten = [\"0.0.0.0:8080\"]\nsecure_cookies = false\n{ROOM}");
    warned(&cookies, 3, "server.secure_cookies", "travel in the clear");
    let trust = format!("[server]\ntrusted_proxies = [\"0.0.0.0/0\"]\n{ROOM}");
    warned(&trust, 2, "server.trusted_proxies[0]", "is everybody");
    let password = format!("[store]\nurl = \"redis://:pw@127.0.0.1:6379\"\n{ROOM}");
    warned(&password, 2, "store.url", "WAITROOM_STORE_URL");
    let pass = format!("[store]\nurl = \"redis://127.0.0.1:6379\"\non_unavailable = \"pass\"\n{ROOM}");
    warned(&pass, 3, "store.on_unavailable", "reaches the upstreams at once");
    warned(&format!("[tokens]\nkeys = []\n{ROOM}"), 2, "tokens.keys", "made at start");
}

#[test]
fn room_for_any_host_beside_others() {
    let text = format!("{ROOM}hosts = []\n[[rooms]]\nname = \"b\"\nhosts = [\"b.example\"]\nupstreams = [\"h:1\"]\n");
    warned(&text, 4, "rooms[0].hosts", "every other host name");
}

#[test]
fn warnings_are_there_beside_mistakes() {
    let report = Folder::with(&format!("{ROOM}rate_per_s = 0\nburst = 0\n")).report();
    assert_eq!(report.mistakes.len(), 1);
    assert!(report.warnings.iter().any(|w| w.key == "rooms[0].rate_per_s"));
}
