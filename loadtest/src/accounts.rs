//! The users that visitors act for: their bearer tokens, and what this run did with their wallets.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jsonwebtoken::{EncodingKey, Header};
use serde::Serialize;

use crate::audit::Book;

/// How long a user's token is good: longer than any visitor stays.
const TOKEN_LIFE: Duration = Duration::from_secs(6 * 3600);

/// Shortest HS256 secret, as the service demands it.
pub const MIN_SECRET_BYTES: usize = 32;

/// Where users' bearer tokens come from.
pub enum Bearer {
    /// Signed here, with the secret that the service verifies with.
    Secret(EncodingKey),
    /// A fixed text with `{user}` in it.
    Template(String),
}

/// Why no bearer token could be made.
#[derive(Debug, thiserror::Error)]
pub enum BearerError {
    /// Too short to be that secret.
    #[error("a users' secret has at least {MIN_SECRET_BYTES} bytes, this file has {0}")]
    ShortSecret(usize),
    /// It would give everybody the same token.
    #[error("a bearer template needs {{user}} in it, where the user's id goes")]
    Template,
    /// Signing failed.
    #[error("cannot sign a user's token: {0}")]
    Sign(#[from] jsonwebtoken::errors::Error),
}

#[derive(Serialize)]
struct UserClaims {
    sub: String,
    iat: u64,
    exp: u64,
}

impl Bearer {
    /// From the bytes of the secret file.
    pub fn from_secret(secret: &[u8]) -> Result<Self, BearerError> {
        if secret.len() < MIN_SECRET_BYTES {
            return Err(BearerError::ShortSecret(secret.len()));
        }
        Ok(Self::Secret(EncodingKey::from_secret(secret)))
    }

    /// From a template like `Bearer dev-{user}`.
    pub fn from_template(template: &str) -> Result<Self, BearerError> {
        if template.contains("{user}") { Ok(Self::Template(template.to_owned())) } else { Err(BearerError::Template) }
    }

    /// The `Authorization` header of a user.
    pub fn authorization(&self, user: u64, now: Duration) -> Result<String, BearerError> {
        match self {
            Self::Template(template) => Ok(template.replace("{user}", &user.to_string())),
            Self::Secret(key) => {
                let claims =
                    UserClaims { sub: user.to_string(), iat: now.as_secs(), exp: (now + TOKEN_LIFE).as_secs() };
                // The default header is HS256.
                Ok(format!("Bearer {}", jsonwebtoken::encode(&Header::default(), &claims, key)?))
            }
        }
    }
}

/// One user. Several visitors may act for the same one.
#[derive(Debug)]
pub struct Account {
    /// Its id.
    pub user: u64,
    /// Held shared by whoever moves this user's money, alone by whoever compares the balance: only when
    /// nothing is under way has the balance one right value. Visitors of one user can still pay at once.
    pub moving: tokio::sync::RwLock<()>,
    book: Mutex<Book>,
}

impl Account {
    /// What was done so far.
    pub fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All users of a run.
pub struct Accounts {
    bearer: Bearer,
    accounts: Vec<Account>,
}

impl Accounts {
    /// The users with these ids.
    pub fn new(bearer: Bearer, users: std::ops::RangeInclusive<u64>) -> Self {
        let account = |user| Account { user, moving: tokio::sync::RwLock::default(), book: Mutex::default() };
        Self { bearer, accounts: users.map(account).collect() }
    }

    /// The user of a visitor: in turn, so that users are shared as late and as evenly as can be.
    pub fn of_visitor(&self, visitor: usize) -> Option<&Account> {
        self.accounts.get(visitor.checked_rem(self.accounts.len())?)
    }

    /// The bearer tokens.
    pub fn bearer(&self) -> &Bearer {
        &self.bearer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::{DecodingKey, Validation};

    #[test]
    fn a_users_token_says_who_and_until_when() {
        let secret = [5; 32];
        let now = Duration::from_secs(4_000_000_000);
        let header = Bearer::from_secret(&secret).unwrap().authorization(17, now).unwrap();
        let token = header.strip_prefix("Bearer ").unwrap();
        let claims = jsonwebtoken::decode::<serde_json::Value>(
            token,
            &DecodingKey::from_secret(&secret),
            &Validation::default(),
        );
        let claims = claims.unwrap().claims;
        assert_eq!(claims, serde_json::json!({"sub": "17", "iat": 4_000_000_000u64, "exp": 4_000_021_600u64}));
    }

    #[test]
    fn refused_secrets_and_templates() {
        assert!(matches!(Bearer::from_secret(&[1; 31]), Err(BearerError::ShortSecret(31))));
        assert!(matches!(Bearer::from_template("Bearer x"), Err(BearerError::Template)));
        let template = Bearer::from_template("Dev {user}").unwrap();
        assert_eq!(template.authorization(3, Duration::ZERO).unwrap(), "Dev 3");
    }

    #[test]
    fn users_are_shared_in_turn() {
        let accounts = Accounts::new(Bearer::from_template("{user}").unwrap(), 5..=7);
        let users: Vec<u64> = (0..5).map(|visitor| accounts.of_visitor(visitor).unwrap().user).collect();
        assert_eq!(users, [5, 6, 7, 5, 6]);
    }
}
