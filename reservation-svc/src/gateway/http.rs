//! The gateway over HTTP, in the words of docs/GATEWAY.md. One request a call; time limits are for whoever calls.

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::{Gateway, GatewayError, Order, Standing};

/// An answer is a few hundred bytes; more than this is not one.
const MAX_BYTES: usize = 16 * 1024;

/// Longest reason of a decline that is passed on.
const MAX_REASON: usize = 64;

/// The reason of a decline that came without one: the gateway did not want the request at all.
const REFUSED: &str = "refused";

/// Why there can be no client.
#[derive(Debug, thiserror::Error)]
pub enum GatewaySetupError {
    /// Not a URL to send to.
    #[error("gateway.url is not an http or https URL")]
    BadUrl,
    /// Not to be put in a header.
    #[error("gateway.secret_file: the secret can not stand in a header")]
    BadSecret,
    /// No root certificates for https.
    #[error("gateway.url: no root certificates found for https: {0}")]
    Roots(std::io::Error),
}

/// A gateway that is spoken to over HTTP.
pub struct HttpGateway {
    /// Without a slash at the end.
    base: String,
    /// Marked sensitive, so that nothing prints it.
    authorization: HeaderValue,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// A payment as the gateway tells of it. Members that we do not know are no business of ours.
#[derive(Deserialize)]
struct Told {
    payment_id: Uuid,
    status: String,
    amount: Option<i64>,
    currency: Option<String>,
    reason: Option<String>,
}

impl HttpGateway {
    /// The gateway at `url`, which knows us by this secret.
    pub fn new(url: &str, secret: &SecretString) -> Result<Self, GatewaySetupError> {
        let base = url.trim_end_matches('/').to_owned();
        let parsed: Uri = base.parse().map_err(|_| GatewaySetupError::BadUrl)?;
        if !matches!(parsed.scheme_str(), Some("http" | "https")) || parsed.query().is_some() {
            return Err(GatewaySetupError::BadUrl);
        }
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", secret.expose_secret()))
            .map_err(|_| GatewaySetupError::BadSecret)?;
        authorization.set_sensitive(true);
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::ring::default_provider())
            .map_err(GatewaySetupError::Roots)?
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self { base, authorization, client: Client::builder(TokioExecutor::new()).build(connector) })
    }

    /// One call. `key`: the same for the same wish, however often it is asked.
    async fn send(
        &self,
        method: Method,
        path: &str,
        key: Option<String>,
        body: Option<serde_json::Value>,
    ) -> Result<(StatusCode, Bytes), GatewayError> {
        let nonsense = |error: http::Error| GatewayError::Nonsense(error.to_string());
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(AUTHORIZATION, self.authorization.clone())
            .header(ACCEPT, "application/json");
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let request = request.body(Full::new(body)).map_err(nonsense)?;
        let answer =
            self.client.request(request).await.map_err(|error| GatewayError::Unavailable(with_causes(&error)))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_BYTES).collect().await;
        let body = body.map_err(|error| GatewayError::Unavailable(error.to_string()))?.to_bytes();
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::REQUEST_TIMEOUT
        {
            return Err(GatewayError::Unavailable(format!("answered {status}")));
        }
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return Err(GatewayError::TurnedAway(format!("answered {status}")));
        }
        Ok((status, body))
    }

    /// The gateway does not want this payment, such as for a source that is none. That nothing is set aside is what it
    /// says when asked.
    async fn unwanted(&self, payment: Uuid, status: StatusCode) -> Result<Standing, GatewayError> {
        match self.ask(payment).await? {
            None => Ok(Standing::Declined { reason: REFUSED.to_owned() }),
            Some(Standing::Authorised | Standing::Captured) => {
                Err(GatewayError::Nonsense(format!("answered {status} to payment {payment}, and has it")))
            }
            Some(over) => Ok(over),
        }
    }

    /// Asks for a step of a payment that is known by its id.
    async fn step(&self, payment: Uuid, step: &str) -> Result<Standing, GatewayError> {
        let key = Some(format!("{payment}:{step}"));
        let (status, body) = self.send(Method::POST, &format!("/payments/{payment}/{step}"), key, None).await?;
        read(payment, None, status, &body)
    }
}

#[async_trait]
impl Gateway for HttpGateway {
    async fn authorise(&self, order: &Order) -> Result<Standing, GatewayError> {
        let body = json!({
            "payment_id": order.payment, "amount": order.amount, "currency": order.currency,
            "source": order.source, "customer": order.user.to_string(), "reference": order.reservation,
        });
        let key = Some(order.payment.to_string());
        let (status, answer) = self.send(Method::POST, "/payments", key, Some(body)).await?;
        if matches!(status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED) {
            return Err(GatewayError::TurnedAway(format!("answered {status} to POST /payments")));
        }
        let known = matches!(status, StatusCode::PAYMENT_REQUIRED | StatusCode::CONFLICT);
        if status.is_client_error() && !known {
            return self.unwanted(order.payment, status).await;
        }
        read(order.payment, Some(order), status, &answer)
    }

    async fn ask(&self, payment: Uuid) -> Result<Option<Standing>, GatewayError> {
        let (status, body) = self.send(Method::GET, &format!("/payments/{payment}"), None, None).await?;
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        read(payment, None, status, &body).map(Some)
    }

    async fn capture(&self, payment: Uuid) -> Result<Standing, GatewayError> {
        self.step(payment, "capture").await
    }

    async fn void(&self, payment: Uuid) -> Result<Standing, GatewayError> {
        self.step(payment, "void").await
    }

    async fn refund(&self, payment: Uuid) -> Result<Standing, GatewayError> {
        self.step(payment, "refund").await
    }
}

/// How the payment stands by this answer. Believed only about the payment that was asked for, and the same money.
fn read(payment: Uuid, order: Option<&Order>, status: StatusCode, body: &[u8]) -> Result<Standing, GatewayError> {
    let nonsense = |what: String| Err(GatewayError::Nonsense(what));
    // 402: declined. 409: it stands otherwise than the step needs; which is what we want to know.
    if !(status.is_success() || matches!(status, StatusCode::PAYMENT_REQUIRED | StatusCode::CONFLICT)) {
        return nonsense(format!("answered {status}"));
    }
    let Ok(told) = serde_json::from_slice::<Told>(body) else {
        return nonsense(format!("answered {status} without a payment"));
    };
    if told.payment_id != payment {
        return nonsense(format!("told of payment {} when asked for {payment}", told.payment_id));
    }
    let standing = match told.status.as_str() {
        "authorised" => Standing::Authorised,
        "declined" => {
            Standing::Declined { reason: told.reason.map_or_else(|| "declined".to_owned(), |text| word(&text)) }
        }
        "captured" => Standing::Captured,
        "voided" => Standing::Voided,
        "refunded" => Standing::Refunded,
        _ => return nonsense("told of a status that is none".to_owned()),
    };
    let same_money =
        |order: &Order| told.amount == Some(order.amount) && told.currency.as_ref() == Some(&order.currency);
    if matches!(standing, Standing::Authorised | Standing::Captured) && order.is_some_and(|order| !same_money(order)) {
        return nonsense(format!("set aside {:?} {:?} for payment {payment}", told.amount, told.currency));
    }
    Ok(standing)
}

/// A short word of safe characters: it goes on to the buyer's browser.
fn word(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).take(MAX_REASON).collect()
}

/// hyper says little in the first sentence.
fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order() -> Order {
        let (payment, reservation) = (Uuid::from_u128(1), Uuid::from_u128(2));
        Order { payment, reservation, user: 1, amount: 500, currency: "KRW".to_owned(), source: None }
    }

    fn told(status: u16, body: &serde_json::Value) -> Result<Standing, GatewayError> {
        let order = order();
        read(order.payment, Some(&order), StatusCode::from_u16(status).unwrap(), body.to_string().as_bytes())
    }

    #[test]
    fn refused_answers_about_other_payments_or_other_money() {
        let id = order().payment;
        let good = json!({ "payment_id": id, "status": "authorised", "amount": 500, "currency": "KRW", "more": 1 });
        assert_eq!(told(201, &good), Ok(Standing::Authorised));
        let change = |name: &str, value: serde_json::Value| {
            let mut body = good.clone();
            body[name] = value;
            body
        };
        for (status, body) in [
            (201, change("payment_id", json!(Uuid::from_u128(3)))),
            (201, change("amount", json!(499))),
            (201, change("amount", json!(null))),
            (201, change("currency", json!("USD"))),
            (201, change("status", json!("maybe"))),
            (201, json!({})),
            (201, json!([])),
            (401, good.clone()),
            (422, good.clone()),
            (302, good.clone()),
        ] {
            assert!(matches!(told(status, &body), Err(GatewayError::Nonsense(_))), "{status} {body}");
        }
    }

    #[test]
    fn a_decline_carries_a_word_and_nothing_else() {
        let body = json!({ "payment_id": order().payment, "status": "declined", "reason": "<b>card-expired</b>\n" });
        assert_eq!(told(402, &body), Ok(Standing::Declined { reason: "bcard-expiredb".to_owned() }));
        let none = json!({ "payment_id": order().payment, "status": "declined" });
        assert_eq!(told(200, &none), Ok(Standing::Declined { reason: "declined".to_owned() }));
    }
}
