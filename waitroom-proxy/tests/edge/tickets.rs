//! Tickets that are not good any more, or never were: whoever shows one stands in line as somebody new, and never
//! sees an error.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use testbed::origin::Origin;
use waitroom_proxy::seal::Sealer;
use waitroom_proxy::store::Epoch;
use waitroom_proxy::ticket::Ticket;

use crate::harness::{Jar, Proxy, room};
use crate::keys::Keys;

/// The ticket in a jar, and its seal.
fn opened(keys: &Keys, jar: &Jar) -> (Ticket, Sealer, String) {
    let secret = std::fs::read(keys.seal_file("s1")).unwrap();
    let sealer = Sealer::new([secret.as_slice()]).unwrap();
    let sealed = jar.0["wr_ticket_concert"].clone();
    let day = Duration::from_secs(86_400);
    let ticket = Ticket::open(&sealer, "concert", &sealed, now_ms(), day).unwrap();
    (ticket, sealer, sealed)
}

#[expect(clippy::disallowed_methods, reason = "tickets that are good now")]
fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

#[tokio::test]
async fn refused_or_rejoined_tickets_of_every_kind_are_no_error() {
    let (origin, keys) = (Origin::start().await.unwrap(), Keys::make("k1", "s1").await);
    let rooms = room("rate_per_s = 0") + &room("paths = [\"/b\"]\nrate_per_s = 0").replace("\"concert\"", "\"other\"");
    let proxy = Proxy::start_with(&origin, &keys.config(), &rooms).await;
    let mut jar = Jar::default();
    jar.take(&proxy.page("/", "").await);
    let place = proxy.poll_until(&mut jar, |status| status["seq"].is_u64()).await;
    let (ticket, sealer, sealed) = opened(&keys, &jar);
    let (body, seal) = sealed.rsplit_once('.').unwrap();
    let other = Ticket { seq: ticket.seq + 9, ..ticket }.seal(&sealer, "concert");
    let forged = other.rsplit_once('.').unwrap().0;
    let epoch = ticket.epoch;
    let of = |epoch| Ticket { epoch, ..ticket }.seal(&sealer, "concert");
    let hour_ms = 3_600_000;
    // What it is, whether it is answered as somebody new (who then stands behind the other).
    let shown = [
        ("another number under the old seal", format!("{forged}.{seal}"), true),
        ("half a ticket", body.to_owned(), true),
        ("of another room", ticket.seal(&sealer, "other"), true),
        ("of a former generation", of(Epoch { generation: epoch.generation - 1, ..epoch }), true),
        ("of a generation to come", of(Epoch { generation: epoch.generation + 7, ..epoch }), false),
        ("from the future", Ticket { arrived_ms: now_ms() + hour_ms, ..ticket }.seal(&sealer, "concert"), true),
        ("of last week", Ticket { arrived_ms: now_ms() - 200 * hour_ms, ..ticket }.seal(&sealer, "concert"), true),
        ("of a number never given out", Ticket { seq: ticket.seq + 5, ..ticket }.seal(&sealer, "concert"), false),
        ("of a number beyond all numbers", Ticket { seq: u64::MAX, ..ticket }.seal(&sealer, "concert"), false),
        (
            "of somebody else's number",
            Ticket { vid: waitroom_proxy::store::Vid([9; 12]), ..ticket }.seal(&sealer, "concert"),
            false,
        ),
    ];
    for (what, sealed, anew) in shown {
        let cookie = format!("wr_ticket_concert={sealed}");
        let poll = proxy.request("GET", "/queue/status?room=concert", &[("Cookie", &cookie)]).await;
        assert_eq!((poll.status, &poll.json()["state"]), (200, &"waiting".into()), "{what}: {poll:?}");
        assert!(!anew || poll.json()["seq"].is_null(), "{what}: {poll:?}");
        assert_eq!(poll.all("set-cookie").len(), usize::from(anew), "{what}: {poll:?}");
        let page = proxy.page("/", &cookie).await;
        assert_eq!((page.status, page.header("cache-control")), (200, "no-store"), "{what}");
        let call = proxy.request("GET", "/", &[("X-QUEUE-TICKET", &sealed)]).await;
        assert_eq!((call.status, call.header("content-type")), (429, "application/problem+json"), "{what}");
    }
    assert!(origin.requests().is_empty(), "i10");
    let after = proxy.poll_until(&mut jar, |_| true).await;
    assert_eq!((&after["seq"], &after["position"]), (&place["seq"], &place["position"]), "i4: nobody else moved");
}

#[tokio::test]
async fn f22_i11_after_a_reset_everybody_begins_anew_and_nobody_sees_an_error() {
    let origin = Origin::start().await.unwrap();
    let proxy = Proxy::start(&origin, &room("rate_per_s = 0.001\nburst = 1")).await;
    let mut inside = Jar::default();
    inside.take(&proxy.page("/", "").await);
    inside.take(&proxy.page("/", &inside.header()).await);
    let mut jars = Vec::new();
    for _ in 0..5 {
        let mut jar = Jar::default();
        jar.take(&proxy.page("/", "").await);
        proxy.poll_until(&mut jar, |status| status["seq"].is_u64()).await;
        jars.push(jar);
    }
    assert_eq!(proxy.order("/admin/rooms/concert/reset").await.status, 200);
    assert_eq!(proxy.look("/admin/rooms/concert").await.json()["generation"], 2);
    origin.forget_requests();
    assert_eq!(proxy.page("/", &inside.header()).await.status, 200, "the waiting page");
    assert!(origin.requests().is_empty(), "a session of the former generation");
    for (place, jar) in jars.iter_mut().rev().enumerate() {
        assert_eq!(proxy.page("/", &jar.header()).await.status, 200);
        let again = proxy.poll_until(jar, |status| status["seq"].is_u64()).await;
        assert_eq!((&again["seq"], &again["position"]), (&(place + 2).into(), &(place + 1).into()), "anew, in order");
    }
}
