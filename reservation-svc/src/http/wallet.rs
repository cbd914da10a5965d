//! The user's money: balance, charges, ledger.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::body;
use super::caller::User;
use super::idempotency::key_of;
use super::openapi::ProblemView;
use super::paging::Page;
use super::problem::{Kind, Problem};
use super::views::money::{ChargeBody, ChargeView, TransactionsView, WalletView};
use super::{App, to_the_end};
use crate::ledger::wallet::ChargeAnswer;
use crate::seat::charge_amount;

/// What the user has.
#[utoipa::path(get, path = "/wallet", tag = "wallet", security(("user" = [])),
    responses(
        (status = 200, body = WalletView),
        (status = 401, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/unauthorized"),
        (status = 403, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/unknown-user")))]
pub async fn read(State(app): State<Arc<App>>, User(user): User) -> Result<Json<WalletView>, Problem> {
    app.ledger.wallet_of(user).await?.map(|wallet| Json(wallet.into())).ok_or_else(unknown)
}

/// Adds money to the wallet.
#[utoipa::path(post, path = "/wallet/charges", tag = "wallet", request_body = ChargeBody, security(("user" = [])),
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = r"^[!-~]([ -~]*[!-~])?$",
            description = "The same key gets the same answer for 24 hours")),
    responses(
        (status = 201, body = ChargeView),
        (status = 401, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/unauthorized"),
        (status = 403, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/unknown-user"),
        (status = 409, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/idempotency-key-in-progress"),
        (status = 422, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/invalid-body, /problems/invalid-amount, /problems/balance-limit-reached, \
                        /problems/invalid-idempotency-key, /problems/idempotency-key-reused")))]
pub async fn charge(
    State(app): State<Arc<App>>,
    User(user): User,
    headers: HeaderMap,
    body::Json(body): body::Json<ChargeBody>,
) -> Result<Response, Problem> {
    let amount = charge_amount(body.amount).map_err(|error| Problem::new(Kind::InvalidAmount, error.to_string()))?;
    let key = key_of(&headers, "POST /wallet/charges", &body)?;
    match to_the_end(async move { app.ledger.charge(user, amount, key.as_ref()).await }).await? {
        ChargeAnswer::Charged { transaction, currency } => {
            let view = ChargeView {
                transaction_id: transaction.id,
                amount: transaction.amount,
                balance: transaction.balance_after,
                currency,
                created_at: transaction.created_at,
            };
            Ok((StatusCode::CREATED, Json(view)).into_response())
        }
        ChargeAnswer::WalletUnknown => Err(unknown()),
    }
}

/// The lines of the ledger, newest first.
#[utoipa::path(get, path = "/wallet/transactions", tag = "wallet", security(("user" = [])),
    params(("limit" = Option<i64>, Query, minimum = 1, maximum = 200, description = "Rows on a page, 50 unless given"),
           ("cursor" = Option<i64>, Query, description = "next_cursor of the page before")),
    responses(
        (status = 200, body = TransactionsView),
        (status = 401, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/unauthorized"),
        (status = 422, body = ProblemView, content_type = "application/problem+json",
         description = "/problems/invalid-query")))]
pub async fn transactions(
    State(app): State<Arc<App>>,
    User(user): User,
    page: Page<i64>,
) -> Result<Json<TransactionsView>, Problem> {
    let found = app.ledger.transactions_of(user, page.cursor, page.limit).await?;
    let next_cursor = page.next(found.len(), found.last().map(|line| line.id.to_string()));
    Ok(Json(TransactionsView { transactions: found.into_iter().map(Into::into).collect(), next_cursor }))
}

fn unknown() -> Problem {
    Problem::new(Kind::UnknownUser, "The token is good, but the user has no wallet.")
}
