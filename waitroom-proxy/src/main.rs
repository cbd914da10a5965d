//! The binary: gives the process's arguments, environment and clock to the command line. No logic.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use waitroom_proxy::cli::{self, Start, Surroundings};

/// A forwarded request makes some hundred allocations, most of them Pingora's; docs/adr/0010.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[expect(clippy::disallowed_methods, reason = "an edge of the process reads the clock")]
fn main() -> ExitCode {
    let environment = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
    let surroundings = Surroundings {
        arguments: std::env::args_os().collect(),
        environment: environment.collect(),
        now_s: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
    };
    match cli::start(surroundings) {
        Start::Done(code) => code,
        Start::Run(loaded, source) => waitroom_proxy::run::run(*loaded, source),
    }
}
