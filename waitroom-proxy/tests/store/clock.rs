//! F6: the clock of the store's host steps, while another server's clock says how much time has really passed.

use std::time::Duration;

use testbed::redis::PrivateRedis;
use waitroom_proxy::store::Standing;

use crate::bed::{Bed, LONG, client, is_session, limits, patient_store};

const RATE: f64 = 10.0;
const BURST: f64 = 20.0;

/// A room on a server with a clock of its own.
struct Host {
    bed: Bed,
    redis: PrivateRedis,
    /// Its clock is right.
    other: PrivateRedis,
    began_ms: u64,
    given: u64,
}

async fn clock_ms(redis: &PrivateRedis) -> u64 {
    let mut raw = client(&redis.url()).get_multiplexed_async_connection().await.expect("a connection");
    let (seconds, micros): (u64, u64) = redis::cmd("TIME").query_async(&mut raw).await.expect("the time");
    seconds * 1_000 + micros / 1_000
}

impl Host {
    async fn begin(waiting: u64) -> Self {
        let redis = PrivateRedis::options().own_clock().start().await.expect("a server");
        let other = PrivateRedis::start().await.expect("a server");
        let bed = Bed::on(patient_store(&redis.url())).await;
        bed.line_up(waiting).await;
        let began_ms = clock_ms(&other).await;
        Self { bed, redis, other, began_ms, given: 0 }
    }

    /// The clock is off by so many seconds from now on.
    async fn step(&self, off_s: i64) {
        self.redis.step_clock(off_s).expect("a step");
        let shown_s = clock_ms(&self.redis).await as f64 / 1e3 - clock_ms(&self.other).await as f64 / 1e3;
        assert!((shown_s - off_s as f64).abs() < 30.0, "{shown_s} s off, {off_s} s wanted");
    }

    /// One tick; over all of them turns keep to the time that has really passed, with so many bursts in it.
    async fn tick(&mut self, bursts: f64) -> u64 {
        let ticked = self.bed.tick_with(limits(RATE, BURST, 0), LONG).await;
        assert!(!ticked.rolled_back);
        self.given += ticked.granted_now;
        let passed_s = (clock_ms(&self.other).await - self.began_ms + 2) as f64 / 1e3;
        let fair = RATE * passed_s + BURST * bursts;
        assert!(self.given as f64 <= fair, "{} turns, {fair} are fair after {passed_s} s", self.given);
        ticked.granted_now
    }

    /// Ticks until somebody is given a turn again.
    async fn tick_until_one_more(&mut self, bursts: f64) {
        let ticks = async { while self.tick(bursts).await == 0 {} };
        tokio::time::timeout(Duration::from_secs(60), ticks).await.expect("turns are given again");
    }
}

#[tokio::test]
async fn f6_i1_a_clock_that_steps_by_a_minute_gives_one_burst_more_at_most_and_moves_nobody() {
    const VISITORS: u64 = 1_000;
    let mut host = Host::begin(VISITORS).await;
    assert!(host.tick(1.0).await >= 1);
    assert!(is_session(&host.bed.claim(&[(1, 1, false)]).await[0]));
    let joined: Vec<(u64, u64)> = (1..=VISITORS).map(|who| (who, who)).collect();
    let before = host.bed.join(&joined).await;

    host.step(60).await;
    assert!(host.tick(2.0).await >= 1, "one burst more, and not 600 turns");
    host.tick_until_one_more(2.0).await;
    // Back to the right time, and a minute behind: what was saved up is forfeited, and nothing is given twice.
    for off_s in [0, -60] {
        host.step(off_s).await;
        assert_eq!(host.tick(2.0).await, 0, "what was saved up is forfeited");
        host.tick_until_one_more(2.0).await;
    }
    let after = host.bed.join(&joined).await;
    for (before, after) in before.iter().zip(after) {
        let seq = |standing| match standing {
            Standing::Waiting(seq) | Standing::Granted(seq) | Standing::Active(seq) => seq,
            other => panic!("{other:?}"),
        };
        assert_eq!(seq(*before), seq(after), "I4");
    }
}
