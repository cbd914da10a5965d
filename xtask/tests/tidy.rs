//! Reads the sources and enforces who may name whom, and a few habits that no lint knows.
#![expect(clippy::unwrap_used, reason = "a test that cannot read the sources has failed")]

use std::path::{Path, PathBuf};

/// Files (a path, or a folder with everything below) and the words that must not occur in their code.
const RULES: &[(&[&str], &[&str])] = &[
    (
        &["queue-token/src"],
        &["pingora", "redis", "sqlx", "tokio", "axum", "tracing", "SystemTime", "Instant::now", "Utc::now"],
    ),
    (
        &[
            "waitroom-proxy/src/classify.rs",
            "waitroom-proxy/src/classify",
            "waitroom-proxy/src/decide.rs",
            "waitroom-proxy/src/admission.rs",
            "waitroom-proxy/src/admission",
            "waitroom-proxy/src/rank.rs",
            "waitroom-proxy/src/silence.rs",
            "waitroom-proxy/src/view.rs",
            "waitroom-proxy/src/ticket.rs",
            "waitroom-proxy/src/session.rs",
            "waitroom-proxy/src/seal.rs",
            "waitroom-proxy/src/credentials.rs",
            "waitroom-proxy/src/status.rs",
            "waitroom-proxy/src/page.rs",
            "waitroom-proxy/src/page",
            "reservation-svc/src/breaker.rs",
            "reservation-svc/src/gateway/repair.rs",
            "reservation-svc/src/quota.rs",
            "reservation-svc/src/seat.rs",
        ],
        &["pingora", "redis", "sqlx", "tokio", "axum", "tracing", "SystemTime", "Instant::now", "Utc::now"],
    ),
    (&["waitroom-proxy/src/store.rs"], &["pingora", "axum", "sqlx"]),
    (
        &["waitroom-proxy/src/store", "reservation-svc/src/lock.rs", "reservation-svc/src/lock"],
        &["pingora", "axum", "sqlx"],
    ),
    (
        &[
            "reservation-svc/src/link.rs",
            "reservation-svc/src/server.rs",
            "reservation-svc/src/flight.rs",
            "reservation-svc/src/catalogue.rs",
            "reservation-svc/src/seatmap.rs",
            "reservation-svc/src/seatmap",
        ],
        &["pingora", "axum", "sqlx"],
    ),
    (&["waitroom-proxy/src/store/memory.rs", "waitroom-proxy/src/store/memory"], &["redis"]),
    (&["reservation-svc/src/ledger.rs", "reservation-svc/src/ledger"], &["redis", "axum"]),
    (
        &[
            "waitroom-proxy/src/edge.rs",
            "waitroom-proxy/src/edge",
            "waitroom-proxy/src/admin.rs",
            "waitroom-proxy/src/admin",
        ],
        &["redis", "sqlx"],
    ),
    (&["waitroom-proxy/src/room.rs", "waitroom-proxy/src/room"], &["pingora", "redis", "axum", "sqlx"]),
    (
        &[
            "waitroom-proxy/src/reception.rs",
            "waitroom-proxy/src/reception",
            "waitroom-proxy/src/mint.rs",
            "waitroom-proxy/src/renewal.rs",
        ],
        &["pingora", "redis", "axum", "sqlx", "edge", "SystemTime", "Instant::now", "Utc::now"],
    ),
    (&["reservation-svc/src/gateway.rs", "reservation-svc/src/gateway"], &["redis", "sqlx", "axum"]),
    (&["reservation-svc/src/booking.rs", "reservation-svc/src/booking"], &["redis", "sqlx", "axum"]),
    (&["reservation-svc/src/http.rs", "reservation-svc/src/http"], &["redis", "sqlx"]),
    // The services never import each other, and the load test speaks only HTTP.
    (&["waitroom-proxy/src"], &["reservation_svc", "loadtest", "testbed"]),
    (&["reservation-svc/src"], &["waitroom_proxy", "loadtest", "testbed", "pingora"]),
    (&["loadtest/src"], &["waitroom_proxy", "reservation_svc", "queue_token"]),
];

/// Modules that may name `config`; everybody else takes small settings.
const MAY_NAME_CONFIG: &[&str] = &["config", "cli", "run", "main.rs", "config.rs", "cli.rs", "run.rs"];

#[test]
fn everybody_names_only_whom_they_may() {
    let mut broken = Vec::new();
    for (places, words) in RULES {
        for file in places.iter().flat_map(|place| sources(place)) {
            for (number, line) in code_lines(&file) {
                for word in words.iter().filter(|word| names(&line, word)) {
                    broken.push(format!("{}:{number} names {word}: {}", shown(&file), line.trim()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_proxys_config_is_named_by_main_and_run_only() {
    let mut broken = Vec::new();
    for file in sources("waitroom-proxy/src") {
        let relative = shown(&file);
        let top = relative.trim_start_matches("waitroom-proxy/src/").split('/').next().unwrap_or_default().to_owned();
        if MAY_NAME_CONFIG.contains(&top.as_str()) {
            continue;
        }
        let named = code_lines(&file).into_iter().filter(|(_, line)| line.contains("crate::config"));
        broken.extend(named.map(|(number, line)| format!("{relative}:{number}: {}", line.trim())));
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_rust_file_says_what_it_is_and_no_folder_has_a_mod_rs() {
    let mut broken = Vec::new();
    for folder in ["queue-token", "waitroom-proxy", "reservation-svc", "loadtest", "testbed", "xtask"] {
        for file in sources(folder) {
            let text = std::fs::read_to_string(&file).unwrap();
            if !text.starts_with("//!") {
                broken.push(format!("{} does not open with a line on what it is", shown(&file)));
            }
            if file.ends_with("mod.rs") {
                broken.push(format!("{} should be named after its folder", shown(&file)));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn scripts_and_statements_open_with_their_contract() {
    let mut broken = Vec::new();
    for folder in ["waitroom-proxy/src", "reservation-svc/src", "migrations"] {
        for (file, ending) in files(&root().join(folder)).into_iter().filter_map(|file| {
            let ending = file.extension()?.to_str()?.to_owned();
            Some((file, ending))
        }) {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            if matches!(ending.as_str(), "lua" | "sql") && !text.starts_with("--") {
                broken.push(format!("{} does not open with a comment on what it does", shown(&file)));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Whether the word occurs as a whole name.
fn names(line: &str, word: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(is_name) && !after.is_some_and(is_name)
    })
}

/// Lines of code outside of comments, text and test modules at the end of a file.
fn code_lines(file: &Path) -> Vec<(usize, String)> {
    let text = std::fs::read_to_string(file).unwrap();
    let tests = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    let is_test_file = file.ends_with("tests.rs") || file.components().any(|part| part.as_os_str() == "tests");
    let code = if is_test_file { "" } else { &text[..tests] };
    code.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(index, line)| (index + 1, without_text(line)))
        .collect()
}

/// The line without what stands in quotes.
fn without_text(line: &str) -> String {
    line.split('"').step_by(2).collect()
}

fn sources(place: &str) -> Vec<PathBuf> {
    files(&root().join(place))
        .into_iter()
        .filter(|file| file.extension().is_some_and(|ending| ending == "rs"))
        .collect()
}

fn files(place: &Path) -> Vec<PathBuf> {
    if place.is_file() {
        return vec![place.to_owned()];
    }
    let Ok(entries) = std::fs::read_dir(place) else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries.flatten().flat_map(|entry| files(&entry.path())).collect();
    found.sort();
    found
}

fn shown(file: &Path) -> String {
    file.strip_prefix(root()).unwrap_or(file).display().to_string()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
