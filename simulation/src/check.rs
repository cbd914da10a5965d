//! Nodes, visitors and faults from a seed, on a clock that stands still while anybody works; and what must stay true.
//!
//! Every node runs what a proxy runs for a room: keeper, reaper, batch servers, reception, mint. They share one
//! embedded store, each behind a wire that loses requests and replies, is cut, and forgets its connection as the one
//! to Redis does. Visitors go through the reception with sealed tickets and tokens in a jar. Left out are sockets
//! and HTTP, the Redis scripts (a test of their own holds them against this store) and the breaker before the store.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

mod faults;
mod history;
mod ledger;
mod node;
mod outage;
mod page;
mod script;
mod server;
mod trial;
mod visitor;
mod wire;
mod world;

pub use outage::{AfterOutage, after_outage};
pub use script::Script;
use world::World;

/// A broken promise, and how to see it again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "seed {seed}: {invariant} is broken after {at_ms} ms: {what}\nuntil then: {until_then}\nagain with: loadtest simulate --check --seed {seed} --seeds 1"
)]
pub struct Broken {
    /// The seed of the run.
    pub seed: u64,
    /// Virtual time since the run began.
    pub at_ms: u64,
    /// Its name in the list of invariants.
    pub invariant: &'static str,
    /// What was seen.
    pub what: String,
    /// The faults before it.
    pub until_then: String,
}

/// What a run that kept every promise was made of, so that one can see that it was worth something.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Witness {
    /// The seed.
    pub seed: u64,
    /// Virtual time that passed.
    pub virtual_s: u64,
    /// Visitors, cleared cookies counted anew.
    pub visitors: u64,
    /// Those who came in.
    pub admitted: u64,
    /// Turns that the store gave, and entries by the fast lane.
    pub granted: u64,
    /// Polls and requests that were answered.
    pub answers: u64,
    /// Taken out of the line for silence.
    pub reaped: u64,
    /// Put back at an old number.
    pub returned: u64,
    /// Old tickets and tokens shown again.
    pub replays: u64,
    /// Requests and replies lost on the way to the store.
    pub lost_calls: u64,
    /// Faults, by name.
    pub faults: Vec<String>,
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "seed {}: every invariant held over {} s: {} visitors, {} admitted, {} turns, {} answers, {} reaped, {} put back, {} replays, {} calls lost; {}",
            self.seed,
            self.virtual_s,
            self.visitors,
            self.admitted,
            self.granted,
            self.answers,
            self.reaped,
            self.returned,
            self.replays,
            self.lost_calls,
            self.faults.join(", ")
        )
    }
}

/// Plays the run of a seed.
///
/// # Errors
/// The first promise that was broken.
pub fn check(seed: u64) -> Result<Witness, Broken> {
    runtime(seed)?.block_on(async {
        let world = Arc::new(World::new(Script::draw(seed)));
        let outcome = trial::play(&world).await;
        world.stop();
        outcome
    })
}

/// One thread, and a clock that stands still while it works.
fn runtime(seed: u64) -> Result<tokio::runtime::Runtime, Broken> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.map_err(|error| Broken {
        seed,
        at_ms: 0,
        invariant: "the simulation itself",
        what: format!("no runtime: {error}"),
        until_then: String::new(),
    })
}

/// Waits on the virtual clock.
async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}
