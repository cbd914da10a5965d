//! What a worker does again and again, and who sees to it that it goes on: one supervised loop for each task.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::ledger::LedgerError;

/// First pause after a failure; doubled with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Longest pause: how long after the end of an outage work goes on at the latest.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What one run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ran {
    /// There may be more to do: run again at once.
    More,
    /// Nothing is left for now: wait for the period or for what wakes the task.
    Idle,
}

/// Why a run came to nothing. It is tried again, later each time.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// The database.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Whatever else the task needs: Redis, a broker, somebody's web server.
    #[error("{what}: {why}")]
    Elsewhere {
        /// Which of them.
        what: &'static str,
        /// What it said, or that it said nothing.
        why: String,
    },
}

/// Something to do again and again. Several workers may run the same task at once: a run takes only what no other has
/// taken, or changes nothing that was done before.
#[async_trait]
pub trait Task: Send + Sync + 'static {
    /// Its name in logs and metrics.
    fn name(&self) -> &'static str;

    /// How long after a run with nothing left the next one comes.
    fn period(&self) -> Duration;

    /// One bounded piece of work. It is let finish when the worker stops, so it must end within seconds.
    async fn run_once(&self) -> Result<Ran, TaskError>;

    /// What has gone wrong with a part of the work that is put off while the rest goes on: seen until it is over.
    fn trouble(&self) -> Option<String> {
        None
    }

    /// Returns when there is something to do before the period is over. Never, unless a task knows better.
    async fn woken(&self) {
        std::future::pending().await
    }
}

/// How every task stands: for readiness and metrics. Cheap to clone.
#[derive(Clone)]
pub struct Board {
    runs: IntCounterVec,
    failing: IntGaugeVec,
    /// Why each failing task failed last, by name. A plain mutex: held for a few instructions.
    troubles: Arc<Mutex<Vec<(&'static str, String)>>>,
}

impl Board {
    /// A board on which nothing fails. Fails itself only when its metrics' names are taken.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let runs =
            IntCounterVec::new(Opts::new("worker_runs_total", "Runs of a worker's task."), &["task", "outcome"])?;
        let failing =
            IntGaugeVec::new(Opts::new("worker_task_failing", "1 while the last run of a task failed."), &["task"])?;
        registry.register(Box::new(runs.clone()))?;
        registry.register(Box::new(failing.clone()))?;
        Ok(Self { runs, failing, troubles: Arc::default() })
    }

    /// The tasks whose last run failed, with the reason.
    pub fn troubles(&self) -> Vec<(&'static str, String)> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A run came to its end; a part of the work may be put off all the same.
    fn succeeded(&self, task: &'static str, ran: Ran, put_off: Option<String>) {
        let outcome = if ran == Ran::More { "more" } else { "idle" };
        self.runs.with_label_values(&[task, outcome]).inc();
        self.failing.with_label_values(&[task]).set(i64::from(put_off.is_some()));
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.retain(|(name, _)| *name != task);
        troubles.extend(put_off.map(|why| (task, why)));
    }

    /// Says whether the task was well before.
    fn failed(&self, task: &'static str, why: &str) -> bool {
        self.runs.with_label_values(&[task, "failed"]).inc();
        self.failing.with_label_values(&[task]).set(1);
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        let before = troubles.len();
        troubles.retain(|(name, _)| *name != task);
        let was_well = troubles.len() == before;
        troubles.push((task, why.to_owned()));
        was_well
    }
}

/// Runs a task until told to stop. Failures and panics are logged, counted, and followed by a pause.
pub(super) async fn supervise(task: Arc<dyn Task>, board: Board, mut stopping: watch::Receiver<bool>) {
    let name = task.name();
    let mut pause = FIRST_PAUSE;
    while !*stopping.borrow() {
        match run(&task).await {
            Ok(ran) => {
                pause = FIRST_PAUSE;
                board.succeeded(name, ran, task.trouble());
                if ran == Ran::Idle {
                    tokio::select! {
                        _ = stopping.wait_for(|stop| *stop) => return,
                        () = tokio::time::sleep(task.period()) => {}
                        () = task.woken() => {}
                    }
                }
            }
            Err(why) => {
                if board.failed(name, &why) {
                    tracing::warn!(task = name, why, "a task failed; it is tried again until it works");
                } else {
                    tracing::debug!(task = name, why, "a task failed again");
                }
                // Jitter, so that several workers do not come back at the same moment.
                let jittered = pause.mul_f64(rand::random_range(0.5..1.0));
                pause = (pause * 2).min(LONGEST_PAUSE);
                tokio::select! {
                    _ = stopping.wait_for(|stop| *stop) => return,
                    () = tokio::time::sleep(jittered) => {}
                }
            }
        }
    }
}

/// One run, in a task of the runtime so that a panic ends only the run. Dropped, it is aborted.
async fn run(task: &Arc<dyn Task>) -> Result<Ran, String> {
    let mut one = JoinSet::new();
    let task = Arc::clone(task);
    one.spawn(async move { task.run_once().await });
    match one.join_next().await {
        Some(Ok(done)) => done.map_err(|error| error.to_string()),
        Some(Err(error)) => Err(format!("a bug: {error}")),
        None => Err("a bug: the run never was".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Notify;

    use super::*;

    /// Panics, fails, then works; says when it has.
    struct Clumsy {
        runs: AtomicU32,
        worked: Notify,
    }

    #[async_trait]
    impl Task for Clumsy {
        fn name(&self) -> &'static str {
            "clumsy"
        }

        fn period(&self) -> Duration {
            Duration::from_secs(3_600)
        }

        async fn run_once(&self) -> Result<Ran, TaskError> {
            match self.runs.fetch_add(1, Ordering::SeqCst) {
                0 => panic!("clumsy"),
                1 => Err(TaskError::Elsewhere { what: "the other", why: "gone".to_owned() }),
                2 => Ok(Ran::More),
                _ => {
                    self.worked.notify_one();
                    Ok(Ran::Idle)
                }
            }
        }
    }

    #[tokio::test]
    async fn a_task_goes_on_after_panics_and_failures_and_stops_when_told() {
        let board = Board::new(&Registry::new()).unwrap();
        let (stop, stopping) = watch::channel(false);
        let task = Arc::new(Clumsy { runs: AtomicU32::new(0), worked: Notify::new() });
        let loop_of_it = tokio::spawn(supervise(Arc::clone(&task) as Arc<dyn Task>, board.clone(), stopping));
        task.worked.notified().await;
        stop.send_replace(true);
        loop_of_it.await.unwrap();
        assert_eq!(board.troubles(), []);
        assert_eq!(task.runs.load(Ordering::SeqCst), 4);
    }

    #[test]
    fn the_board_says_who_fails_and_why_and_only_the_first_time_is_new() {
        let board = Board::new(&Registry::new()).unwrap();
        assert!(board.failed("relay", "gone"));
        assert!(!board.failed("relay", "still gone"));
        assert_eq!(board.troubles(), [("relay", "still gone".to_owned())]);
        board.succeeded("relay", Ran::More, Some("one of many".to_owned()));
        assert_eq!(board.troubles(), [("relay", "one of many".to_owned())]);
        board.succeeded("relay", Ran::Idle, None);
        assert_eq!(board.troubles(), []);
    }
}
