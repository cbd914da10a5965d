//! Children: their logs, their ends, and that nothing outlives a parent that is killed or panics.

#![expect(clippy::unwrap_used, reason = "a helper of tests may panic as they do")]

use std::fs;
use std::time::Duration;

use testbed::postgres::PrivatePostgres;
use testbed::process::{Child, Program, Signal};
use testbed::redis::PrivateRedis;
use testbed::wait;

const LONG: Duration = Duration::from_secs(60);

/// The variable that turns [`parent_of_servers`] from a no-op into a parent, and says how it is to end.
const END: &str = "TESTBED_PARENT_ENDS";

fn shell(script: &str) -> Program {
    Program::new("/bin/sh").args(["-c", script])
}

fn alive(pid: u32) -> bool {
    // A zombie has ended; whoever inherited it has only not looked yet.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.trim().is_empty() && !rest.trim_start().starts_with('Z'))
}

#[tokio::test]
async fn lines_are_waited_for_and_an_early_end_is_told_with_the_log() {
    let child = shell("echo one; echo two >&2; exec sleep 600").start().unwrap();
    child.wait_for_line("one", LONG).await.unwrap();
    assert_eq!(child.wait_for_line("wo", LONG).await.unwrap(), "two");
    let failing = shell("echo reason >&2; exit 3").named("failing").start().unwrap();
    let error = failing.wait_for_line("never", LONG).await.unwrap_err().to_string();
    assert!(error.contains("failing ended (exit status: 3)") && error.contains("reason"), "{error}");
}

#[tokio::test]
async fn output_keeps_the_streams_apart() {
    let output = shell("echo out; echo err >&2; exit 4").output(LONG).await.unwrap();
    assert_eq!((output.status.code(), output.stdout.as_str(), output.stderr.as_str()), (Some(4), "out", "err"));
}

#[tokio::test]
async fn terminate_is_answered_by_the_child_and_drop_ends_the_whole_group() {
    let child = shell("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done").start().unwrap();
    child.wait_for_line("up", LONG).await.unwrap();
    assert!(child.terminate(LONG).await.unwrap().success());
    child.wait_for_line("bye", LONG).await.unwrap();

    let parent = shell("sleep 600 & echo $!; wait").start().unwrap();
    let grandchild: u32 = parent.wait_for_line("", LONG).await.unwrap().parse().unwrap();
    assert!(alive(grandchild));
    drop(parent);
    wait::until("the grandchild's end", LONG, async || !alive(grandchild)).await.unwrap();
}

#[tokio::test]
async fn a_child_lives_on_when_the_thread_that_asked_for_it_ends() {
    let child = std::thread::spawn(|| shell("exec sleep 600").start().unwrap()).join().unwrap();
    // A second child by the same way: whatever the first thread's end sends has arrived by its answer.
    shell("true").output(LONG).await.unwrap();
    assert!(child.exit_status().is_none());
}

#[tokio::test]
async fn a_missing_program_is_told() {
    let error = Program::new("/no/such/program").start().unwrap_err().to_string();
    assert!(error.contains("starting /no/such/program"), "{error}");
}

/// Starts this test binary once more, as a parent of servers that ends in the way `end` says.
async fn parent(end: &str) -> (Child, Vec<u32>) {
    let parent = Program::new(std::env::current_exe().unwrap())
        .args(["--exact", "parent_of_servers", "--nocapture", "--test-threads=1"])
        .env(END, end)
        .start()
        .unwrap();
    let line = parent.wait_for_line("servers:", LONG).await.unwrap();
    let (_, pids) = line.split_once("servers:").unwrap();
    (parent, pids.split_whitespace().map(|pid| pid.parse().unwrap()).collect())
}

#[tokio::test]
async fn parent_of_servers() {
    let Ok(end) = std::env::var(END) else { return };
    let redis = PrivateRedis::start().await.unwrap();
    let postgres = PrivatePostgres::start().await.unwrap();
    println!("servers: {} {}", redis.pid().unwrap(), postgres.pid().unwrap());
    assert!(end != "panic", "as ordered");
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn nothing_outlives_a_parent_that_is_killed() {
    for signal in [Signal::Kill, Signal::Interrupt] {
        let (parent, servers) = parent("wait").await;
        assert!(servers.len() == 2 && servers.iter().all(|pid| alive(*pid)), "{servers:?}");
        parent.signal(signal).unwrap();
        parent.wait(LONG).await.unwrap();
        let gone = async || !servers.iter().any(|pid| alive(*pid));
        wait::until("the end of the servers", LONG, gone).await.unwrap();
    }
}

#[tokio::test]
async fn nothing_outlives_a_parent_that_panics() {
    let (parent, servers) = parent("panic").await;
    assert!(!parent.wait(LONG).await.unwrap().success());
    wait::until("the end of the servers", LONG, async || !servers.iter().any(|pid| alive(*pid))).await.unwrap();
}
