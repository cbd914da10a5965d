//! Calls of the queue store.

use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntGauge};

use super::families::Families;

/// The store's operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named after the operations of the store, which say what they do")]
pub enum StoreOperation {
    Join,
    Enter,
    Tick,
    Claim,
    Touch,
    End,
    Reap,
    Snapshot,
    Recover,
    MergeBits,
    Flush,
    Reset,
    SetPaused,
    Trim,
    Ping,
}

/// Names in the order of the enum.
const NAMES: [&str; 15] = [
    "join",
    "enter",
    "tick",
    "claim",
    "touch",
    "end",
    "reap",
    "snapshot",
    "recover",
    "merge_bits",
    "flush",
    "reset",
    "set_paused",
    "trim",
    "ping",
];

const _: () = assert!(StoreOperation::Ping as usize + 1 == NAMES.len());

/// Handles of all operations, resolved at start: they are few.
pub struct StoreMetrics {
    operations: Vec<Operation>,
    up: IntGauge,
}

struct Operation {
    good: IntCounter,
    failed: IntCounter,
    /// Only when the store is Redis.
    commands: Option<(IntCounter, IntCounter)>,
    durations: Histogram,
}

impl StoreMetrics {
    pub(super) fn new(families: &Families, redis: bool) -> Self {
        let operation = |name: &&str| {
            let by = |family: &prometheus::IntCounterVec, result| family.with_label_values(&[*name, result]);
            let commands = || (by(&families.redis_commands, "ok"), by(&families.redis_commands, "error"));
            Operation {
                good: by(&families.store_calls, "ok"),
                failed: by(&families.store_calls, "error"),
                commands: redis.then(commands),
                durations: families.store_durations.with_label_values(&[*name]),
            }
        };
        Self { operations: NAMES.iter().map(operation).collect(), up: families.store_up.clone() }
    }

    /// One call answered or failed.
    pub fn call(&self, operation: StoreOperation, ok: bool, took: Duration) {
        let Some(handles) = self.operations.get(operation as usize) else { return };
        let pick = |good, failed| -> &IntCounter { if ok { good } else { failed } };
        pick(&handles.good, &handles.failed).inc();
        if let Some((good, failed)) = &handles.commands {
            pick(good, failed).inc();
        }
        handles.durations.observe(took.as_secs_f64());
    }

    /// Whether the store answers.
    pub fn up(&self, up: bool) {
        self.up.set(i64::from(up));
    }
}
