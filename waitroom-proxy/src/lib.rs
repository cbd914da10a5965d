//! waitroom-proxy: lets visitors in at the rate the site can take, in a fair order.

pub mod admin;
pub mod admission;
pub mod classify;
pub mod cli;
pub mod compact;
pub mod config;
pub mod credentials;
pub mod decide;
pub mod edge;
pub mod metrics;
pub mod page;
pub mod rank;
pub mod room;
pub mod run;
pub mod seal;
pub mod session;
pub mod silence;
pub mod status;
pub mod store;
pub mod ticket;
pub mod view;
