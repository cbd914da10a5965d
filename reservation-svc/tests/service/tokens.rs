//! Queue tokens and user tokens: what is refused, and where keys come from.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use queue_token::{Claims, KeyRing, SigningKey};
use reservation_svc::auth::queue::{QueueGate, QueueGateSettings};
use serde_json::json;
use testbed::wait;

use crate::bed::{self, Bed, DEADLINE, Wishes};
use crate::client::Answer;

const MAP: &str = "/schedules/1/seats";

async fn map_with(bed: &Bed, token: &str) -> Answer {
    bed.client.request("GET", MAP).header("x-queue-token", token).send().await
}

fn signed(ring: &KeyRing, change: impl FnOnce(&mut Claims)) -> String {
    let mut claims = bed::claims("v1");
    change(&mut claims);
    ring.sign(&claims).unwrap()
}

fn unsigned(header: &serde_json::Value, payload: &str) -> String {
    format!("{}.{payload}", URL_SAFE_NO_PAD.encode(header.to_string()))
}

#[tokio::test]
async fn refused_queue_tokens_get_the_same_words() {
    let bed = Bed::start().await;
    let good = bed.token("v1");
    assert_eq!(map_with(&bed, &good).await.status, 200);

    let others = KeyRing::new(vec![SigningKey::generate_ed25519("k1").unwrap()]).unwrap();
    let unknown = KeyRing::new(vec![SigningKey::generate_ed25519("k9").unwrap()]).unwrap();
    let payload = good.split('.').nth(1).unwrap();
    let none = unsigned(&json!({ "alg": "none", "kid": "k1", "typ": "JWT" }), payload);
    // The public key, which everybody knows, used as the secret of HS256.
    let public = URL_SAFE_NO_PAD.decode(bed.ring.jwks().keys[0].x.clone().unwrap()).unwrap();
    let swapped = unsigned(&json!({ "alg": "HS256", "kid": "k1", "typ": "JWT" }), payload);
    let mac = ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &public), swapped.as_bytes());
    let mut cut = good.clone();
    cut.pop();

    let bad = [
        ("expired", signed(&bed.ring, |claims| claims.exp = claims.iat - 120)),
        ("wrong room", signed(&bed.ring, |claims| claims.aud = "cinema".to_owned())),
        ("wrong issuer", signed(&bed.ring, |claims| claims.iss = "somebody".to_owned())),
        ("forged", signed(&others, |_| {})),
        ("unknown kid", signed(&unknown, |_| {})),
        ("alg none", format!("{none}.")),
        ("swapped algorithm", format!("{swapped}.{}", URL_SAFE_NO_PAD.encode(mac))),
        ("cut short", cut),
        ("a beginning that no date can be", signed(&bed.ring, |claims| claims.auth_time = 10_u64.pow(18))),
        ("a generation that no column holds", signed(&bed.ring, |claims| claims.generation = 1 << 63)),
        ("a subject that no text is", signed(&bed.ring, |claims| claims.sub = "a\0b".to_owned())),
        ("garbage", "a.b.c".to_owned()),
        ("empty", String::new()),
    ];
    let missing = bed.client.request("GET", MAP).send().await;
    missing.assert_problem(403, "queue-token-required");
    for (name, token) in bad {
        let answer = map_with(&bed, &token).await;
        assert_eq!((answer.status, &answer.json), (403, &missing.json), "{name}");
    }
    let twice =
        bed.client.request("GET", MAP).header("x-queue-token", &good).header("x-queue-token", &good).send().await;
    assert_eq!(twice.json, missing.json, "two tokens are none");
}

#[tokio::test]
async fn queue_tokens_are_asked_for_where_seats_are_at_stake() {
    let bed = Bed::start().await;
    let id = "0190a2b0-0000-7000-8000-000000000000";
    let asked = [
        ("GET", MAP.to_owned()),
        ("POST", "/schedules/1/holds".to_owned()),
        ("GET", format!("/holds/{id}")),
        ("DELETE", format!("/holds/{id}")),
        ("POST", "/reservations".to_owned()),
        ("GET", "/reservations".to_owned()),
        ("GET", format!("/reservations/{id}")),
    ];
    for (method, path) in &asked {
        let request = bed.client.request(method, path).header("authorization", &bed::bearer(1));
        request.send().await.assert_problem(403, "queue-token-required");
    }
    for path in ["/concerts", "/concerts/1/schedules"] {
        assert_eq!(bed.client.request("GET", path).send().await.status, 200);
    }
    for path in ["/wallet", "/wallet/transactions"] {
        assert_eq!(bed.client.request("GET", path).header("authorization", &bed::bearer(1)).send().await.status, 200);
    }
}

#[tokio::test]
async fn refused_user_tokens_get_the_same_words() {
    let bed = Bed::start().await;
    let good = bed::bearer(1);
    let missing = bed.client.request("GET", "/wallet").send().await;
    missing.assert_problem(401, "unauthorized");
    assert_eq!(missing.header("www-authenticate"), "Bearer");
    for bad in ["Bearer", "Bearer x", "Basic dTpw", good.trim_start_matches("Bearer "), &format!("{good}x")] {
        let answer = bed.client.request("GET", "/wallet").header("authorization", bad).send().await;
        assert_eq!((answer.status, &answer.json), (401, &missing.json), "{bad}");
    }
    let queue = format!("Bearer {}", bed.token("1"));
    assert_eq!(bed.client.request("GET", "/wallet").header("authorization", &queue).send().await.status, 401);
    let nobody = bed.client.request("GET", "/wallet").header("authorization", &bed::bearer(999_999)).send().await;
    nobody.assert_problem(403, "unknown-user");
    bed.hold(999_999, &["A-1"]).await.assert_problem(403, "unknown-user");
}

#[tokio::test]
async fn a_rotated_key_is_fetched_when_its_kid_is_first_seen() {
    let bed = Bed::start().await;
    assert_eq!(map_with(&bed, &bed.token("v1")).await.status, 200);
    let rotated = KeyRing::new(vec![SigningKey::generate_ed25519("k2").unwrap()]).unwrap();
    bed::publish(&bed.proxy, &rotated);
    let token = signed(&rotated, |_| {});
    wait::until("the new key to be fetched", DEADLINE, || async { map_with(&bed, &token).await.status == 200 })
        .await
        .unwrap();
    assert_eq!(map_with(&bed, &bed.token("v1")).await.status, 403, "the old key is withdrawn");
}

#[tokio::test]
async fn a_token_that_is_remembered_lives_no_longer_for_it() {
    let bed = Bed::start().await;
    let settings = QueueGateSettings {
        issuer: bed::ISSUER.to_owned(),
        audiences: vec![bed::ROOM.to_owned()],
        jwks_url: format!("{}/.well-known/jwks.json", bed.proxy.url()),
        max_purchases: 0,
    };
    let gate = QueueGate::new(settings).unwrap();
    let (token, now) = (bed.token("v1"), bed::now_s());
    let expires = bed::claims("v1").exp;
    let first = gate.check(&token, now).await.unwrap();
    assert_eq!(gate.check(&token, now + 1).await.unwrap(), first);
    assert!(gate.check(&token, expires + 60).await.is_err(), "expired");
    assert!(gate.check(&token, now).await.is_ok());
    assert!(gate.check(&format!("{token}x"), now).await.is_err());
    // The key is withdrawn: what it signed goes with it.
    let rotated = KeyRing::new(vec![SigningKey::generate_ed25519("k2").unwrap()]).unwrap();
    bed::publish(&bed.proxy, &rotated);
    gate.keys().refresh(std::time::Duration::ZERO).await;
    assert!(gate.check(&token, now).await.is_err(), "withdrawn");
}

#[tokio::test]
async fn unknown_kids_do_not_make_the_proxy_fetch_in_a_stampede() {
    let bed = Bed::start().await;
    assert_eq!(map_with(&bed, &bed.token("v1")).await.status, 200);
    let unknown = KeyRing::new(vec![SigningKey::generate_ed25519("k9").unwrap()]).unwrap();
    let before = bed.proxy.requests().len();
    let token = signed(&unknown, |_| {});
    let answers = futures_util::future::join_all((0..50).map(|_| map_with(&bed, &token))).await;
    assert!(answers.iter().all(|answer| answer.status == 403));
    let fetched = bed.proxy.requests().len() - before;
    assert!(fetched <= 1, "{fetched} fetches for 50 requests");
}

#[tokio::test]
async fn while_no_keys_are_known_the_answer_is_503_and_not_ready() {
    let late = Bed::with(Wishes { proxy_down: true, ..Wishes::default() }).await;
    let admin = crate::client::Client::to(late.service.admin_addr());
    let answer = map_with(&late, &late.token("v1")).await;
    answer.assert_problem(503, "keys-unavailable");
    assert_eq!(answer.header("retry-after"), "1");
    let ready = admin.request("GET", "/readyz").send().await;
    assert_eq!((ready.status, ready.json["queue_keys"].as_str()), (503, Some("not fetched yet")));
    assert_eq!(admin.request("GET", "/livez").send().await.status, 200);

    bed::publish(&late.proxy, &late.ring);
    wait::until("readiness", DEADLINE, || async { admin.request("GET", "/readyz").send().await.status == 200 })
        .await
        .unwrap();
    assert_eq!(map_with(&late, &late.token("v1")).await.status, 200);
}

#[tokio::test]
async fn a_queue_session_buys_as_often_as_it_may() {
    let bed = Bed::with(Wishes { max_purchases: 1, ..Wishes::default() }).await;
    let (first, second) = (bed.held(1, &["A-1"]).await, bed.held(2, &["A-2"]).await);
    let (one, two) = tokio::join!(bed.pay(1, &first), bed.pay(2, &second));
    let (paid, refused) = if one.status == 201 { (one, two) } else { (two, one) };
    assert_eq!(paid.status, 201, "{}", paid.text());
    refused.assert_problem(403, "purchase-limit-reached");

    // A renewed token is the same session; another visitor's is not.
    let hold = bed.held(3, &["A-3"]).await;
    let body = json!({ "hold_id": hold, "payment": { "method": "wallet" } });
    let renewed = signed(&bed.ring, |claims| claims.jti = "renewed".to_owned());
    let other = signed(&bed.ring, |claims| claims.sub = "v2".to_owned());
    let pay = |token: &str| bed.as_user(3, "POST", "/reservations").instead("x-queue-token", token).json(&body).send();
    pay(&renewed).await.assert_problem(403, "purchase-limit-reached");
    assert_eq!(pay(&other).await.status, 201);
    bed.audit().await;
}
