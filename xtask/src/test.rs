//! `cargo xtask test`: format, lints, every test and the documentation; what CI runs.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::num::NonZero;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::prepare::{self, Purpose};
use crate::{cargo, say};

/// Test files that `--quick` leaves out, by how their names start, and why.
const SLOW: [(&str, &str); 3] = [
    ("browser", "Chromium"),
    ("interop", "libraries of others, from npm and PyPI"),
    ("faults", "crowds in line while Redis and proxies die"),
];

/// Tests that run at once in one binary, at most: each may have servers and a browser of its own.
const MOST_THREADS: usize = 8;

/// Options of `test`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Leaves out the slow suites, lints and documentation, and says which
    #[arg(long)]
    quick: bool,
    /// Only what needs a build with Kafka, which takes a C compiler some minutes the first time
    #[arg(long, conflicts_with = "quick")]
    kafka: bool,
}

/// Counts of the test runner, added up over all test binaries.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    binaries: u32,
    passed: u32,
    failed: u32,
    ignored: u32,
}

/// Runs everything; `false` when a test failed.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let began = Instant::now();
    // The quick run has no browser and no libraries of others in it.
    prepare::system(if options.quick || options.kafka { Purpose::Demo } else { Purpose::Test })?;
    prepare::rust_components()?;
    say::step("format");
    cargo::run(&["fmt", "--all", "--check"])?;
    let tests = match options {
        Options { kafka: true, .. } => kafka()?,
        Options { quick: true, .. } => quick()?,
        Options { .. } => full()?,
    };
    let (mut counts, mut good) = count(tests)?;
    if !options.quick && !options.kafka {
        // Last, since its build of the service is another one: what the usual build shows is shown before.
        let (more, fine) = count(kafka()?)?;
        counts.merge(&more);
        good &= fine;
    }
    if good && !options.quick && !options.kafka {
        say::step("documentation");
        document()?;
    }
    println!("{}", closing(&counts, good, began.elapsed()));
    Ok(good)
}

/// The tests of the quick run.
fn quick() -> Result<std::process::Command> {
    let mut left_out = vec!["lints".to_owned(), "documentation".to_owned(), "doc tests".to_owned()];
    let mut tests = cargo::command(["test", "--workspace", "--no-fail-fast", "--lib", "--bins"]);
    for name in test_files()? {
        match SLOW.iter().find(|(slow, _)| name.starts_with(slow)) {
            Some((_, why)) => left_out.push(format!("{name} ({why})")),
            None => {
                tests.args(["--test", &name]);
            }
        }
    }
    say::step(&format!("quick: left out are {}", left_out.join(", ")));
    Ok(tests)
}

/// What only a build with Kafka has, after its lints.
fn kafka() -> Result<std::process::Command> {
    // Of the whole workspace, so that what both builds share is of the same features and built once.
    const WITH_KAFKA: [&str; 3] = ["--workspace", "--features", "reservation-svc/kafka"];
    say::step("lints of a build with Kafka");
    cargo::run(&[&["clippy"], &WITH_KAFKA[..], &["--all-targets", "--quiet", "--", "-D", "warnings"]].concat())?;
    let mut tests = cargo::command(["test", "--no-fail-fast"]);
    tests.args(WITH_KAFKA).args(["--test", "service", "kafka"]);
    Ok(tests)
}

/// All tests, after the lints.
fn full() -> Result<std::process::Command> {
    say::step("lints");
    cargo::run(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"])?;
    let environment = prepare::interop()?;
    let mut tests = cargo::command(["test", "--workspace", "--no-fail-fast"]);
    tests.envs(environment.variables());
    Ok(tests)
}

fn document() -> Result<()> {
    let mut doc = cargo::command(["doc", "--workspace", "--no-deps", "--quiet"]);
    let status = doc.env("RUSTDOCFLAGS", "-D warnings").status().context("starting `cargo doc`")?;
    ensure!(status.success(), "`cargo doc` failed ({status})");
    Ok(())
}

/// Runs the tests, shows what they print as it comes, and adds up their closing lines.
fn count(mut tests: std::process::Command) -> Result<(Counts, bool)> {
    say::step("tests");
    let threads = std::thread::available_parallelism().map_or(2, NonZero::get).min(MOST_THREADS);
    let mut tests = tests
        .env("RUST_TEST_THREADS", threads.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting `cargo test`")?;
    let mut counts = Counts::default();
    let mut out = std::io::stdout().lock();
    for line in BufReader::new(tests.stdout.take().context("cargo has no output")?).split(b'\n') {
        let line = line.context("reading the output of cargo")?;
        counts.add(&String::from_utf8_lossy(&line));
        out.write_all(&line)?;
        out.write_all(b"\n")?;
        out.flush()?;
    }
    let status = tests.wait().context("waiting for cargo")?;
    Ok((counts, status.success()))
}

impl Counts {
    /// Adds what another command counted.
    fn merge(&mut self, other: &Self) {
        self.binaries += other.binaries;
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }

    /// Adds a line such as `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
    fn add(&mut self, line: &str) {
        let Some((_, counts)) = line.split_once("test result: ") else { return };
        self.binaries += 1;
        for part in counts.split([';', '.']) {
            let mut words = part.split_whitespace();
            let (Some(number), Some(kind)) = (words.next().and_then(|word| word.parse::<u32>().ok()), words.next())
            else {
                continue;
            };
            match kind {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

fn closing(counts: &Counts, good: bool, took: Duration) -> String {
    let Counts { binaries, passed, failed, ignored } = counts;
    let verdict = if good { "ok" } else { "FAILED" };
    let took = took.as_secs();
    format!("xtask test: {verdict}. {passed} passed, {failed} failed, {ignored} ignored in {binaries} runs; {took} s")
}

/// The names of all files with integration tests.
fn test_files() -> Result<BTreeSet<String>> {
    let metadata = cargo::command(["metadata", "--no-deps", "--format-version", "1"]);
    let output = { metadata }.output().context("starting `cargo metadata`")?;
    ensure!(output.status.success(), "`cargo metadata`: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).context("reading `cargo metadata`")?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let targets = packages.flat_map(|package| package["targets"].as_array().into_iter().flatten());
    let tests = targets.filter(|target| target["kind"][0] == "test");
    Ok(tests.filter_map(|target| target["name"].as_str().map(str::to_owned)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_added_up_and_other_lines_are_not() {
        let mut counts = Counts::default();
        counts.add("test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.50s");
        counts.add("test result: FAILED. 2 passed; 4 failed; 0 ignored; 0 measured; 9 filtered out; finished in 1.00s");
        counts.add("test store::i4_seq ... ok, 7 passed");
        assert_eq!(counts, Counts { binaries: 2, passed: 5, failed: 4, ignored: 1 });
        counts.merge(&Counts { binaries: 1, passed: 0, failed: 0, ignored: 0 });
        assert_eq!(counts, Counts { binaries: 3, passed: 5, failed: 4, ignored: 1 });
        assert!(closing(&counts, false, Duration::from_secs(9)).contains("FAILED. 5 passed, 4 failed, 1 ignored in 3"));
    }

    #[test]
    fn the_files_of_this_workspace_are_found() {
        assert!(test_files().unwrap().contains("postgres"));
    }

    #[test]
    fn what_the_quick_run_leaves_out_is_there() {
        let files = test_files().unwrap();
        for (slow, why) in SLOW {
            assert!(files.iter().any(|name| name.starts_with(slow)), "no test file begins with {slow} ({why})");
        }
    }
}
