//! The waiting page in Chromium: its script against scripted answers, the whole way through the real proxy,
//! and what axe-core has to say about it.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

#[path = "browser/access.rs"]
mod access;
#[path = "browser/script.rs"]
mod script;
#[path = "browser/support.rs"]
mod support;
#[path = "browser/visit.rs"]
mod visit;
