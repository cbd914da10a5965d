//! The service as `main` starts it, on real Postgres and Redis, spoken to over HTTP.

mod bed;
mod catalogue;
mod client;
mod faults;
mod holds;
mod input;
mod keys;
mod money;
mod payments;
mod process;
mod rules;
mod tokens;
