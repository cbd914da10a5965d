//! A shared store: what it costs, and what happens when it is away.

use redis::AsyncCommands as _;
use testbed::origin::Origin;
use testbed::redis::PrivateRedis;
use testbed::wire::Wire;

use crate::harness::{Jar, PATIENCE, Proxy, room};

async fn on_redis(origin: &Origin, url: &str, rooms: &str) -> Proxy {
    Proxy::start_with(origin, &format!("[store]\nurl = \"{url}\""), rooms).await
}

/// Scripts that Redis has run so far; every call of the store is one.
async fn scripts(redis: &PrivateRedis) -> u64 {
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let stats: String = redis::cmd("INFO").arg("commandstats").query_async(&mut connection).await.unwrap();
    let calls = |line: &str| {
        let (name, rest) = line.split_once(":calls=")?;
        ["cmdstat_eval", "cmdstat_evalsha"]
            .contains(&name)
            .then(|| rest.split(',').next().unwrap().parse::<u64>().unwrap())
    };
    stats.lines().filter_map(calls).sum()
}

/// Calls of the store that the proxy counts; with `of` those of one operation only.
async fn calls(proxy: &Proxy, of: &str) -> u64 {
    let metrics = proxy.look("/metrics").await.body;
    let prefix = format!("waitroom_store_calls_total{{operation=\"{of}");
    let lines = metrics.lines().filter(|line| line.starts_with(&prefix));
    lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
}

#[tokio::test]
async fn polls_and_admitted_requests_cost_no_command() {
    const REQUESTS: u64 = 10_000;
    /// The first time that an operation is used Redis does not know its script yet, and is asked twice.
    const OPERATIONS: u64 = 19;
    let (origin, redis) = (Origin::start().await.unwrap(), PrivateRedis::start().await.unwrap());
    let proxy = on_redis(&origin, &redis.url(), &room("rate_per_s = 0.0001\nburst = 1")).await;
    let mut inside = Jar::default();
    inside.take(&proxy.page("/", "").await);
    // The first request with the token makes the session whole.
    inside.take(&proxy.page("/", &inside.header()).await);
    let mut waiting = Jar::default();
    waiting.take(&proxy.page("/", "").await);
    proxy.poll_until(&mut waiting, |status| status["seq"].is_u64()).await;
    let (poll, page) = (
        format!("GET /queue/status?room=concert HTTP/1.1\r\nHost: localhost\r\nCookie: {}\r\n\r\n", waiting.header()),
        format!("GET /a HTTP/1.1\r\nHost: localhost\r\nCookie: {}\r\n\r\n", inside.header()),
    );
    // The keeper ticks all the while, so the two counters cannot be read in one instant; but what Redis has run beside
    // the keeper's calls is not more than is seen here before, nor less than is seen there afterwards.
    const OF_VISITORS: [&str; 5] = ["join", "enter", "claim", "touch", "end"];
    for request in [&poll, &page] {
        let counted = calls(&proxy, "").await;
        let at_most = scripts(&redis).await.saturating_sub(counted);
        let mut asked = Vec::new();
        for operation in OF_VISITORS {
            asked.push(calls(&proxy, operation).await);
        }
        proxy.repeat(request, REQUESTS).await;
        let run = scripts(&redis).await;
        // One call may be under way.
        let at_least = run.saturating_sub(calls(&proxy, "").await + 1);
        assert!(
            at_least <= at_most + OPERATIONS,
            "{at_least} scripts that the keeper did not call, {at_most} before {REQUESTS} requests"
        );
        for (operation, asked) in OF_VISITORS.iter().zip(asked) {
            assert_eq!(calls(&proxy, operation).await, asked, "{operation}, by {REQUESTS} requests");
        }
    }
}

#[tokio::test]
async fn f4_sessions_and_polls_go_on_while_the_store_is_away_and_nobody_enters() {
    let (origin, redis) = (Origin::start().await.unwrap(), PrivateRedis::start().await.unwrap());
    let wire = Wire::to(redis.addr()).await.unwrap();
    let proxy = on_redis(&origin, &redis.url_via(wire.addr()), &room("rate_per_s = 0.001\nburst = 1")).await;
    let mut inside = Jar::default();
    inside.take(&proxy.page("/", "").await);
    inside.take(&proxy.page("/", &inside.header()).await);
    let mut waiting = Jar::default();
    waiting.take(&proxy.page("/", "").await);
    let before = proxy.poll_until(&mut waiting, |status| status["seq"].is_u64()).await;
    for break_it in ["cut", "stall"] {
        match break_it {
            "cut" => wire.cut().await.unwrap(),
            _ => redis.pause_process().await.unwrap(),
        }
        let stale = proxy.poll_until(&mut waiting, |status| status["stale"] == true).await;
        assert_eq!((&stale["seq"], &stale["position"]), (&before["seq"], &before["position"]), "{break_it}");
        assert_eq!(proxy.page("/", &inside.header()).await.body, "ok", "{break_it}: sessions go on");
        let newcomer = proxy.request("GET", "/", &[]).await;
        assert_eq!((newcomer.status, &newcomer.json()["stale"]), (429, &true.into()), "{break_it}");
        assert_eq!(proxy.look("/readyz").await.status, 503);
        match break_it {
            "cut" => wire.mend().await.unwrap(),
            _ => redis.resume_process().await.unwrap(),
        }
        let after = proxy.poll_until(&mut waiting, |status| status["stale"] == false).await;
        assert_eq!(after["seq"], before["seq"], "{break_it}: i4");
    }
}

#[tokio::test]
async fn f3_an_empty_redis_gets_its_line_back() {
    let (origin, redis) = (Origin::start().await.unwrap(), PrivateRedis::start().await.unwrap());
    let proxy = on_redis(&origin, &redis.url(), &room("rate_per_s = 0.001\nburst = 1")).await;
    proxy.exhaust().await;
    let mut jars = Vec::new();
    for _ in 0..5 {
        let mut jar = Jar::default();
        jar.take(&proxy.page("/", "").await);
        let status = proxy.poll_until(&mut jar, |status| status["seq"].is_u64()).await;
        jars.push((jar, status["seq"].clone()));
    }
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let _: () = redis::cmd("FLUSHALL").query_async(&mut connection).await.unwrap();
    proxy.process.wait_for_line("it is restored", PATIENCE).await.unwrap();
    // The last comes back first, and is told the place that he had: nobody's rises, and nobody is moved back.
    for (place, (jar, seq)) in jars.iter_mut().enumerate().rev() {
        let status = proxy.poll_until(jar, |status| status["position"].is_u64()).await;
        assert_eq!((&status["seq"], &status["position"]), (&*seq, &(place + 1).into()), "i4 i5: {status}");
        assert_eq!(status["stale"], true, "while the line is restored");
    }
    let in_line: u64 = connection.zcard("queue:{concert}:waiting").await.unwrap();
    assert_eq!(in_line, 5, "i6");
}

#[tokio::test]
async fn the_door_is_thrown_open_only_where_the_policy_says_so() {
    let (origin, redis) = (Origin::start().await.unwrap(), PrivateRedis::start().await.unwrap());
    let wire = Wire::to(redis.addr()).await.unwrap();
    let top = format!(
        "[store]\nurl = \"{}\"\non_unavailable = \"pass\"\non_unavailable_after_s = 1",
        redis.url_via(wire.addr())
    );
    let proxy = Proxy::start_with(&origin, &top, &room("rate_per_s = 0")).await;
    assert_eq!(proxy.request("GET", "/", &[]).await.status, 429);
    wire.cut().await.unwrap();
    testbed::wait::until("the door is open", PATIENCE, async || proxy.request("GET", "/", &[]).await.status == 200)
        .await
        .unwrap();
    assert!(origin.requests().iter().all(|seen| seen.header("x-queue-token").is_some()), "with a token all the same");
    wire.mend().await.unwrap();
    testbed::wait::until("the door is guarded again", PATIENCE, async || {
        proxy.request("GET", "/", &[]).await.status == 429
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn refused_a_redis_that_is_down_at_start_in_one_sentence() {
    let origin = Origin::start().await.unwrap();
    let dead = testbed::ports::free();
    let (status, log) = Proxy::fails_to_start(
        &origin,
        &format!("[store]\nurl = \"redis://:hunter2@127.0.0.1:{dead}/\""),
        &room("rate_per_s = 1"),
    )
    .await;
    assert_eq!(status, Some(1), "{log}");
    assert!(log.contains(&format!("127.0.0.1:{dead}")) && !log.contains("hunter2"), "{log}");
    assert!(!log.contains("panicked") && !log.contains("backtrace"), "{log}");
}

#[tokio::test]
async fn refused_a_taken_address_in_one_sentence() {
    let origin = Origin::start().await.unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let top = format!("listen = [\"{}\"]", taken.local_addr().unwrap());
    let (status, log) = Proxy::fails_to_start(&origin, &top, &room("rate_per_s = 1")).await;
    assert_eq!(status, Some(1), "{log}");
    assert!(log.contains("cannot listen on") && !log.contains("panicked"), "{log}");
}

#[tokio::test]
async fn f4_stalls_in_quick_succession_do_not_stop_admission_for_good() {
    let (origin, redis) = (Origin::start().await.unwrap(), PrivateRedis::start().await.unwrap());
    let wire = Wire::to(redis.addr()).await.unwrap();
    let proxy = on_redis(&origin, &redis.url_via(wire.addr()), &room("rate_per_s = 50\nburst = 2")).await;
    for round in 0..6 {
        proxy.exhaust().await;
        let mut jar = Jar::default();
        jar.take(&proxy.request("GET", "/queue/status?room=concert", &[]).await);
        // Longer than a call may take, in ways that differ: nothing passes, replies get lost, everything is late.
        match round % 3 {
            0 => wire.blackhole().await.unwrap(),
            1 => wire.lose_replies().await.unwrap(),
            _ => wire.delay(std::time::Duration::from_millis(150)).await.unwrap(),
        }
        testbed::wait::until("the silence is noticed", PATIENCE, async || proxy.look("/readyz").await.status == 503)
            .await
            .unwrap();
        wire.mend().await.unwrap();
        proxy.poll_until(&mut jar, |status| status["state"] == "admitted").await;
    }
}
