//! Handles of one room.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus::{Gauge, Histogram, IntCounter, IntGauge};

use super::families::Families;
use crate::edge::Outcome;

/// Every outcome, in the order of the enum.
const OUTCOMES: [Outcome; 6] =
    [Outcome::Own, Outcome::Open, Outcome::Admitted, Outcome::Held, Outcome::Poll, Outcome::Stream];

/// Classes of status, from 1xx on.
const CODES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

const STATES: [&str; 3] = ["waiting", "granted", "active"];
const WAYS: [&str; 2] = ["turn", "straight"];

/// Handles of one room. The series of a request appears when the first one is counted.
pub(super) struct RoomMetrics {
    families: Arc<Families>,
    name: String,
    /// By outcome and class of status. `OnceLock`: resolved once, then one load.
    requests: [[OnceLock<IntCounter>; CODES.len()]; OUTCOMES.len()],
    durations: [OnceLock<Histogram>; OUTCOMES.len()],
    /// What the store tells; there from the first time it is asked about this room.
    queue: OnceLock<QueueMetrics>,
}

/// What the store tells of a room.
pub(super) struct QueueMetrics {
    pub(super) joins: IntCounter,
    pub(super) grants: IntCounter,
    pub(super) claimed: IntCounter,
    pub(super) entered: IntCounter,
    pub(super) ended: IntCounter,
    pub(super) reaped: IntCounter,
    pub(super) unannounced: IntCounter,
    pub(super) waiting: IntGauge,
    pub(super) granted: IntGauge,
    pub(super) active: IntGauge,
    pub(super) admitted: IntGauge,
    pub(super) generation: IntGauge,
    pub(super) paused: IntGauge,
    pub(super) stale: IntGauge,
    pub(super) rate: Gauge,
    pub(super) max_active: IntGauge,
}

impl RoomMetrics {
    pub(super) fn new(families: Arc<Families>, name: &str) -> Self {
        Self {
            families,
            name: name.to_owned(),
            requests: Default::default(),
            durations: Default::default(),
            queue: OnceLock::new(),
        }
    }

    /// One request answered.
    pub(super) fn request(&self, outcome: Outcome, status: u16, took: Duration) {
        let code = usize::from(status / 100).clamp(1, CODES.len()) - 1;
        if let Some(cell) = self.requests.get(outcome as usize).and_then(|codes| codes.get(code)) {
            let labels = || self.families.requests.with_label_values(&[&*self.name, label(outcome), CODES[code]]);
            cell.get_or_init(labels).inc();
        }
        if let Some(cell) = self.durations.get(outcome as usize) {
            let labels = || self.families.durations.with_label_values(&[&*self.name, label(outcome)]);
            cell.get_or_init(labels).observe(took.as_secs_f64());
        }
    }

    pub(super) fn queue(&self) -> &QueueMetrics {
        let (families, room) = (&self.families, &[&*self.name]);
        let visitors = |state| families.visitors.with_label_values(&[&*self.name, state]);
        let sessions = |way| families.sessions.with_label_values(&[&*self.name, way]);
        self.queue.get_or_init(|| QueueMetrics {
            joins: families.joins.with_label_values(room),
            grants: families.grants.with_label_values(room),
            claimed: sessions(WAYS[0]),
            entered: sessions(WAYS[1]),
            ended: families.ended.with_label_values(room),
            reaped: families.reaped.with_label_values(room),
            unannounced: families.unannounced.with_label_values(room),
            waiting: visitors(STATES[0]),
            granted: visitors(STATES[1]),
            active: visitors(STATES[2]),
            admitted: families.admitted.with_label_values(room),
            generation: families.generation.with_label_values(room),
            paused: families.paused.with_label_values(room),
            stale: families.stale.with_label_values(room),
            rate: families.rate.with_label_values(room),
            max_active: families.max_active.with_label_values(room),
        })
    }

    /// Removes every series of this room. What still holds the handles counts into the void.
    pub(super) fn forget(&self) {
        let (families, name) = (&self.families, &*self.name);
        // An error means that there was no such series.
        for outcome in OUTCOMES {
            for code in CODES {
                let _ = families.requests.remove_label_values(&[name, label(outcome), code]);
            }
            let _ = families.durations.remove_label_values(&[name, label(outcome)]);
        }
        for state in STATES {
            let _ = families.visitors.remove_label_values(&[name, state]);
        }
        for way in WAYS {
            let _ = families.sessions.remove_label_values(&[name, way]);
        }
        let gauges =
            [&families.admitted, &families.generation, &families.paused, &families.stale, &families.max_active];
        for family in gauges {
            let _ = family.remove_label_values(&[name]);
        }
        for family in [&families.joins, &families.grants, &families.ended, &families.reaped, &families.unannounced] {
            let _ = family.remove_label_values(&[name]);
        }
        let _ = families.rate.remove_label_values(&[name]);
    }
}

fn label(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Own => "own",
        Outcome::Open => "open",
        Outcome::Admitted => "admitted",
        Outcome::Held => "held",
        Outcome::Poll => "poll",
        Outcome::Stream => "stream",
    }
}
