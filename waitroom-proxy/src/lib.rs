//! waitroom-proxy: lets visitors in at the rate the site can take, in a fair order.

pub mod admission;
pub mod classify;
pub mod cli;
pub mod config;
pub mod page;
pub mod rank;
pub mod status;
pub mod store;
