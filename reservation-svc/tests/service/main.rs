//! The service as `main` starts it, on real Postgres and Redis, spoken to over HTTP.
#![expect(clippy::unwrap_used, reason = "a test that can not go on is to say where")]

mod audit;
mod bed;
mod best;
mod cancel;
mod card;
mod card_crash;
mod card_faults;
mod card_random;
mod catalogue;
mod client;
mod consumers;
mod events;
mod expiry;
mod failover;
mod faults;
mod history;
mod holds;
mod input;
#[cfg(feature = "kafka")]
mod kafka;
mod keys;
mod limits;
mod money;
mod page;
mod partitions;
mod payments;
mod payments_cut;
mod plans;
mod process;
mod queue_events;
mod relays;
mod replica;
mod retention;
mod retries;
mod rules;
mod sales;
mod seatmap;
mod sentinel;
mod tickets;
mod tokens;
mod users;
mod webhook;
