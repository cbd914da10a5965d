//! `check`, and what `run` says of a config that it refuses.

use std::process::ExitCode;

use super::{BAD_USAGE, check_template, print};
use crate::config::{Problem, Source};

/// Prints mistakes, then warnings.
pub(super) fn check(source: &Source) -> ExitCode {
    let report = source.report(&check_template);
    let code = match &report.config {
        Some(config) => {
            let rooms = config.rooms.len();
            print::line(&format!("The config is good: {}.", count(rooms, "room")))
        }
        None => tell(&report.mistakes, ""),
    };
    for warning in &report.warnings {
        print::note(&format!("warning: {warning}"));
    }
    code
}

/// What `run` says of a config with mistakes.
pub(super) fn refuse(mistakes: &[Problem]) -> ExitCode {
    tell(mistakes, "; nothing was started")
}

fn tell(mistakes: &[Problem], so: &str) -> ExitCode {
    for mistake in mistakes {
        print::note(&format!("error: {mistake}"));
    }
    print::failure(BAD_USAGE, &format!("the config has {}{so}", count(mistakes.len(), "mistake")))
}

fn count(n: usize, word: &str) -> String {
    if n == 1 { format!("1 {word}") } else { format!("{n} {word}s") }
}
