//! Directed cases for every line on paths and hosts under *Refused*, and properties over random ones.

use proptest::prelude::*;

use super::{BadPath, Refusal, RoomRule, RouteKind, RoutingTable};
use crate::store::RoomName;

fn rule(name: &str, hosts: &[&str], paths: &[&str], bypass: &[&str]) -> RoomRule {
    let own = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
    RoomRule { name: RoomName::new(name).unwrap(), hosts: own(hosts), paths: own(paths), bypass_paths: own(bypass) }
}

fn table() -> RoutingTable {
    RoutingTable::new(&[
        rule("shop", &["shop.example"], &["/buy", "/콘서트"], &["/buy/assets/"]),
        rule("concert", &["shop.example", "tickets.example"], &["/buy/concert", "/"], &["/assets/", "/ping"]),
        rule("late", &["late.example"], &["/a/b/"], &[]),
    ])
}

fn ask(host: &str, path: &str) -> Result<(String, RouteKind), Refusal> {
    table().classify(Some(host), path).map(|route| (route.room.name.to_string(), route.kind))
}

fn goes(host: &str, path: &str, room: &str, kind: RouteKind) {
    assert_eq!(ask(host, path), Ok((room.to_owned(), kind)), "{host} {path}");
}

fn refused(paths: &[&str], why: BadPath) {
    for path in paths {
        assert_eq!(ask("tickets.example", path), Err(Refusal::BadPath(why)), "{path}");
        let after = format!("/assets/x{path}");
        assert_eq!(ask("tickets.example", &after), Err(Refusal::BadPath(why)), "{after}");
    }
}

#[test]
fn longest_prefix_wins_by_whole_segments() {
    goes("shop.example", "/buy", "shop", RouteKind::Protected);
    goes("shop.example", "/buy/", "shop", RouteKind::Protected);
    goes("shop.example", "/buy/1?x=/../", "shop", RouteKind::Protected);
    goes("shop.example", "/buy/concert/1", "concert", RouteKind::Protected);
    goes("shop.example", "/buyer", "concert", RouteKind::Protected);
    goes("late.example", "/a/b", "late", RouteKind::Protected);
}

#[test]
fn bypass_paths_win_inside_their_room_only() {
    goes("tickets.example", "/assets/app.js", "concert", RouteKind::Bypass);
    goes("tickets.example", "/ping", "concert", RouteKind::Bypass);
    goes("tickets.example", "/ping/x", "concert", RouteKind::Bypass);
    goes("shop.example", "/buy/assets/app.js", "shop", RouteKind::Bypass);
    goes("shop.example", "/buy/concert/assets/app.js", "concert", RouteKind::Protected);
    // A trailing slash means: only what lies below.
    goes("tickets.example", "/assets", "concert", RouteKind::Protected);
}

#[test]
fn path_in_no_room_goes_to_the_hosts_first_room_unqueued() {
    goes("late.example", "/", "late", RouteKind::Open);
    goes("late.example", "/a/bc", "late", RouteKind::Open);
}

#[test]
fn hosts_are_matched_without_port_case_and_trailing_dot() {
    for host in ["tickets.example:8080", "TICKETS.Example", "tickets.example.", "tickets.example.:443"] {
        goes(host, "/x", "concert", RouteKind::Protected);
    }
}

#[test]
fn refused_host_not_in_any_room() {
    let long = "a".repeat(300);
    for host in ["other.example", "shop.example.evil", "xshop.example", "[::1]:80", long.as_str()] {
        assert_eq!(ask(host, "/"), Err(Refusal::UnknownHost), "{host}");
    }
    assert_eq!(table().classify(None, "/"), Err(Refusal::MissingHost));
    assert_eq!(ask("", "/"), Err(Refusal::MissingHost));
}

#[test]
fn room_without_hosts_answers_for_hosts_that_no_room_names() {
    let table = RoutingTable::new(&[rule("any", &[], &["/"], &[]), rule("one", &["one.example"], &["/x"], &[])]);
    let name = |host, path| table.classify(Some(host), path).map(|r| (r.room.index, r.kind));
    assert_eq!(name("other.example", "/x"), Ok((0, RouteKind::Protected)));
    assert_eq!(name("[::1]:80", "/x"), Ok((0, RouteKind::Protected)));
    assert_eq!(name("one.example", "/x"), Ok((1, RouteKind::Protected)));
    assert_eq!(name("one.example", "/y"), Ok((1, RouteKind::Open)));
}

#[test]
fn refused_dot_segments_however_written() {
    refused(&["/../checkout", "/./x", "/..", "/.", "/a/.."], BadPath::DotSegment);
    refused(&["/%2e%2e/checkout", "/%2E%2E/x", "/.%2e/x", "/%2e", "/%2e."], BadPath::DotSegment);
    refused(&["/%252e%252e/x", "/%25252E./x", "/%25%32%65./x"], BadPath::DotSegment);
    refused(&["/..;/x", "/..;a=b/x", "/.;/x", "/%2e%2e;/x"], BadPath::DotSegment);
}

#[test]
fn refused_encoded_slash() {
    refused(&["/a%2fb", "/a%2Fb", "/%2f", "/..%2fx", "/a%252fb", "/a%25252Fb"], BadPath::EncodedSlash);
}

#[test]
fn refused_empty_segments() {
    refused(&["//", "//x", "/a//b", "/a//", "/;x/b", "/;/b"], BadPath::EmptySegment);
}

#[test]
fn refused_backslash() {
    refused(&["/\\x", "/a\\..\\b", "/a%5cb", "/a%5Cb", "/a%255cb"], BadPath::Backslash);
}

#[test]
fn refused_nul_and_what_cuts_a_path() {
    refused(&["/a%00", "/a\0b", "/a%2500", "/a b", "/a\tb", "/a\x7f", "/a#b"], BadPath::Character);
}

#[test]
fn refused_broken_escapes() {
    refused(&["/a%", "/a%2", "/a%zz", "/%u002e%u002e/x", "/%%32%65./x"], BadPath::BrokenEscape);
}

#[test]
fn refused_targets_that_are_no_path() {
    for target in ["", "*", "shop.example:443", "assets/x", "ftp://shop.example/", "?x"] {
        assert_eq!(ask("shop.example", target), Err(Refusal::BadPath(BadPath::NotAbsolute)), "{target}");
    }
}

#[test]
fn absolute_targets_are_matched_by_their_path_and_must_agree_on_the_host() {
    goes("late.example", "http://late.example/a/b?q", "late", RouteKind::Protected);
    goes("late.example:80", "HTTP://LATE.example", "late", RouteKind::Open);
    goes("", "https://late.example:443/a/b", "late", RouteKind::Protected);
    let other = Err(Refusal::BadPath(BadPath::OtherHost));
    assert_eq!(ask("late.example", "http://shop.example/a/b"), other);
    assert_eq!(ask("late.example", "http://u@late.example/a/b"), other);
    assert_eq!(ask("late.example", "http://late.example/a/../b"), Err(Refusal::BadPath(BadPath::DotSegment)));
}

#[test]
fn encoded_letters_do_not_lead_around_a_room() {
    let table = RoutingTable::new(&[rule("buy", &[], &["/buy", "/콘서트"], &[])]);
    let kind = |path| table.classify(Some("h"), path).map(|r| r.kind);
    assert_eq!(kind("/%62uy/1"), Ok(RouteKind::Protected));
    assert_eq!(kind("/%EC%BD%98%EC%84%9C%ED%8A%B8/1"), Ok(RouteKind::Protected));
    assert_eq!(kind("/콘서트"), Ok(RouteKind::Protected));
    assert_eq!(kind("/%2562uy"), Err(Refusal::BadPath(BadPath::EncodedTwice)));
    assert_eq!(kind("/100%25"), Ok(RouteKind::Open));
    assert_eq!(kind("/x/http%253A%20"), Ok(RouteKind::Open));
    assert_eq!(kind(&format!("/x/%{}20", "25".repeat(5000))), Err(Refusal::BadPath(BadPath::EncodedTwice)));
}

#[test]
fn path_parameters_do_not_lead_around_a_room() {
    let table = RoutingTable::new(&[rule("buy", &[], &["/shop/buy"], &["/shop/buy/assets/"])]);
    let kind = |path| table.classify(Some("h"), path).map(|r| r.kind);
    assert_eq!(kind("/shop/buy;x=1"), Ok(RouteKind::Protected));
    assert_eq!(kind("/shop;v=2/buy/1"), Ok(RouteKind::Protected));
    assert_eq!(kind("/shop/buyer;x"), Ok(RouteKind::Open));
    assert_eq!(kind("/shop/buy/assets;x/a"), Ok(RouteKind::Protected));
}

#[test]
fn trailing_slash_is_no_empty_segment() {
    goes("tickets.example", "/", "concert", RouteKind::Protected);
    goes("tickets.example", "/a/", "concert", RouteKind::Protected);
    goes("tickets.example", "/a/.well-known/...", "concert", RouteKind::Protected);
}

/// Decodes as a lenient upstream does, `rounds` times, and resolves dots.
fn upstream_sees(path: &str, rounds: usize) -> String {
    let mut bytes = path.as_bytes().to_vec();
    for _ in 0..rounds {
        let mut next = Vec::new();
        let mut i = 0;
        while i < bytes.len() {
            let pair = bytes.get(i + 1..i + 3).and_then(|p| std::str::from_utf8(p).ok());
            match pair.and_then(|p| u8::from_str_radix(p, 16).ok()) {
                Some(byte) if bytes[i] == b'%' && !bytes[i + 1..i + 3].contains(&b'+') => {
                    next.push(byte);
                    i += 3;
                }
                _ => {
                    next.push(bytes[i]);
                    i += 1;
                }
            }
        }
        bytes = next;
    }
    let text = String::from_utf8_lossy(&bytes).replace('\\', "/");
    let mut out: Vec<&str> = Vec::new();
    for segment in text.split('/').map(|s| s.split(';').next().unwrap_or_default()) {
        match segment {
            "" | "." => {}
            ".." => drop(out.pop()),
            other => out.push(other),
        }
    }
    format!("/{}", out.join("/"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_500))]

    /// However a path is written, an upstream that decodes once or twice, resolves dots and drops
    /// parameters never serves a protected page for a request that was let through as open.
    #[test]
    fn i10_no_spelling_leads_around_a_room(
        parts in proptest::collection::vec(
            proptest::sample::select(vec![
                "/", "//", "buy", "%62uy", "b%2575y", "assets", "..", ".", "%2e", "%2E%2e", "%252e", "%2f", "%5c", "\\",
                ";x", ";", "%3b", "x", "%", "%25", "%2562", "%00", "b", "u", "y", "?", "#",
            ]),
            0..9,
        )
    ) {
        let table = RoutingTable::new(&[rule("buy", &[], &["/buy"], &["/buy/assets/"])]);
        let path = format!("/{}", parts.concat());
        if let Ok(route) = table.classify(Some("h"), &path) {
            let sent = path.split('?').next().unwrap_or_default();
            for rounds in 0..=2 {
                let seen = upstream_sees(sent, rounds);
                let inside = seen == "/buy" || seen.starts_with("/buy/");
                let assets = seen.starts_with("/buy/assets");
                match route.kind {
                    RouteKind::Open => prop_assert!(!inside, "{path} is seen as {seen}"),
                    // Where an upstream that decodes less sees it is no protected page either way.
                    RouteKind::Bypass => prop_assert!(assets || !inside, "{path} is seen as {seen}"),
                    RouteKind::Protected => {}
                }
            }
        }
    }

    /// Nothing panics, and what is plain is never refused.
    #[test]
    fn any_text_is_answered(host in ".{0,300}", path in ".{0,80}", plain in "(/[a-zA-Z0-9_~-]{1,9}){1,5}/?") {
        let table = table();
        let _ = table.classify(Some(&host), &path);
        prop_assert!(table.classify(Some("shop.example"), &plain).is_ok());
    }
}
