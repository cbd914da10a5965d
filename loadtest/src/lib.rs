//! A crowd for a waiting room: arrives, waits, is let in, books, and then checks that nothing was sold twice.
//! Speaks only the public HTTP contract; must not depend on the services' crates.

pub mod accounts;
pub mod arrivals;
pub mod audit;
pub mod cli;
pub mod contract;
pub mod history;
pub mod jar;
mod progress;
pub mod rate;
pub mod report;
pub mod run;
pub mod seats;
pub mod site;
pub mod tally;
pub mod visitor;
pub mod world;
