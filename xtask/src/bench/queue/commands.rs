//! What polls and admitted requests ask of Redis: its own count of commands, less what the same time costs idle.

use std::time::Duration;

use anyhow::Result;

use super::super::load::{self, Target};
use super::super::resp::Asker;
use super::super::rounds::{LOAD_CORE, SERVER_CORE};
use super::super::{Profile, visit};
use super::bed::{Bed, FULL, OPEN};
use super::book::{Aim, Book, Row};

const FOR: Duration = Duration::from_secs(4);

/// Between a count and the next request there is time for a tick or two, and for a report; nobody asks for those.
const ROUNDS_TO_0: f64 = 0.001;

pub(super) async fn measure(profile: Profile, book: &mut Book) -> Result<()> {
    let mut bed = Bed::start(profile).await?;
    let addr = bed.add_node(&[SERVER_CORE], 0.0).await?.visitors;
    let ticket = visit::line_up(addr, FULL).await?;
    let session = visit::enter(addr, OPEN).await?;
    let mut redis = bed.ask().await?;
    let before = commands(&mut redis).await?;
    // As long as a run of the load takes in all.
    tokio::time::sleep(FOR + Duration::from_millis(500)).await;
    let idle = commands(&mut redis).await? - before;
    let cookie = |text: String| vec![("Cookie".to_owned(), text)];
    let poll = Target { addr, path: format!("/queue/status?room={FULL}"), headers: cookie(ticket) };
    let admitted = Target { addr, path: format!("/{OPEN}"), headers: cookie(session) };
    for (what, target) in
        [("commands at Redis for a poll", poll), ("commands at Redis for an admitted request", admitted)]
    {
        let before = commands(&mut redis).await?;
        let outcome = load::put(&target, LOAD_CORE, FOR).await?;
        let all = commands(&mut redis).await? - before;
        let each = (all - idle).max(0.0) / outcome.requests as f64;
        book.note(Row {
            what: what.to_owned(),
            value: if each < ROUNDS_TO_0 { 0.0 } else { each },
            unit: "",
            aim: Aim::AtMost(0.0),
            beside: format!(
                "{} requests; {all:.0} commands meanwhile, {idle:.0} in the same time idle",
                outcome.requests
            ),
        });
    }
    Ok(())
}

async fn commands(redis: &mut Asker) -> Result<f64> {
    redis.info("stats", "total_commands_processed").await
}
