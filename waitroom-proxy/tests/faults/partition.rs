//! Two proxies in front of one line: one is cut off from Redis for half a minute, and killed later.

use testbed::history::Rules;
use testbed::origin::{Origin, Script};
use testbed::redis::PrivateRedis;
use testbed::wire::Wire;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::crowd::{Crowd, EXIT};
use crate::harness::Proxy;
use crate::site::{Keys, OPEN, PATIENCE, clock_ms, of_rate_and_cap, rules};

const RATE: f64 = 15.0;

/// Turns and sessions at once. Visitors leave one round after they were let in, so it is reached now and then.
const CAP: u64 = 25;

/// How long one of them is cut off, by the store's clock.
const CUT_OFF_MS: u64 = 30_000;

/// A path that is open to everybody, and never answered.
const SLOW: &str = "/open/slow";

/// Requests under way when the proxy is killed, besides the polls; and connections that are idle.
const UNDER_WAY: usize = 200;
const IDLE: usize = 300;

/// Sends a request that is not answered.
async fn ask_in_vain(proxy: &Proxy) -> TcpStream {
    let mut stream = TcpStream::connect(proxy.visitors).await.unwrap();
    stream.write_all(format!("GET {SLOW} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await.unwrap();
    stream
}

/// F9: a proxy is killed with many connections, with requests that its upstream has not answered yet, and in the
/// middle of a round of polls. Every connection breaks; who polled there goes on at the other.
async fn kill(crowd: &mut Crowd, origin: &Origin, other: &Proxy, killed: &Proxy) {
    let mut idle = Vec::new();
    for _ in 0..IDLE {
        idle.push(TcpStream::connect(killed.visitors).await.unwrap());
    }
    let mut asked = Vec::new();
    for _ in 0..UNDER_WAY {
        asked.push(ask_in_vain(killed).await);
    }
    let under_way = async || origin.requests().iter().filter(|request| request.path == SLOW).count() == UNDER_WAY;
    testbed::wait::until("the requests to reach the upstream", PATIENCE, under_way).await.unwrap();
    let polls = crowd.polls();
    let before = polls.get();
    let both = [other, killed];
    tokio::join!(crowd.round(&both), async {
        testbed::wait::until("polls to be under way", PATIENCE, async || polls.get() > before + 200).await.unwrap();
        killed.process.kill().await.unwrap();
    });
    for mut stream in asked.into_iter().chain(idle) {
        let ended =
            tokio::time::timeout(PATIENCE, stream.read(&mut [0; 64])).await.expect("no connection is left open");
        assert!(!matches!(ended, Ok(1..)), "an answer after the end");
    }
}

#[tokio::test]
async fn f9_f11_i2_one_of_two_proxies_is_cut_off_for_30_s_and_then_killed_with_its_connections() {
    let (origin, redis) = (Origin::start().await.unwrap(), PrivateRedis::start().await.unwrap());
    origin.script(EXIT, Script::new().header("X-Queue-Session", "end"));
    origin.script(SLOW, Script::new().silence());
    let (wire, keys) = (Wire::to(redis.addr()).await.unwrap(), Keys::make().await);
    let rooms = of_rate_and_cap(RATE, CAP) + &format!("bypass_paths = [{OPEN:?}]\n");
    let one = Proxy::start_with(&origin, &keys.with_store(&redis.url(), ""), &rooms).await;
    let two = Proxy::start_another(&origin, &keys.with_store(&redis.url_via(wire.addr()), ""), &rooms).await;
    let mut crowd = Crowd::of(2_000).that_leaves();
    crowd.line_up(&[&one, &two]).await;
    crowd.until_more_inside(20, &[&one, &two]).await;

    wire.blackhole().await.unwrap();
    let began_ms = clock_ms(&redis).await;
    let before = crowd.inside();
    while clock_ms(&redis).await < began_ms + CUT_OFF_MS {
        crowd.round(&[&one, &two]).await;
        // F11 on the way: the other one sends its scripts again.
        let mut raw = redis::Client::open(redis.url()).unwrap().get_multiplexed_async_connection().await.unwrap();
        redis::cmd("SCRIPT").arg("FLUSH").exec_async(&mut raw).await.unwrap();
    }
    assert!(crowd.inside() > before, "the other one goes on letting people in");
    assert_eq!(two.look("/readyz").await.status, 503);
    wire.mend().await.unwrap();
    crowd.until("the silence to end", &[&one, &two], |crowd| !crowd.stale()).await;
    crowd.until_more_inside(20, &[&two]).await;

    kill(&mut crowd, &origin, &one, &two).await;
    crowd.until_more_inside(50, &[&one]).await;
    crowd.verify(&origin, &Rules { max_active: CAP, ..rules(RATE) });
}
