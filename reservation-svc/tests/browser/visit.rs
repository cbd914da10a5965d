//! What a visitor does.

use reservation_svc::auth::users;
use reservation_svc::seat::UserId;
use reservation_svc::ticket;
use secrecy::SecretSlice;
use testbed::browser::Browser;
use testbed::browser::fantoccini::Locator;
use testbed::browser::fantoccini::key::Key;

use crate::site::Site;

#[tokio::test]
async fn a_visitor_chooses_holds_pays_and_sees_the_ticket() {
    let site = Site::start(Browser::options().reduced_motion()).await;
    site.open("").await;
    site.until_heading("What’s on").await;
    let user = site.ask("document.getElementById('who').textContent").await;
    let user: i64 = user.as_str().unwrap().chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap();
    assert!((901..=1000).contains(&user), "{user}");
    assert_eq!(site.ask("document.getElementById('balance').textContent").await, "₩1,000,000");

    site.press("Winter Light").await;
    site.until_heading("Winter Light").await;
    site.until("document.querySelector('.evening')").await;
    site.browser.find(Locator::Css(".evening")).await.unwrap().click().await.unwrap();
    site.until("document.querySelectorAll('.seats .seat').length === 1000").await;

    // One seat with the mouse, one with the keyboard.
    site.browser.find(Locator::Css("[aria-label^='B-5,']")).await.unwrap().click().await.unwrap();
    site.until("document.querySelector('[aria-label^=\"B-5,\"]').ariaSelected === 'true'").await;
    let cell = site.browser.find(Locator::Css("[aria-label^='B-5,']")).await.unwrap();
    let keys: String = [Key::Down, Key::Right].iter().map(|key| char::from(*key)).chain([' ']).collect();
    cell.send_keys(&keys).await.unwrap();
    site.until("document.querySelector('.sum').textContent === 'B-5, C-6 · ₩330,000'").await;
    site.press("Hold 2 seats").await;

    site.until_heading("Your seats are held").await;
    site.until("/^[45]:\\d\\d$/.test(document.getElementById('time').textContent)").await;
    site.press("Pay ₩330,000").await;
    site.until_heading("Your ticket").await;
    assert_ticket_of(&site, &["B-5", "C-6"]).await;
    site.press("My tickets").await;
    site.until_heading("My tickets").await;
    site.until("document.querySelector('.ticket h2').textContent === 'B-5, C-6'").await;
    site.until("document.getElementById('balance').textContent === '₩670,000'").await;
    let sold = "SELECT count(*) FROM concert_seats WHERE status = 'RESERVED' AND seat IN ('B-5', 'C-6')";
    assert_eq!(site.database.sql(sold).await.unwrap().trim(), "2");
    site.press("Show the ticket").await;
    assert_ticket_of(&site, &["B-5", "C-6"]).await;
    site.assert_nothing_blocked().await;
}

/// That the page shows a ticket that a gate lets in, and draws what it shows as text.
async fn assert_ticket_of(site: &Site, seats: &[&str]) {
    site.until("document.querySelector('.qr svg path')?.getBBox().width > 100").await;
    let words = site.ask("document.querySelector('.pass h2').textContent").await;
    assert_eq!(words, seats.join(", "));
    let label = site.ask("document.querySelector('.qr [role=img]').getAttribute('aria-label')").await;
    assert_eq!(label, format!("QR code of the ticket for {}", seats.join(", ")));
    let token = site.ask("document.querySelector('.pass code').textContent").await;
    let keys = site.ask("fetch('/.well-known/ticket-keys.json').then((answer) => answer.json())").await;
    let claims = ticket::check(token.as_str().unwrap(), &serde_json::from_value(keys).unwrap()).unwrap();
    assert_eq!(claims.seats, seats);
    // The code is of this text: drawn here, it has the same dark squares.
    let drawn = site.ask("document.querySelector('.qr svg path').getAttribute('d')").await;
    assert!(ticket::qr_svg(token.as_str().unwrap()).unwrap().contains(drawn.as_str().unwrap()));
}

#[tokio::test]
async fn a_session_that_ends_before_any_hold_is_told_calmly_and_the_choice_comes_back() {
    let site = Site::start(Browser::options().reduced_motion().size(390, 844)).await;
    site.open("#/seats/1/1").await;
    site.until("document.querySelector('.seats')").await;
    for seat in ["A-1", "A-2"] {
        choose(&site, seat).await;
    }
    site.until("document.querySelector('.sum').textContent === 'A-1, A-2 · ₩330,000'").await;

    site.end_sessions().await;
    // Nobody presses anything: the map that is asked for again says so.
    site.until("document.getElementById('ended').open").await;
    let words = site.ask("document.getElementById('ended').textContent").await;
    let words = words.as_str().unwrap();
    assert!(words.contains("Your turn has ended") && words.contains("you chose A-1, A-2"), "{words}");
    assert!(!words.contains("stay held"), "nothing is held: {words}");
    assert_eq!(site.ask("document.activeElement.textContent").await, "Back to the queue");

    site.press("Back to the queue").await;
    site.until("document.documentElement.dataset.view === 'paused'").await;
    taken_by_another(&site, "A-2").await;
    site.resume().await;
    site.until("document.querySelector('.sum')?.textContent === 'A-1 · ₩165,000'").await;
    site.until("document.querySelector('[aria-label^=\"A-1,\"]').ariaSelected === 'true'").await;
    site.until("document.getElementById('notice').textContent === 'Somebody was faster: A-2 is no longer free.'").await;
    site.press("Hold 1 seat").await;
    site.press("Pay ₩165,000").await;
    site.until_heading("Your ticket").await;
    // What is bought is chosen no more.
    assert_eq!(site.ask("sessionStorage.getItem('chosen')").await, serde_json::Value::Null);
    site.assert_nothing_blocked().await;
}

/// By keyboard, which needs no closer look on a phone.
async fn choose(site: &Site, seat: &str) {
    let press = "const cell = document.querySelector(arguments[0]); cell.focus(); \
                 cell.dispatchEvent(new KeyboardEvent('keydown', { key: ' ', bubbles: true }))";
    site.browser.execute(press, vec![format!("[aria-label^='{seat},']").into()]).await.unwrap();
}

async fn taken_by_another(site: &Site, seat: &str) {
    let take = format!(
        "UPDATE concert_seats SET status = 'TEMPORARILY_RESERVED', hold_id = gen_random_uuid(), version = version + 1, \
         held_until = now() + interval '1 hour' WHERE schedule_id = 1 AND seat = '{seat}'"
    );
    site.database.sql(&take).await.unwrap();
}

#[tokio::test]
async fn a_session_that_ends_after_a_hold_is_told_calmly_and_the_hold_survives() {
    let site = Site::start(Browser::options().reduced_motion()).await;
    site.open("#/seats/1/1").await;
    site.browser.find(Locator::Css("[aria-label^='A-1,']")).await.unwrap().click().await.unwrap();
    site.press("Hold 1 seat").await;
    site.until_heading("Your seats are held").await;

    site.end_sessions().await;
    site.press("My tickets").await;
    site.until("document.getElementById('ended').open").await;
    let words = site.ask("document.getElementById('ended').textContent").await;
    assert!(words.as_str().unwrap().contains("A-1 stay held until"), "{words}");
    assert_eq!(site.ask("document.activeElement.textContent").await, "Back to the queue");

    site.press("Back to the queue").await;
    // The waiting page, until it is their turn again: then the same address, with all that was there.
    site.until("document.documentElement.dataset.view === 'paused'").await;
    site.resume().await;
    site.until("document.getElementById('held').textContent.startsWith('A-1 held for you')").await;
    site.press("A-1 held for you").await;
    site.press("Pay ₩165,000").await;
    site.until_heading("Your ticket").await;
    site.assert_nothing_blocked().await;
}

#[tokio::test]
async fn the_service_chooses_when_asked_and_a_booking_can_be_cancelled() {
    let site = Site::start(Browser::options().reduced_motion().size(390, 844)).await;
    site.open("#/seats/1/1").await;
    site.until("document.getElementById('best-section')").await;
    let wish = "document.getElementById('best-count').value = 3; document.getElementById('best-section').value = 'R'";
    site.browser.execute(wish, Vec::new()).await.unwrap();
    site.press("Find and hold").await;
    site.press("Pay ₩429,000").await;
    site.until_heading("Your ticket").await;
    site.press("My tickets").await;
    site.until_heading("My tickets").await;
    site.press("Cancel this booking").await;
    site.press("Keep it").await;
    site.press("Cancel this booking").await;
    site.press("Yes, give back ₩429,000").await;
    site.until("document.querySelector('.ticket').dataset.state === 'cancelled'").await;
    site.until("document.getElementById('balance').textContent === '₩1,000,000'").await;
    assert_eq!(site.ask("document.activeElement.tagName").await, "H2");
    assert_eq!(site.database.sql("SELECT count(*) FROM reservation_seats").await.unwrap().trim(), "0");
    site.assert_nothing_blocked().await;
}

#[tokio::test]
async fn seats_that_others_took_are_told_and_given_up() {
    let site = Site::start(Browser::options().reduced_motion()).await;
    site.open("#/seats/1/1").await;
    site.browser.find(Locator::Css("[aria-label^='A-1,']")).await.unwrap().click().await.unwrap();
    site.until("document.querySelector('.sum').textContent.startsWith('A-1')").await;
    taken_by_another(&site, "A-1").await;
    // By the answer to the hold, or by the refreshed map: whichever comes first.
    site.until("document.querySelector('[aria-label^=\"A-1,\"]').dataset.status === 'held'").await;
    site.until("document.querySelector('.sum').textContent === 'No seat chosen yet'").await;
    site.until("document.getElementById('notice').textContent.includes('A-1')").await;
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "a token that is good now")]
async fn without_the_demo_a_token_is_asked_for() {
    let site = Site::with(Browser::options().reduced_motion(), "").await;
    site.open("#/wallet").await;
    site.until_heading("Sign in").await;
    assert_eq!(
        site.ask("fetch('/demo/login', { method: 'POST' }).then((answer) => answer.status)").await,
        404,
        "nothing is given away"
    );
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let secret = SecretSlice::from(vec![7; 32]);
    let token = users::mint(&secret, UserId::new(7).unwrap(), now, 600).unwrap();
    let field = site.browser.find(Locator::Id("token")).await.unwrap();
    field.send_keys("not a token").await.unwrap();
    site.press("Sign in").await;
    site.until("document.activeElement.id === 'token'").await;
    field.clear().await.unwrap();
    field.send_keys(&token).await.unwrap();
    site.browser.find(Locator::Css(".form button")).await.unwrap().click().await.unwrap();
    site.until_heading("Wallet").await;
    site.until("document.querySelector('.sumline').textContent === '₩1,000,000'").await;
}
