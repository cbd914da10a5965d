//! F6: the clock of the store's host steps. A private clock for Redis there is none, so every moment that a room
//! remembers is moved the other way, which is the same to its scripts.

use std::time::Duration;

use crate::bed::{Bed, LONG, client, is_session, limits};

/// Moves every moment of a room by ARGV[1] µs.
const MOVE: &str = "
    local by_us = tonumber(ARGV[1])
    for _, field in ipairs({'last', 'hold', 'cold'}) do
      local at = tonumber(redis.call('HGET', KEYS[1], field))
      if at > 0 then redis.call('HSET', KEYS[1], field, string.format('%.0f', at + by_us)) end
    end
    for key = 2, 3 do
      local all = redis.call('ZRANGE', KEYS[key], 0, -1, 'WITHSCORES')
      for i = 1, #all, 2 do
        redis.call('ZADD', KEYS[key], string.format('%.0f', all[i + 1] + by_us / 1000), all[i])
      end
    end";

impl Bed {
    /// The clock steps forward by so many seconds, or back.
    async fn step(&self, seconds: i64) {
        let url = testbed::redis::shared().await.url();
        let mut raw = client(&url).get_multiplexed_async_connection().await.expect("a connection");
        let key = |part: &str| format!("queue:{{{}}}:{part}", self.room);
        let mut call = redis::cmd("EVAL");
        call.arg(MOVE).arg(3).arg(key("state")).arg(key("granted")).arg(key("active")).arg(-seconds * 1_000_000);
        call.exec_async(&mut raw).await.expect("moved");
    }
}

#[tokio::test]
async fn f6_a_clock_that_steps_by_a_minute_gives_one_burst_more_at_most_and_moves_nobody() {
    const RATE: f64 = 10.0;
    const BURST: f64 = 20.0;
    let bed = Bed::redis().await;
    bed.line_up(1_000).await;
    let began_ms = bed.counters().await.now_ms;
    let tick = async || bed.tick_with(limits(RATE, BURST, 0), LONG).await;
    let mut given = tick().await.granted_now;
    assert!(is_session(&bed.claim(&[(1, 1, false)]).await[0]));
    let joined: Vec<(u64, u64)> = (1..=1_000).map(|who| (who, who)).collect();
    let before = bed.join(&joined).await;

    bed.step(60).await;
    given += tick().await.granted_now;
    let fair = |now_ms: u64, bursts: f64| RATE * (now_ms - began_ms + 2) as f64 / 1_000.0 + BURST * bursts;
    let forward = fair(bed.counters().await.now_ms, 2.0);
    assert!(given as f64 <= forward, "{given} of {forward}: one burst more, and not 600 turns");
    bed.step(-60).await;
    let back = tick().await;
    assert_eq!(back.granted_now, 0, "what was saved up is forfeited");
    assert!(!back.rolled_back);
    bed.step(-60).await;
    given += tick().await.granted_now;
    let until_ms = bed.counters().await.now_ms + 300;
    tokio::time::timeout(Duration::from_secs(20), async { while bed.counters().await.now_ms < until_ms {} })
        .await
        .expect("time passes");
    let later = tick().await;
    assert!(later.granted_now >= 1, "and from then on turns are given again");
    given += later.granted_now;
    let all = fair(bed.counters().await.now_ms, 2.0);
    assert!(given as f64 <= all, "{given} of {all}");
    let after = bed.join(&joined).await;
    for (before, after) in before.iter().zip(after) {
        use waitroom_proxy::store::Standing::{Active, Granted, Waiting};
        let seq = |standing| match standing {
            Waiting(seq) | Granted(seq) | Active(seq) => seq,
            other => panic!("{other:?}"),
        };
        assert_eq!(seq(*before), seq(after), "I4");
    }
}
