//! How xtask speaks: progress and problems on standard error, results on standard output.

use std::io::{self, IsTerminal};

/// A step that begins.
pub(crate) fn step(text: &str) {
    if io::stderr().is_terminal() {
        eprintln!("\x1b[1mxtask:\x1b[0m {text}");
    } else {
        eprintln!("xtask: {text}");
    }
}

/// Why it cannot go on.
pub(crate) fn problem(text: &str) {
    if io::stderr().is_terminal() {
        eprintln!("\x1b[1;31mxtask:\x1b[0m {text}");
    } else {
        eprintln!("xtask: {text}");
    }
}

/// Whether results go to a person at a terminal.
pub(crate) fn to_a_terminal() -> bool {
    io::stdout().is_terminal()
}

/// `text` in a colour of the terminal, or as it is.
pub(crate) fn coloured(text: &str, code: &str) -> String {
    if to_a_terminal() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}
