//! A crowd for a waiting room: arrives, waits, is let in, books, and then checks that nothing was sold twice.
//! Speaks only the public HTTP contract; must not name the services' crates. `simulate` plays the queue without a site.
//!
//! # How the audit looks from outside
//! Behind a waiting room a visitor sees reservations only while there is a session. So nobody comes back at
//! the end: each buyer looks again *before leaving* (the reservation, the user's list, wallet and ledger), and
//! what all of them saw is compared in memory: no seat and no reservation with two owners, no ticket with two
//! visitors. Where the site ends the session with the purchase, the report says who could not look; wallets are
//! then read at `--audit-url`, the service itself, which wants no queue token for them.
//!
//! Visitors act for the users `--users` in turn, so with more visitors than users several share one. Wallets
//! are therefore reckoned per user, over all its visitors of this run: opening balance + charges − payments.
//! The balance is compared while no charge or payment of that user is under way. When the answer to one was
//! lost, only the ledger's sum can be checked, and the report counts the wallet as unsure.

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
pub mod simulate;
pub mod site;
pub mod tally;
pub mod visitor;
pub mod world;
