//! Output. A reader that went away (`| head`) is no failure, and never a panic.

use std::io::Write as _;
use std::process::ExitCode;

/// Writes to stdout.
pub(super) fn bytes(bytes: &[u8]) -> ExitCode {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            failure(1, &format!("cannot write the output: {error}"))
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Writes text and a newline to stdout.
pub(super) fn line(text: &str) -> ExitCode {
    bytes(format!("{text}\n").as_bytes())
}

/// Writes indented JSON to stdout.
pub(super) fn json(value: &serde_json::Value) -> ExitCode {
    line(&format!("{value:#}"))
}

/// Writes a line to stderr.
pub(super) fn note(text: &str) {
    // Without stderr there is nobody to tell.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Says why, in a sentence.
pub(super) fn failure(code: u8, sentence: &str) -> ExitCode {
    note(&format!("waitroom-proxy: {sentence}"));
    ExitCode::from(code)
}
