//! The waiting page as a whole: what is sent, how large it is, how it looks.

mod templates;

use std::io::Read;

use base64::{Engine, engine::general_purpose::STANDARD};
use proptest::prelude::*;
use ring::digest::{SHA256, digest};

use super::*;
use crate::status::{Eta, State, Status};

fn status() -> Status {
    Status {
        room: "concert".to_owned(),
        state: State::Waiting,
        seq: Some(88_123),
        position: Some(1_234),
        waiting: 50_210,
        rate_per_s: 5.0,
        eta_s: Some(Eta { low: 230, high: 290 }),
        poll_after_ms: 2_000,
        paused: false,
        stale: false,
        server_time_ms: 1_795_161_600_000,
        expires_at_ms: None,
        token: None,
    }
}

fn gunzip(bytes: &[u8]) -> String {
    let mut out = String::new();
    flate2::read::GzDecoder::new(bytes).read_to_string(&mut out).unwrap();
    out
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn between<'h>(html: &'h str, before: &str, after: &str) -> &'h str {
    html.split_once(before).unwrap().1.split_once(after).unwrap().0
}

#[test]
fn gzip_decodes_to_identity_in_every_language() {
    let room = WaitingPage::built_in().unwrap().for_room("concert", "/");
    let states = [
        status(),
        Status { position: None, seq: None, ..status() },
        Status { paused: true, eta_s: None, ..status() },
        Status { stale: true, position: Some(u64::MAX), waiting: u64::MAX, ..status() },
        Status { state: State::Admitted, expires_at_ms: Some(1), ..status() },
        Status { state: State::None, room: "</script><!--é\u{2028}\"'&".to_owned(), ..status() },
        Status { room: "<".repeat(100_000), ..status() },
    ];
    for lang in Lang::ALL {
        for status in &states {
            let identity = room.render(lang, status, 7, Encoding::Identity);
            assert_eq!(gunzip(&room.render(lang, status, 7, Encoding::Gzip)), text(&identity));
        }
        assert_eq!(gunzip(&room.first_sight(lang, Encoding::Gzip)), text(&room.first_sight(lang, Encoding::Identity)));
        assert_eq!(gunzip(&room.left(lang, Encoding::Gzip)), text(&room.left(lang, Encoding::Identity)));
    }
}

proptest! {
    // Each case prepares a room, which takes its time in a build without optimisation.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_status_survives_and_never_ends_its_script(name in ".{0,40}", position in any::<u64>(), refresh in any::<u32>()) {
        let room = WaitingPage::built_in().unwrap().for_room(&name, &name);
        let status = Status { room: name, position: Some(position), ..status() };
        let html = room.render(Lang::Ja, &status, refresh, Encoding::Gzip);
        let html = gunzip(&html);
        let json = between(&html, "id=\"waitroom-status\">", "</script>");
        prop_assert!(!json.contains('<'));
        let read: serde_json::Value = serde_json::from_str(json).unwrap();
        prop_assert_eq!(read, serde_json::to_value(&status).unwrap());
    }
}

#[test]
fn a_visitor_without_script_reads_the_same() {
    let room = WaitingPage::built_in().unwrap().for_room("vip_sale", "/");
    let html = room.render(Lang::En, &status(), 7, Encoding::Identity);
    let html = text(&html);
    assert!(html.contains("<noscript><meta http-equiv=\"refresh\" content=\"7\"></noscript>"));
    assert!(html.contains("<title>1,234 · Waiting – Vip sale</title>"));
    assert!(html.contains("<span data-wr=\"position\" data-len=\"5\">1,234</span>"));
    assert!(html.contains("<span data-wr=\"waiting\">50,210</span>"));
    assert!(html.contains("<span data-wr=\"eta\">about 3–5 minutes</span>"));
    assert!(html.contains("<form method=\"post\" action=\"/queue/leave?room=vip_sale\">"));
    assert!(html.contains("<html lang=\"en\" data-view=\"waiting\">"));
    let first = room.first_sight(Lang::En, Encoding::Identity);
    assert!(text(&first).contains("content=\"1\"></noscript>"));
    assert!(text(&first).contains("data-view=\"joining\""));
    let korean = room.render(Lang::Ko, &status(), 7, Encoding::Identity);
    assert!(text(&korean).contains("<html lang=\"ko\""));
    assert!(text(&korean).contains("<title>1,234 · 대기 중 – Vip sale</title>"));
}

#[test]
fn every_state_has_its_view() {
    let room = WaitingPage::built_in().unwrap().for_room("a", "/");
    let near = Status { eta_s: Some(Eta { low: 1, high: 9 }), ..status() };
    for (status, view) in [
        (near, "near"),
        (Status { paused: true, ..status() }, "paused"),
        (Status { position: None, ..status() }, "joining"),
        (Status { state: State::Admitted, ..status() }, "admitted"),
        (Status { state: State::None, ..status() }, "left"),
    ] {
        let html = room.render(Lang::En, &status, 5, Encoding::Identity);
        assert!(text(&html).contains(&format!("data-view=\"{view}\"")), "{view}");
    }
    let stale = room.render(Lang::En, &Status { stale: true, ..status() }, 5, Encoding::Identity);
    assert!(text(&stale).contains("<span data-wr=\"notice\">These figures"));
}

#[test]
fn a_token_never_stands_in_a_page() {
    let room = WaitingPage::built_in().unwrap().for_room("a", "/");
    let status = Status { state: State::Admitted, token: Some("eyJhbGciOi".to_owned()), ..status() };
    assert!(!text(&room.render(Lang::En, &status, 5, Encoding::Identity)).contains("eyJhbGciOi"));
}

#[test]
fn the_page_fits_into_one_round_trip() {
    let page = WaitingPage::built_in().unwrap();
    assert_eq!(page.warnings(), Vec::<String>::new());
    let room = page.for_room(&"m".repeat(64), "/");
    let status = Status { room: "m".repeat(64), position: Some(u64::MAX), waiting: u64::MAX, stale: true, ..status() };
    for lang in Lang::ALL {
        let each = [
            room.render(lang, &status, 30, Encoding::Gzip).len(),
            room.first_sight(lang, Encoding::Gzip).len(),
            room.left(lang, Encoding::Gzip).len(),
        ];
        assert!(each.iter().all(|size| *size < ONE_ROUND_TRIP), "{lang:?}: {each:?}");
    }
}

/// As a browser does it: every block that runs or styles, hashed.
fn hashes(html: &str, element: &str) -> Vec<String> {
    let tokens = html::tokens(html).unwrap();
    let blocks = tokens.iter().filter_map(|token| match token {
        html::Token::Raw { element: tag, text, .. } if tag.name == element && tag.attribute("type").is_none() => {
            Some(*text)
        }
        _ => None,
    });
    blocks.map(|block| format!("'sha256-{}'", STANDARD.encode(digest(&SHA256, block.as_bytes())))).collect()
}

fn directive<'p>(policy: &'p str, name: &str) -> &'p str {
    policy.split("; ").find_map(|directive| directive.strip_prefix(name)).unwrap().trim()
}

#[test]
fn the_policy_names_exactly_what_the_pages_hold() {
    let template = "<html lang={{lang}}><head>{{refresh}}{{style}}<style>b { color: red }</style>\
        <script>\r\nlet a = '{{';\r\n</script></head>{{position}}{{data}}{{script}}";
    for page in [WaitingPage::built_in().unwrap(), WaitingPage::from_template(template).unwrap()] {
        let room = page.for_room("a", "/");
        let policy = room.csp();
        assert!(!policy.contains("unsafe"), "{policy}");
        for rule in ["default-src 'none'", "connect-src 'self'", "form-action 'self'", "base-uri 'none'"] {
            assert!(policy.split("; ").any(|directive| directive == rule), "{rule} in {policy}");
        }
        assert!(policy.ends_with("frame-ancestors 'none'"));
        let mut scripts = Vec::new();
        for html in [room.render(Lang::Ko, &status(), 5, Encoding::Identity), room.left(Lang::En, Encoding::Identity)] {
            for hash in hashes(text(&html), "style") {
                assert!(directive(policy, "style-src").contains(&hash), "{hash} in {policy}");
            }
            scripts.extend(hashes(text(&html), "script"));
        }
        scripts.sort();
        assert_eq!(directive(policy, "script-src"), scripts.join(" "));
    }
}

/// Relative luminance (WCAG 2.2) of `#rgb` or `#rrggbb`.
fn luminance(colour: &str) -> f64 {
    let digits = colour.trim().trim_start_matches('#');
    let digits =
        if digits.len() == 3 { digits.chars().flat_map(|digit| [digit, digit]).collect() } else { digits.to_owned() };
    let channel = |place: usize| {
        let value = f64::from(u8::from_str_radix(&digits[place..place + 2], 16).unwrap()) / 255.0;
        if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * channel(0) + 0.7152 * channel(2) + 0.0722 * channel(4)
}

/// Scanners give up on text over gradients, such as the ticket's: so the palette itself is checked.
#[test]
fn colours_keep_the_contrast_that_reading_needs() {
    let blocks: Vec<&str> = STYLE.split('{').filter(|block| block.contains("--accent:")).collect();
    let [light, dark, light_paused, dark_paused] = blocks[..] else { panic!("{} palettes", blocks.len()) };
    let read = |palettes: &[&str], name: &str| {
        let found = palettes.iter().rev().find_map(|palette| palette.split_once(&format!("--{name}: ")));
        luminance(found.unwrap().1.split_once(';').unwrap().0)
    };
    for palettes in [vec![light], vec![dark], vec![light, light_paused], vec![dark, dark_paused]] {
        for (text, ground, least) in [
            ("ink", "paper", 7.0),
            ("ink", "card", 7.0),
            ("soft", "paper", 4.5),
            ("soft", "card", 4.5),
            ("alert", "alert-bg", 4.5),
            ("danger", "card", 4.5),
            ("on-accent", "accent", 4.5),
            // Icons, the progress line and the focus ring.
            ("accent", "card", 3.0),
            ("accent", "paper", 3.0),
        ] {
            let (one, other) = (read(&palettes, text), read(&palettes, ground));
            let contrast = (one.max(other) + 0.05) / (one.min(other) + 0.05);
            assert!(contrast >= least, "{text} on {ground}: {contrast:.2} in {palettes:?}");
        }
    }
}
