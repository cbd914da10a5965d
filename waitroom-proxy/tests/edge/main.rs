//! The contract of the edge, spoken to the real binary over real sockets.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod announce;
mod clocks;
mod connections;
mod contract;
mod cors;
mod events;
mod failover;
mod front;
mod harness;
mod keys;
mod operators;
mod refused;
mod reload;
mod sessions;
mod silence;
mod slow;
mod store;
mod stores;
mod tickets;
mod tunnels;
mod upstreams;
