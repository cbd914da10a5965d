//! The command line, as far as it needs no process: `tests/cli.rs` starts the real one.

use clap::CommandFactory as _;

use super::{Cli, Start, Surroundings, start};

#[test]
fn command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn run_in_front_of_an_origin_needs_no_file() {
    let words = ["waitroom-proxy", "run", "--origin", "http://127.0.0.1:3000", "--rate", "5"];
    let arguments = words.iter().map(Into::into).collect();
    let started = start(Surroundings { arguments, environment: Vec::new(), now_s: 0 });
    let Start::Run(loaded, _) = started else { panic!("{started:?}") };
    assert_eq!(loaded.config.rooms[0].rate_per_s, 5.0);
}
