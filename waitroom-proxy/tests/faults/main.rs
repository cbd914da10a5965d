//! Faults while thousands wait, on real servers and the real binary: what every visitor saw is written down, and
//! verified afterwards over the whole history (`testbed::history`).
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod crowd;
#[path = "../edge/harness.rs"]
#[expect(dead_code, reason = "shared with the tests of the edge, which use more of it")]
mod harness;
mod keys;
mod line;
mod loss;
mod newcomer;
mod partition;
mod replicas;
mod reset;
mod site;
mod wire;
