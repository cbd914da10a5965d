//! Calls of the queue store.

use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntGauge};

use super::families::Families;

/// The store's operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Join,
    Enter,
    Tick,
    Claim,
    Touch,
    End,
    Reap,
    Heartbeats,
    LiveNodes,
    Heard,
    Snapshot,
    Recover,
    MergeBits,
    Flush,
    Reset,
    SetPaused,
    Trim,
    Announce,
    Ping,
}

/// Names in the order of the enum.
const NAMES: [&str; 19] = [
    "join",
    "enter",
    "tick",
    "claim",
    "touch",
    "end",
    "reap",
    "heartbeats",
    "live_nodes",
    "heard",
    "snapshot",
    "recover",
    "merge_bits",
    "flush",
    "reset",
    "set_paused",
    "trim",
    "announce",
    "ping",
];

const _: () = assert!(Operation::Ping as usize + 1 == NAMES.len());

/// Handles of all operations, resolved at start: they are few.
pub(super) struct StoreMetrics {
    operations: Vec<Handles>,
    pub(super) up: IntGauge,
}

struct Handles {
    good: IntCounter,
    failed: IntCounter,
    /// Only when the store is Redis.
    commands: Option<(IntCounter, IntCounter)>,
    durations: Histogram,
}

impl StoreMetrics {
    pub(super) fn new(families: &Families, redis: bool) -> Self {
        let handles = |name: &&str| {
            let by = |family: &prometheus::IntCounterVec, result| family.with_label_values(&[*name, result]);
            let commands = || (by(&families.redis_commands, "ok"), by(&families.redis_commands, "error"));
            Handles {
                good: by(&families.store_calls, "ok"),
                failed: by(&families.store_calls, "error"),
                commands: redis.then(commands),
                durations: families.store_durations.with_label_values(&[*name]),
            }
        };
        Self { operations: NAMES.iter().map(handles).collect(), up: families.store_up.clone() }
    }

    /// One call answered or failed.
    pub(super) fn call(&self, operation: Operation, ok: bool, took: Duration) {
        let Some(handles) = self.operations.get(operation as usize) else { return };
        let pick = |good, failed| -> &IntCounter { if ok { good } else { failed } };
        pick(&handles.good, &handles.failed).inc();
        if let Some((good, failed)) = &handles.commands {
            pick(good, failed).inc();
        }
        handles.durations.observe(took.as_secs_f64());
    }
}
