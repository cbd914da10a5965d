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
        None => refuse(&report.mistakes),
    };
    for warning in &report.warnings {
        print::note(&format!("warning: {warning}"));
    }
    code
}

/// Prints mistakes.
pub(super) fn refuse(mistakes: &[Problem]) -> ExitCode {
    for mistake in mistakes {
        print::note(&format!("error: {mistake}"));
    }
    print::failure(BAD_USAGE, &format!("the config has {}; nothing was started", count(mistakes.len(), "mistake")))
}

fn count(n: usize, word: &str) -> String {
    if n == 1 { format!("1 {word}") } else { format!("{n} {word}s") }
}
