//! Plays a script for one request.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, stream};
use http::header::{CONNECTION, CONTENT_TYPE, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::script::{Act, Script};
use super::{Recorded, Stage};

/// A body that may break off.
type Body = BoxBody<Bytes, io::Error>;

/// Remembers the request and answers it. An error breaks the connection.
pub(super) async fn answer(stage: Arc<Stage>, request: Request<Incoming>) -> io::Result<Response<Body>> {
    let script = stage.script_for(request.uri().path());
    let streams = matches!(script.act, Act::Echo | Act::WebSocketEcho);
    let (head, body) = request.into_parts();
    let mut recorded = recorded(&head);
    let mut body = Some(body);
    if !streams && let Some(body) = body.take() {
        recorded.body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    }
    stage.remember(recorded);
    tokio::time::sleep(script.delay).await;
    let mut response = play(&script, head, body).await?;
    // The handshake's own status stands.
    if response.status() == StatusCode::OK {
        *response.status_mut() = StatusCode::from_u16(script.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    }
    for (name, value) in &script.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().append(name, value);
        }
    }
    Ok(response)
}

fn recorded(head: &http::request::Parts) -> Recorded {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    Recorded {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().map(str::to_owned),
        headers: head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
        body: Bytes::new(),
    }
}

async fn play(script: &Script, head: http::request::Parts, body: Option<Incoming>) -> io::Result<Response<Body>> {
    Ok(match &script.act {
        Act::Body(bytes) => Response::new(whole(bytes.clone())),
        Act::Chunks { chunks, pause } => Response::new(slow(chunks.clone(), *pause)),
        Act::Broken(sent) => Response::new(broken(sent.clone())),
        Act::Echo => {
            let mut response = Response::new(body.map_or_else(|| whole(Bytes::new()), streamed));
            if let Some(kind) = head.headers.get(CONTENT_TYPE) {
                response.headers_mut().insert(CONTENT_TYPE, kind.clone());
            }
            response
        }
        Act::WebSocketEcho => websocket(head, body),
        Act::Silence => std::future::pending().await,
        Act::HangUp => return Err(io::ErrorKind::ConnectionAborted.into()),
    })
}

fn whole(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never: Infallible| match never {}).boxed()
}

fn streamed(body: Incoming) -> Body {
    body.map_err(io::Error::other).boxed()
}

fn slow(chunks: Vec<Bytes>, pause: Duration) -> Body {
    let frames = stream::iter(chunks).then(move |chunk| async move {
        tokio::time::sleep(pause).await;
        Ok(Frame::data(chunk))
    });
    BodyExt::boxed(StreamBody::new(Box::pin(frames)))
}

fn broken(sent: Bytes) -> Body {
    // The error comes a little after the bytes: hyper would drop what it has not written yet.
    let frames = stream::unfold(Some(sent), |state| async move {
        match state {
            Some(bytes) => Some((Ok(Frame::data(bytes)), None)),
            None => {
                tokio::time::sleep(Duration::from_millis(20)).await;
                Some((Err(io::ErrorKind::ConnectionReset.into()), None))
            }
        }
    });
    BodyExt::boxed(StreamBody::new(Box::pin(frames)))
}

fn websocket(head: http::request::Parts, body: Option<Incoming>) -> Response<Body> {
    let mut response = Response::new(whole(Bytes::new()));
    let Some(key) = head.headers.get(SEC_WEBSOCKET_KEY) else {
        *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
        return response;
    };
    let accept = derive_accept_key(key.as_bytes());
    drop(body);
    let upgrade = hyper::upgrade::on(Request::from_parts(head, ()));
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
        while let Some(Ok(message)) = socket.next().await {
            if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
                break;
            }
        }
    });
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Ok(accept) = HeaderValue::try_from(accept) {
        response.headers_mut().insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    response
}
