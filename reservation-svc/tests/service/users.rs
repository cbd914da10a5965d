//! Users whose tokens are signed elsewhere: `users.jwks_url`.

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use queue_token::{KeyRing, SigningKey};
use serde_json::{Value, json};
use testbed::origin::Script;
use testbed::wait;

use crate::bed::{self, Bed, DEADLINE, USERS_AUDIENCE, USERS_ISSUER, Wishes};
use crate::client::Answer;

const KEYS: &str = "/users.json";

/// An issuer of users' tokens: its key, and what it publishes.
struct Issuer {
    key: EncodingKey,
    kid: String,
    jwks: Vec<u8>,
}

fn issuer(kid: &str) -> Issuer {
    let signing = SigningKey::generate_ed25519(kid).unwrap();
    let key = EncodingKey::from_ed_pem(signing.to_pem().unwrap().as_bytes()).unwrap();
    let jwks = serde_json::to_vec(&KeyRing::new(vec![signing]).unwrap().jwks()).unwrap();
    Issuer { key, kid: kid.to_owned(), jwks }
}

impl Issuer {
    fn publish(&self, bed: &Bed) {
        bed.proxy.script(KEYS, Script::new().body(self.jwks.clone()));
    }

    fn token(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.kid.clone()), ..Header::new(Algorithm::EdDSA) };
        encode(&header, claims, &self.key).unwrap()
    }

    fn of_user(&self, user: &str) -> String {
        self.token(&good(user))
    }
}

/// What a good token says.
fn good(user: &str) -> Value {
    json!({ "sub": user, "exp": bed::now_s() + 600, "iss": USERS_ISSUER, "aud": USERS_AUDIENCE })
}

/// The same, but for one claim.
fn but(name: &str, value: &Value) -> Value {
    let mut claims = good("1");
    claims[name] = value.clone();
    claims
}

async fn wallet(bed: &Bed, token: &str) -> Answer {
    bed.client.request("GET", "/wallet").header("authorization", &format!("Bearer {token}")).send().await
}

async fn bed_of(issuer: &Issuer) -> Bed {
    let bed = Bed::with(Wishes { users_jwks: Some(KEYS), ..Wishes::default() }).await;
    issuer.publish(&bed);
    wait::until("the keys", DEADLINE, || async { wallet(&bed, &issuer.of_user("1")).await.status == 200 })
        .await
        .unwrap();
    bed
}

#[tokio::test]
async fn users_of_another_issuer_come_in_and_others_do_not() {
    let issuer_1 = issuer("u1");
    let bed = bed_of(&issuer_1).await;
    let missing = bed.client.request("GET", "/wallet").send().await;
    let now = bed::now_s();
    let public = serde_json::from_slice::<Value>(&issuer_1.jwks).unwrap()["keys"][0]["x"].clone();
    // The public key, which everybody knows, used as the secret of HS256.
    let swapped = Header { kid: Some("u1".to_owned()), ..Header::new(Algorithm::HS256) };
    let public = EncodingKey::from_secret(public.as_str().unwrap().as_bytes());
    let claims = good("1");
    let mut endless = good("1");
    endless.as_object_mut().unwrap().remove("exp");
    let payload = issuer_1.of_user("1").split('.').nth(1).unwrap().to_owned();
    for (name, token) in [
        ("expired", issuer_1.token(&but("exp", &json!(now - 120)))),
        ("not yet", issuer_1.token(&but("nbf", &json!(now + 300)))),
        ("no end", issuer_1.token(&endless)),
        ("nobody", issuer_1.token(&but("sub", &json!("root")))),
        ("for another application", issuer_1.token(&but("aud", &json!("newsletter")))),
        ("for others", issuer_1.token(&but("aud", &json!(["newsletter", "shop"])))),
        ("for nobody", issuer_1.token(&json!({ "sub": "1", "exp": now + 600, "iss": USERS_ISSUER }))),
        ("of another issuer", issuer_1.token(&but("iss", &json!("https://other.example")))),
        ("of nobody", issuer_1.token(&json!({ "sub": "1", "exp": now + 600, "aud": USERS_AUDIENCE }))),
        ("forged", issuer("u1").of_user("1")),
        ("unknown kid", issuer("u2").of_user("1")),
        ("swapped", encode(&swapped, &claims, &public).unwrap()),
        ("no kid", encode(&Header::new(Algorithm::EdDSA), &claims, &issuer_1.key).unwrap()),
        ("alg none", format!("eyJhbGciOiJub25lIiwia2lkIjoidTEifQ.{payload}.")),
        ("the demo's secret", bed::bearer(1).trim_start_matches("Bearer ").to_owned()),
    ] {
        let answer = wallet(&bed, &token).await;
        assert_eq!((answer.status, &answer.json), (401, &missing.json), "{name}");
    }
    assert_eq!(wallet(&bed, &issuer_1.of_user("7")).await.json["wallet_id"], 7);
    let among_others = issuer_1.token(&but("aud", &json!(["shop", USERS_AUDIENCE])));
    assert_eq!(wallet(&bed, &among_others).await.status, 200);
}

#[tokio::test]
async fn a_rotated_key_of_users_is_fetched_when_it_is_first_seen_and_the_old_one_ends() {
    let (old, new) = (issuer("u1"), issuer("u2"));
    let bed = bed_of(&old).await;
    new.publish(&bed);
    wait::until("the new key", DEADLINE, || async { wallet(&bed, &new.of_user("1")).await.status == 200 })
        .await
        .unwrap();
    assert_eq!(wallet(&bed, &old.of_user("1")).await.status, 401);
}

#[tokio::test]
async fn while_no_keys_of_users_are_known_nobody_is_called_a_liar() {
    let bed = Bed::with(Wishes { users_jwks: Some(KEYS), ..Wishes::default() }).await;
    bed.proxy.script(KEYS, Script::new().status(502));
    let answer = wallet(&bed, &issuer("u1").of_user("1")).await;
    answer.assert_problem(503, "keys-unavailable");
    assert_eq!(answer.header("retry-after"), "1");
}
