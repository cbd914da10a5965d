//! Operators' templates: what is allowed, what is refused and how it is said.

use base64::{Engine, engine::general_purpose::STANDARD};
use proptest::prelude::*;
use ring::digest::{SHA256, digest};

use super::super::{Encoding, Lang, WaitingPage, slot};
use super::{between, status, text};

const GOOD: &str = "<!doctype html>\n<html lang=\"{{lang}}\"><head>\n{{refresh}}\n<title>{{title}}</title></head>\n\
    <body>{{position}} {{eta}}\n<form method=post action=\"{{leave_action}}\"></form>\n{{data}}{{script}}\n";

#[test]
fn a_plain_template_is_enough() {
    let page = WaitingPage::from_template(GOOD).unwrap();
    assert_eq!(page.warnings(), Vec::<String>::new());
    let html = page.for_room("a", "/").render(Lang::En, &status(), 5, Encoding::Identity);
    assert!(text(&html).contains("about 3–5 minutes"));
    let bare = WaitingPage::from_template("{{refresh}}{{position}}{{data}}{{script}}").unwrap();
    assert_eq!(bare.warnings().len(), 4, "{:?}", bare.warnings());
}

#[test]
fn refused_templates_name_every_problem_with_its_line() {
    let source = "<html>\n<head>\n<link rel=stylesheet href=/site.css>\n<body onload=\"go()\">\n{{positon}}\n\
        <a href=\" java\tscript:x\">x</a>\n<p style=\"color:red\">{{eta\n";
    let problems = WaitingPage::from_template(source).unwrap_err();
    let lines: Vec<usize> = problems.iter().map(|problem| problem.line).collect();
    // Four slots are missing altogether: those are reported on the first line.
    assert_eq!(lines, [1, 1, 1, 1, 3, 4, 5, 6, 7, 7], "{problems:#?}");
    assert_eq!(problems[6].to_string(), "line 5: there is no slot {{positon}}");
}

#[test]
fn refused_what_the_policy_would_block() {
    for (bad, complaint) in [
        ("<img src=https://cdn.example/a.png>", "outside resource"),
        ("<img src=/logo.png>", "outside resource"),
        ("<script src=//cdn.example/a.js></script>", "outside resource"),
        ("<link rel=\"icon\" href=\"/favicon.ico\">", "outside resource"),
        ("<style>@import 'a.css'</style>", "outside resource"),
        ("<style>b{background:url( 'https://a/b.png')}</style>", "outside resource"),
        ("<svg><use href=\"/sprite.svg#a\"/></svg>", "outside resource"),
        ("<iframe></iframe>", "blocked"),
        ("<base href=/>", "blocked"),
        ("<button onclick=x()>x</button>", "event handler onclick"),
        ("<svg/onload=x()>", "event handler onload"),
        ("<a href=\"JaVaScRiPt&colon;x\">x</a>", "a script in href"),
        ("<form action=https://evil.example></form>", "forms may only go to this site"),
        ("<meta http-equiv=refresh content=1>", "there is {{refresh}}"),
        ("<style>b{color:{{room}}}</style>", "by their hash"),
        ("<script>let room = '{{room}}'</script>", "by their hash"),
        ("<script>never closed", "never closed"),
        ("<!-- never closed", "never closed"),
        ("<p title='x>", "never closed"),
        ("{{ eta", "never closed"),
        ("{{t.nonsense}}", "no slot"),
        ("<p {{room}}>", "in a tag outside quotes"),
        ("<p title=\"{{position}}\">", "in an attribute"),
        ("<textarea>{{data}}</textarea>", "in <title> or <textarea>"),
        ("<!-- {{room}} -->", "in a comment"),
        ("{{view}}", "put it into an attribute"),
        ("{{refresh}}", "only once"),
        ("a\0b", "NUL"),
    ] {
        let problems = WaitingPage::from_template(&format!("{GOOD}{bad}")).unwrap_err();
        assert!(
            problems.iter().any(|problem| problem.message.contains(complaint)),
            "{bad} should say {complaint}, says {problems:?}"
        );
    }
}

#[test]
fn allowed_in_a_template() {
    for good in [
        "<img src=\"data:image/png;base64,AAAA\" alt=x>",
        "<style>b{background:url(data:image/svg+xml,x)} @font-face{src:url(\"data:font/woff2;base64,AA\")}</style>",
        "<a href=\"https://status.example/\">status</a>",
        "<svg><use href=\"#a\"/><path d=\"M0 0\"/></svg>",
        "<script>const a = `{{`; if (1 < 2) {{ }}</script>",
        "<p title=\"{{room}}\">{{ t.keep }} { } }} {</p>",
        "<form action=/search></form>",
        "\u{feff}",
    ] {
        let page =
            WaitingPage::from_template(&format!("{GOOD}{good}")).unwrap_or_else(|problems| panic!("{problems:?}"));
        assert_eq!(page.csp().contains("font-src data:"), good.contains("font-face"));
    }
}

#[test]
fn refused_pages_that_are_too_large() {
    let source = format!("{GOOD}{}", "x".repeat(300_000));
    assert!(WaitingPage::from_template(&source).unwrap_err()[0].message.contains("at most"));
    // Compresses badly: no two lines alike.
    let noise: String =
        (0u64..6_000).map(|line| STANDARD.encode(digest(&SHA256, &line.to_le_bytes())) + "\n").take(5_000).collect();
    let problems = WaitingPage::from_template(&format!("{GOOD}{noise}")).unwrap_err();
    assert!(problems[0].message.contains("compressed"), "{problems:?}");
    let heavy = WaitingPage::from_template(&format!("{GOOD}{}", &noise[..20_000])).unwrap();
    assert!(heavy.warnings()[0].contains("round trip"), "{:?}", heavy.warnings());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_template_is_judged_without_panic(source in "(\\{\\{|\\}\\}|<|>|\"|'|=|data|position|script|style|!--|é|\n|\\PC){0,60}") {
        let _ = WaitingPage::from_template(&source);
        let _ = WaitingPage::from_template(&format!("{GOOD}{source}"));
    }
}

#[test]
fn the_guide_for_own_pages_is_true() {
    let guide = include_str!("../../../../docs/waiting-page.md");
    let example = between(guide, "```html\n", "```");
    assert_eq!(WaitingPage::from_template(example).unwrap().warnings(), Vec::<String>::new());
    for name in guide.split("`{{").skip(1).filter_map(|rest| rest.split_once("}}`")).map(|(name, _)| name) {
        assert!(name == "t.NAME" || slot::Slot::named(name).is_some(), "{name}");
    }
    for (name, _) in slot::REQUIRED {
        assert!(guide.contains(&format!("`{{{{{name}}}}}`")), "{name}");
    }
}
