//! Names, help texts and labels of every metric, in one place. Units are in the names.

use prometheus::core::Collector;
use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use super::process::ProcessMetrics;

/// From a cached answer (tens of microseconds) to a slow upstream.
const REQUEST_BUCKETS: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// From memory (microseconds) to the moment the store is given up.
const STORE_BUCKETS: &[f64] =
    &[0.00001, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0];

pub(super) struct Families {
    pub(super) requests: IntCounterVec,
    pub(super) durations: HistogramVec,
    pub(super) redis_commands: IntCounterVec,
    pub(super) store_calls: IntCounterVec,
    pub(super) store_durations: HistogramVec,
    pub(super) store_up: IntGauge,
    pub(super) visitors: IntGaugeVec,
    pub(super) admitted: IntGaugeVec,
    pub(super) rate: GaugeVec,
    pub(super) max_active: IntGaugeVec,
    pub(super) generation: IntGaugeVec,
    pub(super) paused: IntGaugeVec,
    pub(super) stale: IntGaugeVec,
    pub(super) joins: IntCounterVec,
    pub(super) grants: IntCounterVec,
    pub(super) sessions: IntCounterVec,
    pub(super) ended: IntCounterVec,
    pub(super) upstream_errors: IntCounterVec,
    pub(super) upstream_up: IntGaugeVec,
    pub(super) reloads: IntCounterVec,
    pub(super) reload_ok: IntGauge,
    pub(super) reload_mistakes: IntGauge,
    pub(super) process: ProcessMetrics,
}

/// Metrics without labels that others count by themselves.
pub(super) struct Simple {
    pub(super) connections: IntGauge,
    pub(super) connections_refused: IntCounter,
    pub(super) token_cache_hits: IntCounter,
    pub(super) tokens_verified: IntCounter,
    pub(super) credentials_refused: IntCounter,
}

/// Makes metrics and registers them.
pub(super) struct Maker<'a>(pub(super) &'a Registry);

impl Maker<'_> {
    fn add<M: Collector + Clone + 'static>(
        &self,
        metric: Result<M, prometheus::Error>,
    ) -> Result<M, prometheus::Error> {
        let metric = metric?;
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        self.add(IntCounter::new(name, help))
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        self.add(IntGauge::new(name, help))
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
        self.add(IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, prometheus::Error> {
        self.add(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    fn histograms(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> Result<HistogramVec, prometheus::Error> {
        self.add(HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels))
    }
}

impl Families {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let make = Maker(registry);
        make.gauges("waitroom_build_info", "Always 1; the version is in the label.", &["version"])?
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1);
        Ok(Self {
            requests: make.counters(
                "http_requests_total",
                "Requests answered, by room, what became of them, and class of status.",
                &["room", "outcome", "code"],
            )?,
            durations: make.histograms(
                "http_request_duration_seconds",
                "From the request's head to the end of the answer.",
                &["room", "outcome"],
                REQUEST_BUCKETS,
            )?,
            redis_commands: make.counters(
                "redis_commands_total",
                "Commands sent to Redis, by operation and result.",
                &["operation", "result"],
            )?,
            store_calls: make.counters(
                "waitroom_store_calls_total",
                "Calls of the queue store, by operation and result.",
                &["operation", "result"],
            )?,
            store_durations: make.histograms(
                "waitroom_store_call_duration_seconds",
                "How long the queue store took.",
                &["operation"],
                STORE_BUCKETS,
            )?,
            store_up: make.gauge("waitroom_store_up", "1 while the queue store answers.")?,
            visitors: make.gauges(
                "waitroom_room_visitors",
                "Visitors of the whole cluster as of the last look, by state.",
                &["room", "state"],
            )?,
            admitted: make.gauges(
                "waitroom_room_admitted_visitors",
                "Admissions of the whole cluster since the room's generation began.",
                &["room"],
            )?,
            rate: make.add(GaugeVec::new(
                Opts::new("waitroom_room_rate_per_second", "Configured admissions per second."),
                &["room"],
            ))?,
            max_active: make.gauges(
                "waitroom_room_max_active_sessions",
                "Configured cap on turns and sessions; 0: none.",
                &["room"],
            )?,
            generation: make.gauges("waitroom_room_generation", "Rises by one with every reset.", &["room"])?,
            paused: make.gauges("waitroom_room_paused", "1 while an operator has paused the room.", &["room"])?,
            stale: make.gauges("waitroom_room_stale", "1 while the figures of the room are not fresh.", &["room"])?,
            joins: make.counters("waitroom_joins_total", "Visitors this node put in line.", &["room"])?,
            grants: make.counters("waitroom_grants_total", "Turns given by this node's ticks.", &["room"])?,
            sessions: make.counters(
                "waitroom_sessions_total",
                "Sessions this node began: by a turn taken up, or straight in because nobody waited.",
                &["room", "way"],
            )?,
            ended: make.counters("waitroom_sessions_ended_total", "Sessions this node ended for good.", &["room"])?,
            upstream_errors: make.counters(
                "waitroom_upstream_errors_total",
                "Requests that no upstream answered.",
                &["room"],
            )?,
            upstream_up: make.gauges(
                "waitroom_upstream_up",
                "1 while an upstream is healthy.",
                &["room", "upstream"],
            )?,
            reloads: make.counters(
                "waitroom_config_reloads_total",
                "Reloads of the config, by result.",
                &["result"],
            )?,
            reload_ok: make.gauge("waitroom_config_last_reload_ok", "0 after a reload that was rejected.")?,
            reload_mistakes: make.gauge(
                "waitroom_config_mistakes",
                "Mistakes in the config that was rejected last; 0 when it is good.",
            )?,
            process: ProcessMetrics::new(&make)?,
        })
    }

    pub(super) fn simple(&self, registry: &Registry) -> Result<Simple, prometheus::Error> {
        let make = Maker(registry);
        Ok(Simple {
            connections: make.gauge("waitroom_connections", "Open connections of visitors.")?,
            connections_refused: make
                .counter("waitroom_connections_refused_total", "Connections refused because there were too many.")?,
            token_cache_hits: make
                .counter("waitroom_token_cache_hits_total", "Queue tokens found among those verified before.")?,
            tokens_verified: make
                .counter("waitroom_tokens_verified_total", "Queue tokens whose signature was checked and good.")?,
            credentials_refused: make.counter(
                "waitroom_credentials_refused_total",
                "Queue tokens and tickets that were forged, expired or of another room.",
            )?,
        })
    }
}
