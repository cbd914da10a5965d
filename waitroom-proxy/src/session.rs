//! The session: an admitted visitor, as known from a sealed cookie or a queue token. Pure.
//!
//! The cookie holds the facts in a compact form in front of the token itself, under one
//! seal: a request of an admitted visitor costs one HMAC and no signature check.

use queue_token::Claims;

use crate::compact::{Reader, Writer};
use crate::seal::{Purpose, Sealer};
use crate::store::{Epoch, Vid};

/// Who was let in, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// The incarnation of the room.
    pub epoch: Epoch,
    /// Who.
    pub vid: Vid,
    /// The ticket's number; 0 when the door was open because the store was down.
    pub seq: u64,
    /// When the session began, seconds since the Unix epoch.
    pub began_s: u64,
    /// When it ends unless renewed, seconds since the Unix epoch.
    pub expires_s: u64,
    /// Entered by the fast lane and not come back with its token yet.
    pub provisional: bool,
}

impl Session {
    /// What the queue token says of it. `nonce` makes the token's id unique.
    #[must_use]
    pub fn claims(&self, issuer: &str, room: &str, now_s: u64, nonce: u64) -> Claims {
        Claims {
            iss: issuer.to_owned(),
            aud: room.to_owned(),
            sub: self.vid.to_string(),
            // The room's life rides in the token's id: a token of another start of the room
            // is told apart without a claim that backends would have to know.
            jti: format!("{:08x}{}-{nonce:016x}", self.epoch.life, if self.provisional { "p" } else { "" }),
            iat: now_s,
            exp: self.expires_s,
            generation: self.epoch.generation,
            seq: self.seq,
            auth_time: self.began_s,
        }
    }

    /// Reads the session out of a token's claims; `None` when we did not make it.
    #[must_use]
    pub fn from_claims(claims: &Claims) -> Option<Self> {
        let (life, _) = claims.jti.split_once('-')?;
        let (life, provisional) = life.strip_suffix('p').map_or((life, false), |l| (l, true));
        Some(Self {
            epoch: Epoch { generation: claims.generation, life: u32::from_str_radix(life, 16).ok()? },
            vid: Vid::parse(&claims.sub)?,
            seq: claims.seq,
            began_s: claims.auth_time,
            expires_s: claims.exp,
            provisional,
        })
    }

    /// The cookie's value: facts, token, seal.
    #[must_use]
    pub fn seal(&self, sealer: &Sealer, room: &str, token: &str) -> String {
        let facts = Writer::new(self.epoch, self.vid, self.seq).number(self.began_s).number(self.expires_s);
        let mut body = facts.flag(self.provisional).finish();
        body.push('.');
        body.push_str(token);
        sealer.seal(Purpose::Session, room, &body)
    }

    /// The session and its token, if we sealed them for this room and the session has not expired.
    #[must_use]
    pub fn open<'t>(sealer: &Sealer, room: &str, sealed: &'t str, now_s: u64) -> Option<(Self, &'t str)> {
        let body = sealer.open(Purpose::Session, room, sealed)?;
        let (facts, token) = body.split_once('.')?;
        let (epoch, vid, seq, mut rest) = Reader::new(facts)?;
        let (began_s, expires_s, provisional) = (rest.number()?, rest.number()?, rest.flag()?);
        let session = Self { epoch, vid, seq, began_s, expires_s, provisional };
        if !rest.is_done() {
            return None;
        }
        session.live(now_s).then_some((session, token))
    }

    /// Whether it has not expired.
    #[must_use]
    pub fn live(&self, now_s: u64) -> bool {
        now_s < self.expires_s
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        Session {
            epoch: Epoch { generation: 2, life: 0xabc },
            vid: Vid([9; 12]),
            seq: 77,
            began_s: 1_000,
            expires_s: 1_600,
            provisional: true,
        }
    }

    #[test]
    fn survives_cookie_and_claims() {
        let sealer = Sealer::new([[3; 32].as_slice()]).unwrap();
        let cookie = session().seal(&sealer, "concert", "a.b.c");
        assert_eq!(Session::open(&sealer, "concert", &cookie, 1_599), Some((session(), "a.b.c")));
        assert_eq!(Session::open(&sealer, "concert", &cookie, 1_600), None, "expired");
        assert_eq!(Session::open(&sealer, "shop", &cookie, 1_000), None, "i11");
        assert_eq!(Session::from_claims(&session().claims("waitroom", "concert", 1_000, 5)), Some(session()));
    }
}
