//! The OpenAPI document at `/openapi.json` and a page to read it at `/docs`, with nothing from outside.

use std::sync::Arc;

use axum::Router;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{OpenApi as Document, Ref, Response, ResponseBuilder};
use utoipa::{Modify, OpenApi, ToSchema};
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::problem::Kind;
use super::{App, catalogue, holds, reservations, tickets, wallet};

/// A refusal: RFC 9457, with further members that the type tells of.
#[derive(ToSchema, serde::Serialize)]
#[schema(as = Problem)]
pub struct ProblemView {
    /// Names the problem; act on this.
    #[serde(rename = "type")]
    #[schema(value_type = String, example = "/problems/seat-taken")]
    kind: &'static str,
    /// The same for every occurrence.
    title: String,
    /// The status code.
    status: u16,
    /// What is particular about this one.
    detail: String,
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Reservation service", description = "Seats, holds, wallets and reservations behind a waiting room."),
    paths(
        catalogue::concerts,
        catalogue::schedules,
        catalogue::seats,
        holds::create,
        holds::read,
        holds::release,
        reservations::create,
        reservations::read,
        reservations::list,
        reservations::cancel,
        tickets::read,
        tickets::keys,
        wallet::read,
        wallet::charge,
        wallet::transactions
    ),
    modifiers(&Securities, &EverywhereProblems)
)]
struct Api;

/// The two credentials.
struct Securities;

impl Modify for Securities {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        let user = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
        components.add_security_scheme("user", SecurityScheme::Http(user));
        let queue = ApiKeyValue::with_description("X-QUEUE-TOKEN", "Put there by the waiting room's proxy.");
        components.add_security_scheme("queue_token", SecurityScheme::ApiKey(ApiKey::Header(queue)));
    }
}

/// What any operation may answer, so that handlers need not repeat it.
struct EverywhereProblems;

impl EverywhereProblems {
    const ALWAYS: &[(&str, &[Kind])] =
        &[("500", &[Kind::Internal]), ("503", &[Kind::Busy, Kind::DatabaseUnavailable, Kind::KeysUnavailable])];
    const WITH_BODY: &[(&str, &[Kind])] = &[
        ("400", &[Kind::MalformedJson]),
        ("408", &[Kind::RequestTimeout]),
        ("413", &[Kind::BodyTooLarge]),
        ("415", &[Kind::UnsupportedMediaType]),
    ];

    fn add(operation: &mut Operation, problems: &[(&str, &[Kind])]) {
        for (status, kinds) in problems {
            operation.responses.responses.entry((*status).to_owned()).or_insert_with(|| answer(kinds).into());
        }
    }
}

impl Modify for EverywhereProblems {
    fn modify(&self, document: &mut Document) {
        for item in document.paths.paths.values_mut() {
            let operations = [&mut item.get, &mut item.post, &mut item.delete];
            for operation in operations.into_iter().flatten() {
                Self::add(operation, Self::ALWAYS);
                Self::add(operation, &[("405", &[Kind::MethodNotAllowed])]);
                if of_a_user(operation) {
                    Self::add(operation, &[("429", &[Kind::TooManyRequests])]);
                }
                if operation.request_body.is_some() {
                    Self::add(operation, Self::WITH_BODY);
                }
            }
        }
    }
}

/// Whether a user's token is asked for.
fn of_a_user(operation: &Operation) -> bool {
    serde_json::to_string(&operation.security).is_ok_and(|text| text.contains("\"user\""))
}

fn answer(kinds: &[Kind]) -> Response {
    let types: Vec<&str> = kinds.iter().map(|kind| kind.uri()).collect();
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    ResponseBuilder::new().description(types.join(", ")).content("application/problem+json", content).build()
}

/// The document.
pub fn document() -> Document {
    Api::openapi()
}

/// `/openapi.json` and `/docs`.
pub(super) fn router() -> Router<Arc<App>> {
    // "none": the page would otherwise show a badge fetched from a validator on the internet.
    let config = Config::default().validator_url("none").try_it_out_enabled(true);
    SwaggerUi::new("/docs").url("/openapi.json", document()).config(config).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_names_a_user_may_be_told_to_slow_down() {
        let document = serde_json::to_value(document()).unwrap();
        let mut of_users = 0;
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let named = operation["security"].to_string().contains("\"user\"");
                assert_eq!(operation["responses"]["429"].is_object(), named, "{method} {path}");
                of_users += usize::from(named);
            }
        }
        assert!(of_users >= 9, "{of_users}");
    }

    #[test]
    fn bodies_and_keys_say_their_bounds() {
        let document = serde_json::to_value(document()).unwrap();
        let schemas = &document["components"]["schemas"];
        let body = &schemas["HoldBody"]["properties"];
        assert_eq!((&body["seats"]["maxItems"], &body["seats"]["minItems"]), (&100.into(), &1.into()), "{body}");
        assert_eq!(body["seats"]["items"]["$ref"], "#/components/schemas/SeatName", "{body}");
        assert_eq!((&schemas["SeatName"]["maxLength"], &body["count"]["maximum"]), (&32.into(), &100.into()), "{body}");
        assert_eq!(schemas["NothingBody"]["additionalProperties"], false);
        let (mut posts, mut keyed) = (0, 0);
        for item in document["paths"].as_object().unwrap().values() {
            let parameters = item["post"]["parameters"].as_array().into_iter().flatten();
            posts += usize::from(item["post"].is_object());
            for key in parameters.filter(|parameter| parameter["name"] == "Idempotency-Key") {
                assert_eq!(key["schema"]["maxLength"], 255, "{key}");
                keyed += 1;
            }
        }
        assert_eq!((posts, keyed), (4, 4), "each POST takes a key");
    }

    #[test]
    fn lists_every_problem_type() {
        let text = document().to_json().unwrap();
        for kind in Kind::ALL {
            assert!(text.contains(kind.uri()), "{} is not in the document", kind.uri());
        }
    }
}
