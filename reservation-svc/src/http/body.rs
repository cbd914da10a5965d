//! Reads what clients send: JSON bodies and ids in paths. Everything that does not fit becomes a problem.

use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;
use tower_http::timeout::TimeoutError;
use uuid::Uuid;

use super::object::Object;
use super::problem::{Kind, Problem};

/// No body of ours comes near this.
pub const MAX_BODY: usize = 64 * 1024;

/// A JSON body as a `T`.
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(not_json());
        }
        parse(&read(request).await?).map(Self)
    }
}

/// A JSON body as a `T` if there is one: what somebody sends is looked at, or they would believe that it counts.
pub struct OptionalJson<T>(pub Option<T>);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for OptionalJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let is_json = is_json(request.headers());
        match read(request).await? {
            body if body.is_empty() => Ok(Self(None)),
            _ if !is_json => Err(not_json()),
            body => parse(&body).map(Some).map(Self),
        }
    }
}

async fn read(request: Request) -> Result<Bytes, Problem> {
    let body = Limited::new(request.into_body(), MAX_BODY).collect().await.map_err(|error| {
        if error.downcast_ref::<LengthLimitError>().is_some() {
            Problem::new(Kind::BodyTooLarge, format!("At most {MAX_BODY} bytes are read.")).with("limit", MAX_BODY)
        } else if is_timeout(error.as_ref()) {
            Problem::new(Kind::RequestTimeout, "Send the body at once.")
        } else {
            Problem::new(Kind::MalformedJson, "The body ended before its end.")
        }
    })?;
    Ok(body.to_bytes())
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice::<Object<T>>(body).map(|object| object.0).map_err(|error| {
        let kind = if is_whole_json(body, &error) { Kind::InvalidBody } else { Kind::MalformedJson };
        Problem::new(kind, error.to_string())
    })
}

fn not_json() -> Problem {
    Problem::new(Kind::UnsupportedMediaType, "Send Content-Type: application/json.")
}

/// Whether it was JSON, only not what it should be. serde_json also says "syntax" where JSON of another type stands
/// in the place of a name, such as null for a method.
fn is_whole_json(body: &[u8], error: &serde_json::Error) -> bool {
    error.classify() == Category::Data || serde_json::from_slice::<IgnoredAny>(body).is_ok()
}

fn is_timeout(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(|error| error.is::<TimeoutError>())
}

/// `application/json` or `…+json`, whatever its parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(Ok(kind)) = headers.get(header::CONTENT_TYPE).map(|value| value.to_str()) else { return false };
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

/// An id in the path that is a positive integer. Anything else names nothing: 404.
pub struct IntegerId(pub i64);

impl<S: Send + Sync> FromRequestParts<S> for IntegerId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = path_text(parts, state).await?;
        let id = text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        id.filter(|id| *id > 0).map(Self).ok_or_else(no_such_id)
    }
}

/// An id in the path that is a UUID. Anything else names nothing: 404.
pub struct UuidId(pub Uuid);

impl<S: Send + Sync> FromRequestParts<S> for UuidId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = path_text(parts, state).await?;
        Uuid::try_parse(&text).map(Self).map_err(|_| no_such_id())
    }
}

async fn path_text<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<String, Problem> {
    Path::<String>::from_request_parts(parts, state).await.map(|Path(text)| text).map_err(|_| no_such_id())
}

fn no_such_id() -> Problem {
    Problem::new(Kind::NotFound, "The id in the path is none.")
}
