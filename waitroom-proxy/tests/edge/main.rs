//! The contract of the edge, spoken to the real binary over real sockets.

mod contract;
mod harness;
mod refused;
mod reload;
mod store;
mod upstreams;
