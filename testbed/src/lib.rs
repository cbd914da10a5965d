//! Private servers and hostile networks for tests, the demo and benches; it must not touch a server that it did not start.
//!
//! Everything started here dies with the process that started it, also when that
//! process panics, is interrupted or is killed with SIGKILL: see [`process`].
//! Nothing here depends on the runtime of the caller, so one instance may serve
//! many tests, each with a runtime of its own, even with a paused clock.

mod account;
mod background;
mod binaries;
pub mod browser;
pub mod clock;
pub mod cluster;
pub mod error;
pub mod gateway;
pub mod history;
mod inline;
pub mod origin;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod redis;
pub mod scratch;
pub mod sentinel;
mod spawner;
pub mod wait;
pub mod wire;

pub use error::{Error, Result};
