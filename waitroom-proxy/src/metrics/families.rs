//! Names, help texts and labels of every metric, in one place. Units are in the names.

use prometheus::core::Collector;
use prometheus::{GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

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
    pub(super) connections: IntGauge,
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
    pub(super) reaped: IntCounterVec,
    pub(super) unannounced: IntCounterVec,
    pub(super) reloads: IntCounterVec,
    pub(super) reload_ok: IntGauge,
    pub(super) reload_mistakes: IntGauge,
    pub(super) reload_at: IntGauge,
    pub(super) process: ProcessMetrics,
}

type Made<M> = Result<M, prometheus::Error>;

/// Makes metrics and registers them.
pub(super) struct Maker<'a>(&'a Registry);

impl Maker<'_> {
    fn add<M: Collector + Clone + 'static>(&self, metric: Made<M>) -> Made<M> {
        let metric = metric?;
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> Made<IntGauge> {
        self.add(IntGauge::new(name, help))
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Made<IntCounterVec> {
        self.add(IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Made<IntGaugeVec> {
        self.add(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    /// Of one room each.
    fn room_gauges(&self, name: &str, help: &str) -> Made<IntGaugeVec> {
        self.gauges(name, help, &["room"])
    }

    fn room_counters(&self, name: &str, help: &str) -> Made<IntCounterVec> {
        self.counters(name, help, &["room"])
    }

    fn histograms(&self, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> Made<HistogramVec> {
        self.add(HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels))
    }
}

impl Families {
    pub(super) fn new(registry: &Registry) -> Made<Self> {
        let make = Maker(registry);
        let build = make.gauges("waitroom_build_info", "Always 1; the version is in the label.", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let by_operation = ["operation", "result"];
        let rate = Opts::new("waitroom_room_rate_per_second", "Configured admissions per second.");
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
            connections: make.gauge("waitroom_connections", "Open connections of visitors.")?,
            redis_commands: make.counters("redis_commands_total", "Operations sent to Redis.", &by_operation)?,
            store_calls: make.counters("waitroom_store_calls_total", "Calls of the queue store.", &by_operation)?,
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
            admitted: make.room_gauges(
                "waitroom_room_admitted_visitors",
                "Admissions of the whole cluster since the room's generation began.",
            )?,
            rate: make.add(GaugeVec::new(rate, &["room"]))?,
            max_active: make.room_gauges("waitroom_room_max_active_sessions", "Configured cap; 0: none.")?,
            generation: make.room_gauges("waitroom_room_generation", "Rises by one with every reset.")?,
            paused: make.room_gauges("waitroom_room_paused", "1 while an operator has paused the room.")?,
            stale: make.room_gauges("waitroom_room_stale", "1 while the room's figures are not fresh.")?,
            joins: make.room_counters("waitroom_joins_total", "Visitors this node put in line.")?,
            grants: make.room_counters("waitroom_grants_total", "Turns given by this node's ticks.")?,
            sessions: make.counters(
                "waitroom_sessions_total",
                "Sessions this node began or confirmed: by a turn taken up, or straight in because nobody waited.",
                &["room", "way"],
            )?,
            ended: make.room_counters("waitroom_sessions_ended_total", "Visitors this node took out for good.")?,
            reaped: make.room_counters(
                "waitroom_reaped_total",
                "Visitors this node took out of the line because they had gone silent.",
            )?,
            unannounced: make.room_counters(
                "waitroom_unannounced_total",
                "Sessions that began and of which queue.activated could not be told.",
            )?,
            reloads: make.counters(
                "waitroom_config_reloads_total",
                "Reloads of the config, by result.",
                &["result"],
            )?,
            reload_ok: make.gauge("waitroom_config_last_reload_ok", "0 after a reload that was rejected.")?,
            reload_mistakes: make
                .gauge("waitroom_config_mistakes", "Mistakes in the config rejected last; 0: none.")?,
            reload_at: make.gauge("waitroom_config_last_reload_timestamp_seconds", "When the last reload ended.")?,
            process: ProcessMetrics::new(&make)?,
        })
    }
}
