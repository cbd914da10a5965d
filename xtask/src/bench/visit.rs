//! One visitor of a benchmark: gets a session, or a place in line, as a browser would.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::http::{self, Answer};

/// What a browser sends for a page.
pub(super) const BROWSER: [(&str, &str); 2] = [("accept", "text/html"), ("accept-encoding", "gzip")];

const WITHIN: Duration = Duration::from_secs(30);

/// Goes in while nobody waits, and comes back once with the token, so that the session is no longer provisional.
/// Returns the cookies.
pub(super) async fn enter(proxy: SocketAddr, room: &str) -> Result<String> {
    let path = format!("/{room}");
    let named = format!("wr_token_{room}=");
    let first = http::get(proxy, &path, &BROWSER).await?;
    let cookies = self::cookies(&first);
    ensure!(first.head.status == 200 && cookies.contains(&named), "not let in: {} {cookies}", first.head.status);
    let second = http::get(proxy, &path, &[("cookie", &cookies)]).await?;
    // The first cookie is good for 15 s only, and each request with it would be told of the renewal.
    let whole = self::cookies(&second);
    ensure!(whole.contains(&named), "no renewed token: {} {whole}", second.head.status);
    Ok(whole)
}

/// Takes a place: the page gives a pre-ticket, the first poll with it joins, and one more sees the position.
/// Returns the cookies.
pub(super) async fn line_up(proxy: SocketAddr, room: &str) -> Result<String> {
    let page = http::get(proxy, &format!("/{room}"), &BROWSER).await?;
    let pre_ticket = cookies(&page);
    let path = format!("/queue/status?room={room}");
    let joined = http::get(proxy, &path, &[("cookie", &pre_ticket)]).await?;
    let ticket = cookies(&joined);
    ensure!(!ticket.is_empty(), "joining gave no ticket: {} {:?}", joined.head.status, joined.body);
    testbed::wait::until("a position in the line", WITHIN, async || {
        let answer = http::get(proxy, &path, &[("cookie", &ticket)]).await;
        answer.is_ok_and(|answer| String::from_utf8_lossy(&answer.body).contains("\"position\""))
    })
    .await
    .context("taking a place")?;
    Ok(ticket)
}

/// What a browser would send back.
fn cookies(answer: &Answer) -> String {
    let set = answer.head.headers.get_all("set-cookie").iter().filter_map(|value| value.to_str().ok());
    set.filter_map(|cookie| cookie.split(';').next()).collect::<Vec<_>>().join("; ")
}
