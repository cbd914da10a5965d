//! `POST /demo/login`: a token of one of the demo's users for whoever asks. Only routed where it is switched on.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::App;
use super::caller::now_s;
use super::problem::{Kind, Problem};

#[derive(Serialize)]
struct TokenView {
    user_id: i64,
    token: String,
}

/// A token of a random demo user.
pub async fn login(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let nothing = || Problem::new(Kind::NotFound, "There is nothing at this path.");
    let demo = app.demo.as_ref().ok_or_else(nothing)?;
    let (user, token) = demo.token(rand::random(), now_s()).map_err(|error| {
        tracing::error!(%error, "a demo token could not be signed");
        Problem::internal()
    })?;
    let mut answer = Json(TokenView { user_id: user.get(), token }).into_response();
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(answer)
}
