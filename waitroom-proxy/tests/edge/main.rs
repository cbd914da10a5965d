//! The contract of the edge, spoken to the real binary over real sockets.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod announce;
mod contract;
mod events;
mod failover;
mod front;
mod harness;
mod operators;
mod refused;
mod reload;
mod silence;
mod slow;
mod store;
mod upstreams;
