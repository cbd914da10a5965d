//! The page in Chromium, through the real waiting room: choose, hold, pay, see the ticket; what happens when the
//! session ends in between; and what axe-core has to say.
#![expect(clippy::unwrap_used, reason = "a test that can not go on is to say where")]

#[path = "browser/access.rs"]
mod access;
#[path = "browser/money.rs"]
mod money;
#[path = "browser/site.rs"]
mod site;
#[path = "browser/visit.rs"]
mod visit;
