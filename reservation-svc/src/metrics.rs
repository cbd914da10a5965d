//! What is counted. Names are fixed; whoever counts calls a method and knows nothing of Prometheus.

use std::time::Duration;

use prometheus::{
    Encoder, Gauge, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

/// Upper bounds of the latency buckets, seconds: from a warm read to the statement time-out.
const LATENCY_BUCKETS_S: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// The counters of one process. Cheap to clone: all clones count together.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    durations: HistogramVec,
    pool: IntGaugeVec,
    redis: IntCounterVec,
    holds: IntCounterVec,
    payments: IntCounterVec,
    cancellations: IntCounterVec,
    tokens_refused: IntCounterVec,
    database_retries: IntCounterVec,
    rate_limited: IntCounter,
    gateway_calls: IntCounterVec,
    gateway_durations: HistogramVec,
    gateway_settled: IntCounterVec,
    gateway_debts: IntGauge,
    gateway_oldest_debt_s: Gauge,
    seat_maps: IntCounterVec,
    reads: IntCounterVec,
}

impl Metrics {
    /// Makes and registers all of them. Fails only when two have one name.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| -> Result<IntCounterVec, prometheus::Error> {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let requests = counter("http_requests_total", "Answered requests.", &["method", "route", "status"])?;
        let redis = counter("redis_commands_total", "Calls to Redis.", &["command", "outcome"])?;
        let holds = counter("seat_holds_total", "Attempts to hold seats.", &["outcome"])?;
        let payments = counter("payments_total", "Attempts to pay for a hold.", &["outcome"])?;
        let cancellations = counter("cancellations_total", "Attempts to cancel a reservation.", &["outcome"])?;
        let tokens_refused = counter("queue_tokens_refused_total", "Refused queue tokens.", &["reason"])?;
        let database_retries = counter("db_retries_total", "Transactions run again.", &["reason"])?;
        let rate_limited = IntCounter::new("http_rate_limited_total", "Requests refused because of the limit a user.")?;
        registry.register(Box::new(rate_limited.clone()))?;
        let gateway_calls = counter("gateway_calls_total", "Calls of the payment gateway.", &["operation", "outcome"])?;
        let gateway_settled =
            counter("gateway_settlements_total", "Attempts to do what is owed to the gateway.", &["owed", "outcome"])?;
        let gateway_durations = HistogramVec::new(
            HistogramOpts::new("gateway_call_duration_seconds", "Time to the gateway's answer.")
                .buckets(LATENCY_BUCKETS_S.to_vec()),
            &["operation"],
        )?;
        registry.register(Box::new(gateway_durations.clone()))?;
        let gateway_debts = IntGauge::new("gateway_payments_owed", "Payments that owe the gateway something.")?;
        registry.register(Box::new(gateway_debts.clone()))?;
        let gateway_oldest_debt_s =
            Gauge::new("gateway_payments_owed_oldest_seconds", "How long the oldest of them has not moved.")?;
        registry.register(Box::new(gateway_oldest_debt_s.clone()))?;
        let seat_maps = counter("seat_map_reads_total", "Where seat maps came from.", &["source"])?;
        let reads = counter("db_reads_total", "Reads by the server that answered.", &["server"])?;
        let durations = HistogramVec::new(
            HistogramOpts::new("http_request_duration_seconds", "Time to the answer.")
                .buckets(LATENCY_BUCKETS_S.to_vec()),
            &["method", "route"],
        )?;
        registry.register(Box::new(durations.clone()))?;
        let pool =
            IntGaugeVec::new(Opts::new("db_connection_pool_usage", "Connections to Postgres by state."), &["state"])?;
        registry.register(Box::new(pool.clone()))?;
        Ok(Self {
            registry,
            requests,
            durations,
            pool,
            redis,
            holds,
            payments,
            cancellations,
            tokens_refused,
            database_retries,
            rate_limited,
            gateway_calls,
            gateway_durations,
            gateway_settled,
            gateway_debts,
            gateway_oldest_debt_s,
            seat_maps,
            reads,
        })
    }

    /// Where they are registered; parts with metrics of their own register them here too.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// A request was answered. `route` is the pattern, never the path: paths have no bound.
    pub fn request(&self, method: &str, route: &str, status: u16, took: Duration) {
        self.requests.with_label_values(&[method, route, &status.to_string()]).inc();
        self.durations.with_label_values(&[method, route]).observe(took.as_secs_f64());
    }

    /// How the pool stands, read when the metrics are asked for.
    pub fn pool(&self, in_use: u32, idle: u32, max: u32) {
        for (state, count) in [("in_use", in_use), ("idle", idle), ("max", max)] {
            self.pool.with_label_values(&[state]).set(i64::from(count));
        }
    }

    /// Redis was asked: `ok`, `error` (also too slow) or `skipped` (the breaker is open).
    pub fn redis_command(&self, command: &str, outcome: &str) {
        self.redis.with_label_values(&[command, outcome]).inc();
    }

    /// Somebody tried to hold seats.
    pub fn hold(&self, outcome: &str) {
        self.holds.with_label_values(&[outcome]).inc();
    }

    /// Somebody tried to pay.
    pub fn payment(&self, outcome: &str) {
        self.payments.with_label_values(&[outcome]).inc();
    }

    /// An attempt to cancel came to this.
    pub fn cancellation(&self, outcome: &str) {
        self.cancellations.with_label_values(&[outcome]).inc();
    }

    /// A queue token was refused.
    pub fn token_refused(&self, reason: &str) {
        self.tokens_refused.with_label_values(&[reason]).inc();
    }

    /// A transaction is run again.
    pub fn database_retry(&self, reason: &str) {
        self.database_retries.with_label_values(&[reason]).inc();
    }

    /// A user sent more requests than they may.
    pub fn rate_limited(&self) {
        self.rate_limited.inc();
    }

    /// The gateway was asked: `ok`, `unavailable`, `turned_away`, `nonsense` or `skipped` (the breaker is
    /// open).
    pub fn gateway_call(&self, operation: &str, outcome: &str, took: Duration) {
        self.gateway_calls.with_label_values(&[operation, outcome]).inc();
        if outcome != "skipped" {
            self.gateway_durations.with_label_values(&[operation]).observe(took.as_secs_f64());
        }
    }

    /// What was owed to the gateway came to this.
    pub fn gateway_settled(&self, owed: &str, outcome: &str) {
        self.gateway_settled.with_label_values(&[owed, outcome]).inc();
    }

    /// How many payments owe the gateway something, and for how long the oldest has.
    pub fn gateway_debts(&self, owed: i64, oldest_s: f64) {
        self.gateway_debts.set(owed);
        self.gateway_oldest_debt_s.set(oldest_s);
    }

    /// A seat map was asked for and came from this `process`, from `redis` or from the `database`.
    pub fn seat_map(&self, source: &str) {
        self.seat_maps.with_label_values(&[source]).inc();
    }

    /// A read that a replica may answer was answered by the `primary` or a `replica`.
    pub fn read_from(&self, server: &str) {
        self.reads.with_label_values(&[server]).inc();
    }

    /// All of it in the Prometheus text format.
    pub fn render(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}
