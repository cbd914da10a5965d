//! Handles of one room.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus::{Gauge, Histogram, IntCounter, IntGauge};

use super::families::Families;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Protected, with a session: forwarded.
    Forwarded,
    /// In no room or bypassed: forwarded.
    Open,
    /// Answered with the waiting page.
    Page,
    /// An API client that has to wait: 429.
    Waiting,
    /// A status poll.
    Status,
    /// `leave`, JWKS, preflights: answered by the proxy itself.
    Own,
    /// Malformed, of an unknown host, too large.
    Refused,
    /// The store did not answer.
    StoreUnavailable,
    /// No upstream answered.
    UpstreamUnavailable,
}

impl Outcome {
    const ALL: [Self; 9] = [
        Self::Forwarded,
        Self::Open,
        Self::Page,
        Self::Waiting,
        Self::Status,
        Self::Own,
        Self::Refused,
        Self::StoreUnavailable,
        Self::UpstreamUnavailable,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::Forwarded => "forwarded",
            Self::Open => "open",
            Self::Page => "page",
            Self::Waiting => "waiting",
            Self::Status => "status",
            Self::Own => "own",
            Self::Refused => "refused",
            Self::StoreUnavailable => "store_unavailable",
            Self::UpstreamUnavailable => "upstream_unavailable",
        }
    }
}

/// Classes of status, from 1xx on.
const CODES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

const STATES: [&str; 3] = ["waiting", "granted", "active"];
const WAYS: [&str; 2] = ["turn", "straight"];

/// Figures of the whole cluster, as the last look at the store gave them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RoomFigures {
    /// In line.
    pub waiting: u64,
    /// With a turn.
    pub granted: u64,
    /// With a session.
    pub active: u64,
    /// Admissions since the generation began.
    pub admitted: u64,
    /// The room's generation.
    pub generation: u64,
    /// Paused by an operator.
    pub paused: bool,
    /// Not fresh.
    pub stale: bool,
}

/// Handles of one room. A series appears when it is first counted.
pub struct RoomMetrics {
    families: Arc<Families>,
    name: String,
    /// By outcome and class of status. `OnceLock`: resolved once, then one load.
    requests: [[OnceLock<IntCounter>; CODES.len()]; Outcome::ALL.len()],
    durations: [OnceLock<Histogram>; Outcome::ALL.len()],
    counters: OnceLock<Counters>,
    gauges: OnceLock<Gauges>,
}

struct Counters {
    joins: IntCounter,
    grants: IntCounter,
    claimed: IntCounter,
    entered: IntCounter,
    ended: IntCounter,
    upstream_errors: IntCounter,
}

struct Gauges {
    waiting: IntGauge,
    granted: IntGauge,
    active: IntGauge,
    admitted: IntGauge,
    generation: IntGauge,
    paused: IntGauge,
    stale: IntGauge,
    rate: Gauge,
    max_active: IntGauge,
}

impl RoomMetrics {
    pub(super) fn new(families: Arc<Families>, name: &str) -> Self {
        Self {
            families,
            name: name.to_owned(),
            requests: Default::default(),
            durations: Default::default(),
            counters: OnceLock::new(),
            gauges: OnceLock::new(),
        }
    }

    /// One request answered.
    pub fn request(&self, outcome: Outcome, status: u16, took: Duration) {
        let at = outcome as usize;
        let code = usize::from(status / 100).clamp(1, CODES.len()) - 1;
        if let Some(cell) = self.requests.get(at).and_then(|codes| codes.get(code)) {
            let labels = || self.families.requests.with_label_values(&[&*self.name, outcome.label(), CODES[code]]);
            cell.get_or_init(labels).inc();
        }
        if let Some(cell) = self.durations.get(at) {
            let labels = || self.families.durations.with_label_values(&[&*self.name, outcome.label()]);
            cell.get_or_init(labels).observe(took.as_secs_f64());
        }
    }

    /// Visitors put in line.
    pub fn joined(&self, n: u64) {
        self.counters().joins.inc_by(n);
    }

    /// Turns given by a tick.
    pub fn granted(&self, n: u64) {
        self.counters().grants.inc_by(n);
    }

    /// Turns that became sessions.
    pub fn claimed(&self, n: u64) {
        self.counters().claimed.inc_by(n);
    }

    /// Visitors who went straight in.
    pub fn entered(&self, n: u64) {
        self.counters().entered.inc_by(n);
    }

    /// Sessions ended for good.
    pub fn ended(&self, n: u64) {
        self.counters().ended.inc_by(n);
    }

    /// A request that no upstream answered.
    pub fn upstream_error(&self) {
        self.counters().upstream_errors.inc();
    }

    /// Whether an upstream is healthy. For health checks, not for requests: looks up a label.
    pub fn upstream_up(&self, upstream: &str, up: bool) {
        self.families.upstream_up.with_label_values(&[&*self.name, upstream]).set(i64::from(up));
    }

    /// Drops the series of an upstream that a reload removed.
    pub fn forget_upstream(&self, upstream: &str) {
        // Not there: never counted.
        let _ = self.families.upstream_up.remove_label_values(&[&*self.name, upstream]);
    }

    /// The room's figures, after every look at the store.
    pub fn figures(&self, figures: RoomFigures) {
        let gauges = self.gauges();
        gauges.waiting.set(gauge(figures.waiting));
        gauges.granted.set(gauge(figures.granted));
        gauges.active.set(gauge(figures.active));
        gauges.admitted.set(gauge(figures.admitted));
        gauges.generation.set(gauge(figures.generation));
        gauges.paused.set(i64::from(figures.paused));
        gauges.stale.set(i64::from(figures.stale));
    }

    /// The configured limits, at start and after every reload.
    pub fn limits(&self, rate_per_s: f64, max_active: u64) {
        self.gauges().rate.set(rate_per_s);
        self.gauges().max_active.set(gauge(max_active));
    }

    fn counters(&self) -> &Counters {
        let (families, name) = (&self.families, &*self.name);
        self.counters.get_or_init(|| Counters {
            joins: families.joins.with_label_values(&[name]),
            grants: families.grants.with_label_values(&[name]),
            claimed: families.sessions.with_label_values(&[name, WAYS[0]]),
            entered: families.sessions.with_label_values(&[name, WAYS[1]]),
            ended: families.ended.with_label_values(&[name]),
            upstream_errors: families.upstream_errors.with_label_values(&[name]),
        })
    }

    fn gauges(&self) -> &Gauges {
        let (families, name) = (&self.families, &*self.name);
        self.gauges.get_or_init(|| Gauges {
            waiting: families.visitors.with_label_values(&[name, STATES[0]]),
            granted: families.visitors.with_label_values(&[name, STATES[1]]),
            active: families.visitors.with_label_values(&[name, STATES[2]]),
            admitted: families.admitted.with_label_values(&[name]),
            generation: families.generation.with_label_values(&[name]),
            paused: families.paused.with_label_values(&[name]),
            stale: families.stale.with_label_values(&[name]),
            rate: families.rate.with_label_values(&[name]),
            max_active: families.max_active.with_label_values(&[name]),
        })
    }

    /// Removes every series of this room. What still holds the handle counts into the void.
    pub(super) fn forget(&self) {
        let (families, name) = (&self.families, &*self.name);
        for outcome in Outcome::ALL {
            for code in CODES {
                let _ = families.requests.remove_label_values(&[name, outcome.label(), code]);
            }
            let _ = families.durations.remove_label_values(&[name, outcome.label()]);
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
        for family in [&families.joins, &families.grants, &families.ended, &families.upstream_errors] {
            let _ = family.remove_label_values(&[name]);
        }
        let _ = families.rate.remove_label_values(&[name]);
    }
}

fn gauge(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
