//! Seat maps: from memory, from Postgres each time, and not sent at all; and what a sold-out schedule costs Postgres.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::site::Site;
use crate::bench::load::{self, Outcome, Target};
use crate::bench::rounds::LOAD_CORE;
use crate::http;

/// A seeded schedule of a thousand seats.
const PATH: &str = "/schedules/1/seats";

/// A seeded schedule that is sold out for this.
const SOLD_OUT: i64 = 6;

/// The whole map, compressed, at one service.
pub(super) async fn whole(site: &Site, addr: SocketAddr, time: Duration) -> Result<Outcome> {
    let headers = [("X-QUEUE-TOKEN", site.sessions[0].as_str()), ("Accept-Encoding", "gzip")];
    load::put(&target(addr, PATH, &headers), LOAD_CORE, time).await
}

/// The answer to somebody who has the map already.
pub(super) async fn not_modified(site: &Site, addr: SocketAddr, time: Duration) -> Result<Outcome> {
    let token = site.sessions[0].as_str();
    let answer = http::get(addr, PATH, &[("x-queue-token", token)]).await?;
    let etag = answer.head.headers.get("etag").context("the map has no ETag")?.to_str()?.to_owned();
    let headers = [("X-QUEUE-TOKEN", token), ("Accept-Encoding", "gzip"), ("If-None-Match", etag.as_str())];
    load::put(&target(addr, PATH, &headers), LOAD_CORE, time).await
}

/// What the map of a sold-out schedule costs Postgres.
pub(super) struct SoldOut {
    /// Answers, all in full.
    pub(super) maps: u64,
    /// Transactions meanwhile, beyond those of the same time without a request.
    pub(super) transactions: i64,
    /// And those: counting itself, new connections after it, autovacuum, whatever services do unasked.
    pub(super) idle: i64,
}

/// Sells a schedule out and asks for its map.
pub(super) async fn sold_out(site: &Site, time: Duration) -> Result<SoldOut> {
    site.sql(&format!(
        "UPDATE concert_seats SET status = 'TEMPORARILY_RESERVED', hold_id = gen_random_uuid(), version = version + 1,
         held_until = now() + interval '1 day' WHERE schedule_id = {SOLD_OUT} AND status = 'AVAILABLE';
         UPDATE concert_seats SET status = 'RESERVED', held_until = NULL, version = version + 1
         WHERE schedule_id = {SOLD_OUT} AND status = 'TEMPORARILY_RESERVED'"
    ))
    .await?;
    // Or autovacuum would, in one of the two times.
    site.sql("VACUUM ANALYZE concert_seats").await?;
    let path = format!("/schedules/{SOLD_OUT}/seats");
    let before = site.transactions().await?;
    tokio::time::sleep(time).await;
    let idle = site.transactions().await? - before;

    let first = http::get(site.whole, &path, &[("x-queue-token", &site.sessions[0])]).await?;
    ensure!(first.head.status == 200, "the sold-out map: {}", first.head.status);
    let before = site.transactions().await?;
    let headers = [("X-QUEUE-TOKEN", site.sessions[0].as_str()), ("Accept-Encoding", "gzip")];
    let outcome = load::put(&target(site.whole, &path, &headers), LOAD_CORE, time).await?;
    Ok(SoldOut { maps: outcome.requests, transactions: site.transactions().await? - before - idle, idle })
}

fn target(addr: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Target {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Target { addr, path: path.to_owned(), headers }
}
