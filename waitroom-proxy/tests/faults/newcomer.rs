//! A proxy that starts while thousands wait.

use testbed::origin::Origin;
use testbed::redis::PrivateRedis;

use crate::crowd::Crowd;
use crate::harness::Proxy;
use crate::site::{Keys, PATIENCE, of_rate, rules};

/// The line stands still, so that every place is known.
const RATE: f64 = 0.0;

const CROWD: usize = 3_000;

#[tokio::test]
async fn i4_i5_a_third_proxy_that_starts_while_thousands_wait_knows_every_place_from_its_first_answer() {
    let (origin, redis, keys) =
        (Origin::start().await.unwrap(), PrivateRedis::start().await.unwrap(), Keys::make().await);
    let top = keys.with_store(&redis.url(), "");
    let one = Proxy::start_with(&origin, &top, &of_rate(RATE)).await;
    let two = Proxy::start_another(&origin, &top, &of_rate(RATE)).await;
    let mut crowd = Crowd::of(CROWD);
    crowd.line_up(&[&one, &two]).await;
    // Everybody once more, with whoever joined later in the picture.
    crowd.round(&[&one, &two]).await;
    let three = Proxy::start_another(&origin, &top, &of_rate(RATE)).await;
    for from_front in [0, 1, CROWD / 2, CROWD - 1] {
        let (ticket, told) = crowd.in_line(from_front);
        let ask = async || {
            let answer = three.request("GET", "/queue/status?room=concert", &[("X-QUEUE-TICKET", ticket)]).await;
            assert_eq!((answer.status, &answer.json()["seq"]), (200, &told["seq"]), "i4");
            Some(answer.json()).filter(|status| status["stale"] == false)
        };
        // It may say for a moment that it does not know; what it says without that is exact.
        let first = testbed::wait::until_some("an answer that is not stale", PATIENCE, ask).await.unwrap();
        assert_eq!((&first["position"], &first["waiting"]), (&(from_front + 1).into(), &CROWD.into()), "{first}");
    }
    crowd.round(&[&three]).await;
    assert!(crowd.numbers().into_iter().eq(1..=CROWD as u64));
    crowd.verify(&origin, &rules(RATE));
}
