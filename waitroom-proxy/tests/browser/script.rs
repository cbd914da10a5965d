//! What the page's script makes of the answers it gets, good and bad.

use testbed::{browser::Browser, origin::Script};
use waitroom_proxy::{
    page::{Encoding, Lang},
    status::{Eta, State, Status},
};

use crate::support::{Stage, ask, assert_nothing_blocked, text, until, until_seen, waiting};

const POSITION: &str = "document.querySelector('[data-wr=position]').textContent";
const HEADING: &str = "document.querySelector('h1').textContent";
const NOTICE: &str = "document.querySelector('[data-wr=notice]').textContent";
const VOICE: &str = "document.querySelector('main [role=status]').textContent";

#[tokio::test]
async fn i5_the_position_never_rises() {
    let stage = Stage::start(Browser::options()).await;
    stage.show(Lang::En, &waiting(1_500)).await;
    until(&stage.browser, &format!("{POSITION} === '1,500'")).await;
    stage.answer(&waiting(1_234));
    until(&stage.browser, &format!("{POSITION} === '1,234'")).await;
    let progress = ask(&stage.browser, "+document.querySelector('[role=progressbar]').ariaValueNow").await;
    assert_eq!(progress, 18);

    // People who had dropped out return: the server's figure rises, the page's does not.
    stage.answer(&Status { waiting: 60_000, ..waiting(1_300) });
    until(&stage.browser, "document.querySelector('[data-wr=waiting]').textContent === '60,000'").await;
    assert_eq!(text(&stage.browser, "[data-wr=position]").await, "1,234");
    assert_eq!(stage.browser.title().await.unwrap(), "1,234 · Waiting – Concert");

    // Nor after a reload.
    stage.page(Lang::En, &waiting(1_300));
    stage.browser.refresh().await.unwrap();
    until(&stage.browser, &format!("{POSITION} === '1,234'")).await;
    assert_eq!(ask(&stage.browser, "+document.querySelector('[role=progressbar]').ariaValueNow").await, progress);

    // Another ticket is another way.
    stage.answer(&Status { seq: Some(99_000), ..waiting(2_000) });
    until(&stage.browser, &format!("{POSITION} === '2,000'")).await;
    assert_nothing_blocked(&stage.browser).await;
}

#[tokio::test]
async fn when_admitted_the_site_opens_by_itself() {
    let stage = Stage::start(Browser::options()).await;
    stage.show(Lang::En, &waiting(2)).await;
    until(&stage.browser, &format!("{POSITION} === '2'")).await;
    stage
        .origin
        .script("/", Script::new().header("content-type", "text/html").body("<title>The site</title><h1>In</h1>"));
    stage.answer(&Status { state: State::Admitted, seq: None, position: None, ..waiting(1) });
    until(&stage.browser, "document.title === 'The site'").await;
}

/// Should the waiting page come back although the visitor was admitted, the page reloads with patience.
#[tokio::test]
async fn admitted_and_not_let_in_is_no_storm() {
    let stage = Stage::start(Browser::options()).await;
    let note = "sessionStorage.setItem('loads', JSON.stringify([...JSON.parse(sessionStorage.getItem('loads') || '[]'), Date.now()]))";
    stage.browser.cdp("Page.addScriptToEvaluateOnNewDocument", serde_json::json!({ "source": note })).await.unwrap();
    stage.page(Lang::En, &waiting(2));
    stage.answer(&Status { state: State::Admitted, seq: None, position: None, ..waiting(1) });
    stage.open().await;
    let loads = "JSON.parse(sessionStorage.getItem('loads'))";
    until(&stage.browser, &format!("{loads}.length === 3")).await;
    let loads: Vec<u64> = serde_json::from_value(ask(&stage.browser, loads).await).unwrap();
    // Timers may be late and never early: the second reload was put off for a second at least.
    assert!(loads[2] - loads[1] >= 1_000, "{loads:?}");
    // The visitor has a button meanwhile.
    until(&stage.browser, "getComputedStyle(document.querySelector('.enter')).display === 'inline-block'").await;
}

#[tokio::test]
async fn trouble_is_told_and_goes_away() {
    let stage = Stage::start(Browser::options()).await;
    stage.show(Lang::En, &waiting(40)).await;
    until(&stage.browser, &format!("{POSITION} === '40'")).await;
    stage.origin.script("/queue/status", Script::new().hang_up());
    until(&stage.browser, &format!("{NOTICE}.includes('Your place is safe')")).await;
    assert_eq!(text(&stage.browser, "[data-wr=position]").await, "40");
    stage.answer(&Status { stale: true, ..waiting(39) });
    until(&stage.browser, &format!("{NOTICE}.startsWith('These figures')")).await;
    stage.answer(&waiting(38));
    until(&stage.browser, &format!("{NOTICE} === '' && {POSITION} === '38'")).await;
    // Errors with a status are trouble too, and Retry-After is honoured by asking no sooner.
    stage.origin.script("/queue/status", Script::new().status(503).header("retry-after", "1"));
    until(&stage.browser, &format!("{NOTICE}.includes('Your place is safe')")).await;
}

#[tokio::test]
async fn a_room_that_is_gone_says_so() {
    for status in [404, 421] {
        let stage = Stage::start(Browser::options()).await;
        stage.page(Lang::En, &waiting(40));
        stage.origin.script("/queue/status", Script::new().status(status));
        stage.open().await;
        until(&stage.browser, &format!("{HEADING} === 'This line isn’t available right now'")).await;
        assert_eq!(
            ask(&stage.browser, "getComputedStyle(document.querySelector('.retry')).display").await,
            "inline-block"
        );
        // Chromium itself asks a second time after 421.
        assert!(stage.count("/queue/status") <= 2);
    }
}

#[tokio::test]
async fn a_browser_without_cookies_is_told_and_does_not_storm() {
    let stage = Stage::start(Browser::options()).await;
    let nobody = Status { seq: None, position: None, eta_s: None, poll_after_ms: 0, ..waiting(1) };
    stage.show(Lang::En, &nobody).await;
    until(&stage.browser, &format!("{HEADING} === 'Please allow cookies'")).await;
    // Each answer without a place doubled the wait, whatever the server asked for.
    assert_eq!(stage.count("/queue/status"), 3);
}

#[tokio::test]
async fn pausing_and_resuming_is_shown_and_said() {
    let stage = Stage::start(Browser::options()).await;
    stage.show(Lang::En, &waiting(40)).await;
    until(&stage.browser, &format!("{POSITION} === '40' && document.querySelector('main [role=status]')")).await;
    assert_eq!(ask(&stage.browser, VOICE).await, "");
    stage.answer(&Status { paused: true, eta_s: None, ..waiting(40) });
    until(&stage.browser, &format!("{HEADING} === 'The line is paused'")).await;
    assert_eq!(stage.browser.title().await.unwrap(), "40 · Paused – Concert");
    assert!(ask(&stage.browser, VOICE).await.as_str().unwrap().starts_with("The line is paused. The organiser"));
    stage.answer(&waiting(39));
    until(&stage.browser, &format!("{HEADING} === 'You’re in line'")).await;
    let said = ask(&stage.browser, VOICE).await;
    assert_eq!(said, "You’re in line. Your place in line: 39. Estimated wait: about 3–5 minutes.");
    // The next figures alone are no news so soon.
    stage.answer(&waiting(20));
    until(&stage.browser, &format!("{POSITION} === '20'")).await;
    assert_eq!(ask(&stage.browser, VOICE).await, said);
}

/// A few seconds from the turn, and a poll in five minutes: what the page learns before that it learns from the stream.
fn near(position: u64) -> Status {
    Status { eta_s: Some(Eta { low: 5, high: 9 }), poll_after_ms: 300_000, ..waiting(position) }
}

fn stream_of(events: &[(&str, Status)]) -> Script {
    let text = |(name, status): &(&str, Status)| {
        format!("event: {name}\ndata: {}\n\n", serde_json::to_string(status).unwrap())
    };
    Script::new().header("content-type", "text/event-stream").body(events.iter().map(text).collect::<String>())
}

#[tokio::test]
async fn near_the_head_of_the_line_the_page_listens() {
    let stage = Stage::start(Browser::options()).await;
    let turn = Status { state: State::Admitted, seq: None, position: None, ..near(1) };
    stage.page(Lang::En, &near(9));
    stage.answer(&turn);
    stage.origin.script("/queue/events", stream_of(&[("status", near(4)), ("admitted", turn.clone())]));
    stage.open().await;
    // The stream claims no turn, so the page asks, five minutes early, and reloads.
    until_seen("a second visit", || stage.count("/") == 2).await;
    assert_nothing_blocked(&stage.browser).await;
}

#[tokio::test]
async fn without_a_stream_the_page_polls_and_far_from_the_head_it_asks_for_none() {
    let stage = Stage::start(Browser::options()).await;
    stage.show(Lang::En, &waiting(40)).await;
    until_seen("polls of somebody who waits long", || stage.count("/queue/status") >= 2).await;
    assert_eq!(stage.count("/queue/events"), 0);
    // Refused: too many listen.
    stage.origin.script("/queue/events", Script::new().status(503));
    stage.answer(&Status { poll_after_ms: 500, ..near(5) });
    until_seen("a stream to be asked for", || stage.count("/queue/events") == 1).await;
    let polls = stage.count("/queue/status");
    until_seen("polls without a stream", || stage.count("/queue/status") >= polls + 3).await;
    assert_eq!(stage.count("/queue/events"), 1, "who was refused does not insist");
    // What a stream says is shown, and its end is no trouble.
    stage.origin.script("/queue/events", stream_of(&[("status", near(3))]));
    stage.page(Lang::En, &near(5));
    stage.answer(&near(5));
    stage.open().await;
    until(&stage.browser, &format!("{POSITION} === '3'")).await;
    assert_eq!(text(&stage.browser, "[data-wr=notice]").await, "");
}

#[tokio::test]
async fn leaving_takes_two_steps_and_stops_the_polls() {
    let stage = Stage::start(Browser::options()).await;
    stage.show(Lang::En, &waiting(40)).await;
    stage.origin.script("/queue/leave", Script::new().status(204).body(""));
    until(&stage.browser, &format!("{POSITION} === '40'")).await;
    let click = async |what: &str| {
        ask(&stage.browser, &format!("document.querySelector('{what}').click()")).await;
    };
    click("summary").await;
    click("[data-wr=stay]").await;
    assert_eq!(ask(&stage.browser, "document.querySelector('details').open").await, false);
    assert_eq!(stage.count("/queue/leave"), 0);
    click("summary").await;
    click("form button").await;
    until(&stage.browser, &format!("{HEADING} === 'You’re no longer in line'")).await;
    let leave = stage.origin.requests().into_iter().find(|request| request.path == "/queue/leave").unwrap();
    assert_eq!((leave.method.as_str(), leave.query.as_deref()), ("POST", Some("room=concert")));
    assert_eq!(ask(&stage.browser, "document.activeElement.tagName").await, "H1");
    assert_eq!(stage.browser.title().await.unwrap(), "Not in line – Concert");
    assert_nothing_blocked(&stage.browser).await;
}

#[tokio::test]
async fn leaving_works_by_the_form_alone_when_fetch_fails() {
    let stage = Stage::start(Browser::options()).await;
    stage.show(Lang::En, &waiting(40)).await;
    stage.origin.script("/queue/leave", Script::new().status(500).body("refused"));
    until(&stage.browser, &format!("{POSITION} === '40'")).await;
    ask(&stage.browser, "document.querySelector('form button').click()").await;
    until_seen("the form to be sent", || stage.count("/queue/leave") == 2).await;
}

#[tokio::test]
async fn nobody_in_line_is_told_and_polls_no_more() {
    let stage = Stage::start(Browser::options()).await;
    stage.page(Lang::En, &waiting(40));
    stage.answer(&Status { state: State::None, seq: None, position: None, ..waiting(1) });
    stage.open().await;
    until(&stage.browser, &format!("{HEADING} === 'You’re no longer in line'")).await;
    assert_eq!(ask(&stage.browser, "getComputedStyle(document.querySelector('.again')).display").await, "inline-block");
}

/// What is in the page before the script and what the script makes of the same status, word by word.
#[tokio::test]
async fn script_and_server_say_the_same_in_every_language() {
    let stage = Stage::start(Browser::options()).await;
    let times = [(0, 59), (61, 61), (240, 240), (230, 290), (3_000, 4_000), (7_000, 9_000), (90_000, 95_000)];
    let mut seq = 0;
    for lang in Lang::ALL {
        let mut statuses = vec![Status { paused: true, eta_s: None, ..waiting(1_234_567) }, waiting(999)];
        statuses.push(Status { stale: true, eta_s: Some(Eta { low: 1, high: 9 }), ..waiting(3) });
        statuses.extend(times.map(|(low, high)| Status { eta_s: Some(Eta { low, high }), ..waiting(1_000) }));
        for status in statuses {
            seq += 1;
            let status = Status { seq: Some(seq), poll_after_ms: 300_000, ..status };
            stage.show(lang, &status).await;
            until(&stage.browser, "'script' in document.documentElement.dataset").await;
            let html = stage.room.render(lang, &status, 5, Encoding::Identity);
            let html = std::str::from_utf8(&html).unwrap();
            for name in ["heading", "message", "notice", "position", "waiting", "eta"] {
                let shown = text(&stage.browser, &format!("[data-wr={name}]")).await;
                let sent = html.split_once(&format!("data-wr=\"{name}\"")).unwrap().1.split_once('>').unwrap().1;
                assert_eq!(shown, sent.split_once("</span>").unwrap().0, "{name} {lang:?} {status:?}");
            }
            let title = html.split_once("<title>").unwrap().1.split_once("</title>").unwrap().0;
            assert_eq!(stage.browser.title().await.unwrap(), title);
            assert!(html.contains(&format!(
                "data-view=\"{}\"",
                ask(&stage.browser, "document.documentElement.dataset.view").await.as_str().unwrap()
            )));
        }
    }
    assert_nothing_blocked(&stage.browser).await;
}
