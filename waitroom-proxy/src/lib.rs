//! waitroom-proxy: lets visitors in at the rate the site can take, in a fair order.
//!
//! Without the feature `server` it is the queue alone: decisions, rooms and the embedded store, without Pingora,
//! Redis, a config or a command line. The simulation is built on that.

#[cfg(feature = "server")]
pub mod admin;
pub mod admission;
pub mod classify;
#[cfg(feature = "server")]
pub mod cli;
pub mod compact;
#[cfg(feature = "server")]
pub mod config;
pub mod credentials;
pub mod decide;
#[cfg(feature = "server")]
pub mod edge;
#[cfg(feature = "server")]
pub mod metrics;
pub mod mint;
#[cfg(feature = "server")]
pub mod page;
pub mod rank;
pub mod reception;
mod renewal;
pub mod room;
#[cfg(feature = "server")]
pub mod run;
pub mod seal;
pub mod session;
pub mod silence;
pub mod status;
pub mod store;
pub mod ticket;
pub mod view;
