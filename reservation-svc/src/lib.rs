//! The reservation service: holds seats, takes the money, keeps the ledger. What it is made of; no logic here.
//!
//! `seat` (pure) ← `link`, `lock` (Redis), `gateway` (payments elsewhere) and `ledger` (Postgres) ← `seatmap`, `catalogue`,
//! `booking` (use cases) ← `http` and `admin` (edges).

pub mod admin;
pub mod auth;
pub mod booking;
pub mod breaker;
pub mod catalogue;
pub mod cli;
pub mod config;
pub mod event;
pub mod flight;
pub mod gateway;
pub mod http;
pub mod ledger;
pub mod link;
pub mod listener;
pub mod lock;
pub mod metrics;
pub mod quota;
pub mod seat;
pub mod seatmap;
pub mod serve;
pub mod server;
pub mod ticket;
pub mod worker;
