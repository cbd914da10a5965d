//! One request of the gateway: who asks, what the script says, what the book says.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::book::{Entry, Payment, Status};
use super::script::{self, Act, Operation, When};
use super::serve::{Connection, Stage};

/// No request comes near this.
const MAX_BYTES: usize = 64 * 1024;

/// Breaks the connection.
#[derive(Debug)]
pub(super) struct HungUp;

type Answer = (StatusCode, Value);

/// Answers, or hangs up. What was begun is done also when the client has gone.
pub(super) async fn answer(
    stage: Arc<Stage>,
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, MAX_BYTES).collect().await.map_err(std::io::Error::other)?.to_bytes();
    let done = tokio::spawn(async move { route(&stage, &connection, &head, &body).await }).await;
    let (status, body) = match done {
        Ok(Ok(answer)) => answer,
        _ => return Err(std::io::ErrorKind::ConnectionAborted.into()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    Ok(response)
}

async fn route(
    stage: &Stage,
    connection: &Connection,
    head: &http::request::Parts,
    body: &Bytes,
) -> Result<Answer, HungUp> {
    let shown = head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if shown.and_then(|value| value.strip_prefix("Bearer ")) != Some(stage.secret()) {
        return Ok((StatusCode::UNAUTHORIZED, json!({ "error": "Authorization: Bearer SECRET" })));
    }
    let parsed: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let path: Vec<&str> = head.uri.path().split('/').skip(1).collect();
    match (&head.method, path.as_slice()) {
        (&Method::POST, ["payments"]) => authorise(stage, connection, &head.headers, &parsed).await,
        (&Method::GET, ["payments", id]) => {
            let look = |stage: &Stage| Ok(stage.look(id).map_or(Entry::Unknown, Entry::Done));
            act(stage, connection, Operation::Ask, look).await
        }
        (&Method::POST, ["payments", id, step]) => match Operation::parse(step) {
            Some(operation) => act(stage, connection, operation, |stage| stage.step(operation, id)).await,
            None => Ok(nothing()),
        },
        (&Method::GET, ["payments"]) => {
            Ok((StatusCode::OK, stage.payments().iter().map(Payment::to_json).collect::<Value>()))
        }
        (&Method::POST, ["script"]) => Ok(match script::parse(&parsed) {
            Some((operation, when, act, times)) => {
                stage.script(operation, when, act, times);
                (StatusCode::OK, json!({}))
            }
            None => (StatusCode::UNPROCESSABLE_ENTITY, json!({ "error": "operation, when, act, times" })),
        }),
        (&Method::DELETE, ["script"]) => {
            stage.forget_scripts();
            Ok((StatusCode::OK, json!({})))
        }
        (&Method::POST, ["script", "go-on"]) => {
            stage.go_on();
            Ok((StatusCode::OK, json!({})))
        }
        _ => Ok(nothing()),
    }
}

fn nothing() -> Answer {
    (StatusCode::NOT_FOUND, json!({ "error": "there is nothing at this path" }))
}

async fn authorise(
    stage: &Stage,
    connection: &Connection,
    headers: &HeaderMap,
    body: &Value,
) -> Result<Answer, HungUp> {
    let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok());
    let (Some(id), Some(amount), Some(currency)) = (
        text("payment_id"),
        body.get("amount").and_then(Value::as_i64).filter(|amount| *amount >= 0),
        text("currency"),
    ) else {
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, json!({ "error": "payment_id, amount, currency" })));
    };
    if key != Some(&id) {
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, json!({ "error": "the Idempotency-Key is the payment_id" })));
    }
    let declined = stage.decline();
    let status = if declined.is_some() { Status::Declined } else { Status::Authorised };
    let wanted = Payment { id, status, amount, currency, source: text("source"), reason: declined };
    act(stage, connection, Operation::Authorise, |stage| stage.authorise(wanted)).await
}

/// Plays what is scripted for before, writes the book, plays what is scripted for after.
async fn act(
    stage: &Stage,
    connection: &Connection,
    operation: Operation,
    effect: impl FnOnce(&Stage) -> std::io::Result<Entry>,
) -> Result<Answer, HungUp> {
    if let Some(answer) = play(stage, connection, operation, When::Before).await? {
        return Ok(answer);
    }
    let entry = effect(stage);
    if let Some(answer) = play(stage, connection, operation, When::After).await? {
        return Ok(answer);
    }
    Ok(match entry {
        Ok(Entry::Done(payment)) if operation == Operation::Authorise => (StatusCode::CREATED, payment.to_json()),
        Ok(Entry::Done(payment)) => (StatusCode::OK, payment.to_json()),
        Ok(Entry::Otherwise(payment)) if payment.status == Status::Declined => {
            (StatusCode::PAYMENT_REQUIRED, payment.to_json())
        }
        Ok(Entry::Otherwise(payment)) => (StatusCode::CONFLICT, payment.to_json()),
        Ok(Entry::Unknown) => (StatusCode::NOT_FOUND, json!({ "error": "no such payment" })),
        Ok(Entry::OtherMoney) => {
            (StatusCode::UNPROCESSABLE_ENTITY, json!({ "error": "this payment_id came with other money before" }))
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, json!({ "error": error.to_string() })),
    })
}

async fn play(
    stage: &Stage,
    connection: &Connection,
    operation: Operation,
    when: When,
) -> Result<Option<Answer>, HungUp> {
    while let Some(act) = stage.next_act(operation, when) {
        match act {
            // Seen to by `authorise`.
            Act::Decline(_) => {}
            Act::Fail => return Ok(Some((StatusCode::INTERNAL_SERVER_ERROR, json!({ "error": "as told" })))),
            Act::Answer(status) => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                return Ok(Some((status, json!({ "error": "as told" }))));
            }
            Act::Delay(delay) => tokio::time::sleep(delay).await,
            Act::HangUp => return Err(HungUp),
            Act::Die => {
                stage.die();
                return Err(HungUp);
            }
            Act::Twice => connection.double(),
            Act::Wait => stage.stand_still().await,
        }
    }
    Ok(None)
}
