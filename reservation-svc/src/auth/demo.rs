//! Tokens for visitors of the demo, without asking who they are. Only for a service that only this machine reaches.

use std::ops::RangeInclusive;

use secrecy::SecretSlice;

use super::users::{self, Expected};
use crate::seat::UserId;

/// Users whom visitors of the demo become: the last hundred of the seed. A load test beside it takes the others.
pub const DEMO_USERS: RangeInclusive<i64> = 901..=1000;

/// A demo is over by then.
const TOKEN_TTL_S: u64 = 4 * 3_600;

/// Signs the tokens.
pub struct DemoLogin {
    secret: SecretSlice<u8>,
    expected: Expected,
}

impl DemoLogin {
    /// Signs with the users' secret, and says what the service expects.
    pub fn new(secret: SecretSlice<u8>, expected: Expected) -> Self {
        Self { secret, expected }
    }

    /// The user that the random number `pick` falls on, and their token.
    pub fn token(&self, pick: u32, now_s: u64) -> Result<(UserId, String), jsonwebtoken::errors::Error> {
        let users = DEMO_USERS.end() - DEMO_USERS.start() + 1;
        let id = DEMO_USERS.start() + i64::from(pick) % users;
        let user = UserId::new(id).ok_or(jsonwebtoken::errors::ErrorKind::InvalidSubject)?;
        Ok((user, users::mint_for(&self.secret, &self.expected, user, now_s, TOKEN_TTL_S)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn demo_users_stay_in_their_range() {
        let demo = DemoLogin::new(SecretSlice::from(vec![1; 32]), Expected::default());
        for pick in [0, 1, 99, 100, u32::MAX] {
            let (user, _) = demo.token(pick, 1_800_000_000).unwrap();
            assert!(DEMO_USERS.contains(&user.get()), "{pick}");
        }
    }
}
