//! The runtime on which wires and origins run: one for the process, so that they outlive the runtime of the test that made them.

use std::io;
use std::sync::OnceLock;

use tokio::runtime::{Builder, Handle, Runtime};

use crate::error::{Error, Result};

/// Two threads: an origin that blocks must not stop the wire in front of it.
const THREADS: usize = 2;

/// The handle of the background runtime, started at first use and never stopped.
pub(crate) fn handle() -> Result<&'static Handle> {
    static RUNTIME: OnceLock<io::Result<Runtime>> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        Builder::new_multi_thread().worker_threads(THREADS).thread_name("testbed").enable_all().build()
    });
    match runtime {
        Ok(runtime) => Ok(runtime.handle()),
        Err(cause) => Err(Error::io("starting the testbed's threads")(io::Error::new(cause.kind(), cause.to_string()))),
    }
}
