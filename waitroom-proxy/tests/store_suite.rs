//! The queue stores: one suite on memory and on Redis, a comparison by random operations, and what happens in outages.

#![expect(clippy::expect_used, reason = "a test that cannot go on says why and stops")]

#[path = "store/bed.rs"]
mod bed;
#[path = "store/clock.rs"]
mod clock;
#[path = "store/contents.rs"]
mod contents;
#[path = "store/heartbeats.rs"]
mod heartbeats;
#[path = "store/history.rs"]
mod history;
#[path = "store/leaders.rs"]
mod leaders;
#[path = "store/line.rs"]
mod line;
#[path = "store/link.rs"]
mod link;
#[path = "store/model.rs"]
mod model;
#[path = "store/opening.rs"]
mod opening;
#[path = "store/operation.rs"]
mod operation;
#[path = "store/outage.rs"]
mod outage;
#[path = "store/patience.rs"]
mod patience;
#[path = "store/rate.rs"]
mod rate;
#[path = "store/recovery.rs"]
mod recovery;
#[path = "store/replicated.rs"]
mod replicated;
#[path = "store/sessions.rs"]
mod sessions;
#[path = "store/slow.rs"]
mod slow;
