//! What a visitor does with money: a charge whose answer is lost, a long ledger, and a card.

use testbed::browser::Browser;
use testbed::browser::fantoccini::Locator;
use testbed::gateway::{Gateway, Status};
use testbed::wait;

use crate::site::{SOON, Site};

/// From now on the answers to charges get lost on their way, until `lost = false`.
const LOSE: &str = "window.lost = true; window.charges = 0; const real = window.fetch; \
                    window.fetch = async (path, request) => { const answer = await real(path, request); \
                    if (path !== '/wallet/charges') return answer; charges += 1; \
                    if (lost) throw new TypeError('the answer is lost'); return answer; }";

#[tokio::test]
async fn i17_a_second_click_after_a_lost_answer_charges_once() {
    let site = Site::start(Browser::options().reduced_motion()).await;
    site.open("#/wallet").await;
    site.until_heading("Wallet").await;
    site.browser.execute(LOSE, Vec::new()).await.unwrap();
    site.press("Add ₩50,000").await;
    site.until("document.getElementById('notice').textContent.startsWith('The service does not answer')").await;
    assert!(site.ask("charges").await.as_u64().unwrap() > 1, "it was tried again by itself");
    assert_eq!(charged(&site).await, "1", "the charge was made, and nobody told");

    site.browser.execute("window.lost = false", Vec::new()).await.unwrap();
    site.press("Add ₩50,000").await;
    site.until("document.querySelector('.sumline').textContent === '₩1,050,000'").await;
    assert_eq!(charged(&site).await, "1", "the second click was the same charge");
    // Once an answer is known, the next click is another charge.
    site.press("Add ₩50,000").await;
    site.until("document.querySelector('.sumline').textContent === '₩1,100,000'").await;
    site.assert_nothing_blocked().await;
}

async fn charged(site: &Site) -> String {
    let count = "SELECT count(*) FROM wallet_transactions WHERE amount = 50000";
    site.database.sql(count).await.unwrap().trim().to_owned()
}

#[tokio::test]
async fn a_long_ledger_is_shown_page_by_page() {
    let site = Site::start(Browser::options().reduced_motion().size(390, 844)).await;
    site.open("#/wallet").await;
    site.until_heading("Wallet").await;
    let charge = "fetch('/wallet/charges', { method: 'POST', body: '{\"amount\": 1}', headers: { \
                  'content-type': 'application/json', authorization: `Bearer ${sessionStorage.getItem('token')}` } })\
                  .then((answer) => answer.status)";
    for _ in 0..24 {
        assert_eq!(site.ask(charge).await, 201);
    }
    site.browser.refresh().await.unwrap();
    site.until("document.querySelectorAll('tbody tr').length === 20").await;
    site.press("Show more").await;
    site.until("document.querySelectorAll('tbody tr').length === 25").await;
    site.until("[...document.querySelectorAll('main button')].at(-1).hidden").await;
}

#[tokio::test]
async fn a_visitor_pays_by_card_and_never_by_its_number() {
    let gateway = Gateway::start().await.unwrap();
    let site = Site::at(Browser::options().reduced_motion().size(390, 844), &gateway).await;
    site.open("#/seats/1/1").await;
    site.press("Find and hold").await;
    site.until_heading("Your seats are held").await;
    site.browser.find(Locator::Css(".card-way summary")).await.unwrap().click().await.unwrap();
    let field = site.browser.find(Locator::Id("source")).await.unwrap();
    field.send_keys("4111 1111 1111 1111").await.unwrap();
    site.press("Pay ₩330,000 by card").await;
    site.until("document.getElementById('notice').textContent.includes('it was not sent')").await;
    assert_eq!(gateway.payments().len(), 0);
    field.clear().await.unwrap();
    field.send_keys("tok_1").await.unwrap();
    site.press("Pay ₩330,000 by card").await;
    site.until_heading("Your ticket").await;
    assert_eq!(gateway.payments()[0].source.as_deref(), Some("tok_1"));
    assert_eq!(site.ask("document.getElementById('balance').textContent").await, "₩1,000,000");

    site.press("My tickets").await;
    site.press("Cancel this booking").await;
    site.press("Yes, give back ₩330,000").await;
    site.until("document.getElementById('notice').textContent.includes('goes back to your card')").await;
    site.until("document.querySelector('.state').textContent.startsWith('Cancelled, money goes back to your card')")
        .await;
    let settled = async || matches!(gateway.payments()[0].status, Status::Refunded | Status::Voided);
    wait::until("the money to go back", SOON, settled).await.unwrap();
    site.assert_nothing_blocked().await;
}
