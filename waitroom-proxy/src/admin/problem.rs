//! Errors of the admin listener as `application/problem+json`.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// An error answer.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    /// `about:blank`: the status says it all.
    kind: &'static str,
    detail: String,
    mistakes: Option<Value>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, kind: "about:blank", detail: detail.into(), mistakes: None }
    }

    pub(super) fn store_unavailable(detail: impl Into<String>) -> Self {
        let kind = "/problems/store-unavailable";
        Self { kind, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail) }
    }

    pub(super) fn bad_config(mistakes: Value) -> Self {
        let detail = "the config has mistakes; nothing was changed";
        let kind = "/problems/bad-request";
        Self { kind, mistakes: Some(mistakes), ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail) }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or_default();
        let mut body = json!({
            "type": self.kind,
            "title": title,
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if let Some(mistakes) = self.mistakes {
            body["mistakes"] = mistakes;
        }
        let content_type = (header::CONTENT_TYPE, "application/problem+json");
        let mut response = (self.status, [content_type], body.to_string()).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
