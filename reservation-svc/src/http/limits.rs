//! The limit of requests a user, and the headers that tell of it (draft-ietf-httpapi-ratelimit-headers-10).

use std::sync::{Arc, OnceLock};

use axum::extract::{Request, State};
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;

use super::App;
use super::problem::{Kind, Problem};
use crate::quota::{Allowance, Verdict};
use crate::seat::UserId;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Where a request's user is noted for the answer's headers.
#[derive(Clone, Default)]
struct Noted(Arc<OnceLock<Allowance>>);

/// Lets a request of this user pass, or refuses it. To be asked once for a request.
pub(super) fn admit(app: &App, extensions: &Extensions, user: UserId) -> Result<(), Problem> {
    let Some(quota) = &app.quota else { return Ok(()) };
    let (allowance, refused) = match quota.take(user, app.started.elapsed()) {
        Verdict::Passed(allowance) => (allowance, None),
        Verdict::Refused(allowance, wait_s) => (allowance, Some(wait_s)),
    };
    if let Some(noted) = extensions.get::<Noted>() {
        // A handler asks who is calling once; were it twice, the first would count.
        let _ = noted.0.set(allowance);
    }
    match refused {
        None => Ok(()),
        Some(wait_s) => {
            app.metrics.rate_limited();
            let detail = format!("A user may send {} requests a second.", allowance.per_s);
            Err(Problem::new(Kind::TooManyRequests, detail).retry_after(wait_s))
        }
    }
}

/// Adds the headers to answers of requests that a user was named in.
pub(super) async fn tell(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    if app.quota.is_none() {
        return next.run(request).await;
    }
    let noted = Noted::default();
    request.extensions_mut().insert(noted.clone());
    let mut answer = next.run(request).await;
    if let Some(allowance) = noted.0.get() {
        write(answer.headers_mut(), *allowance);
    }
    answer
}

fn write(headers: &mut HeaderMap, Allowance { per_s, left, full_in_s }: Allowance) {
    let lines = [(POLICY, format!("\"user\";q={per_s};w=1")), (LIMIT, format!("\"user\";r={left};t={full_in_s}"))];
    for (name, line) in lines {
        if let Ok(value) = HeaderValue::try_from(line) {
            headers.insert(name, value);
        }
    }
}
