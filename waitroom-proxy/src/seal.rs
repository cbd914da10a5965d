//! Sealing: an HMAC over what the proxy hands out and gets back. Pure.
//!
//! A sealed text is `body.mac`, both base64url (the body may be any text without a
//! dot-separated suffix of its own meaning). The MAC covers a purpose and the room, so
//! that a ticket is never taken for a token, nor one room's for another's. It is checked
//! in constant time before anything else is looked at.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use subtle::ConstantTimeEq as _;

/// Longest sealed text that is looked at, in bytes; a cookie of ours is well below.
pub const MAX_SEALED: usize = 1024;

/// Characters of an HMAC-SHA256 in base64url without padding.
const MAC_CHARS: usize = 43;

/// Fewest raw bytes of a key: the output size of the hash (RFC 2104, section 3).
pub const MIN_KEY_BYTES: usize = 32;

/// What a sealed text is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A place in line.
    Ticket,
    /// A session.
    Session,
}

/// The keys that seal and open. The first seals, all open.
pub struct Sealer {
    keys: Vec<hmac::Key>,
}

/// Why there is no sealer.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SealError {
    /// No key at all.
    #[error("no seal key: at least one is needed")]
    NoKey,
    /// A key that could be guessed.
    #[error("a seal key of {0} bytes is too short: at least {MIN_KEY_BYTES} are needed")]
    ShortKey(usize),
}

impl Sealer {
    /// Takes raw key bytes, the sealing one first.
    ///
    /// # Errors
    /// When there is no key or one is shorter than [`MIN_KEY_BYTES`].
    pub fn new<'k>(keys: impl IntoIterator<Item = &'k [u8]>) -> Result<Self, SealError> {
        let keys: Vec<_> = keys
            .into_iter()
            .map(|raw| match raw.len() {
                n if n < MIN_KEY_BYTES => Err(SealError::ShortKey(n)),
                _ => Ok(hmac::Key::new(hmac::HMAC_SHA256, raw)),
            })
            .collect::<Result<_, _>>()?;
        if keys.is_empty() { Err(SealError::NoKey) } else { Ok(Self { keys }) }
    }

    /// `body.mac`.
    #[must_use]
    pub fn seal(&self, purpose: Purpose, room: &str, body: &str) -> String {
        let mut sealed = String::with_capacity(body.len() + 1 + MAC_CHARS);
        sealed.push_str(body);
        sealed.push('.');
        // The constructor refuses an empty list; without a key nothing could be opened anyway.
        if let Some(key) = self.keys.first() {
            URL_SAFE_NO_PAD.encode_string(mac(key, purpose, room, body), &mut sealed);
        }
        sealed
    }

    /// The body, if one of the keys sealed it for this purpose and room.
    #[must_use]
    pub fn open<'t>(&self, purpose: Purpose, room: &str, sealed: &'t str) -> Option<&'t str> {
        if sealed.len() > MAX_SEALED {
            return None;
        }
        let (body, presented) = sealed.rsplit_once('.')?;
        let mut tag = [0; 32];
        if presented.len() != MAC_CHARS || URL_SAFE_NO_PAD.decode_slice(presented, &mut tag).ok()? != 32 {
            return None;
        }
        self.keys.iter().any(|key| mac(key, purpose, room, body).as_ref().ct_eq(&tag).into()).then_some(body)
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealer({} keys)", self.keys.len())
    }
}

fn mac(key: &hmac::Key, purpose: Purpose, room: &str, body: &str) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    context.update(match purpose {
        Purpose::Ticket => b"ticket\0",
        Purpose::Session => b"session\0",
    });
    // Room names hold no NUL, so the parts can't be shifted against each other.
    context.update(room.as_bytes());
    context.update(b"\0");
    context.update(body.as_bytes());
    context.sign()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(byte: u8) -> Sealer {
        Sealer::new([[byte; 32].as_slice()]).unwrap()
    }

    #[test]
    fn opens_what_it_sealed_and_nothing_else() {
        let s = sealer(1);
        let sealed = s.seal(Purpose::Ticket, "concert", "abc");
        assert_eq!(s.open(Purpose::Ticket, "concert", &sealed), Some("abc"));
        assert_eq!(s.open(Purpose::Session, "concert", &sealed), None, "another purpose");
        assert_eq!(s.open(Purpose::Ticket, "shop", &sealed), None, "i11: another room");
        assert_eq!(sealer(2).open(Purpose::Ticket, "concert", &sealed), None, "another key");
    }

    #[test]
    fn refused_every_changed_character() {
        let s = sealer(1);
        let sealed = s.seal(Purpose::Ticket, "concert", "abcdef");
        for i in 0..sealed.len() {
            let mut forged = sealed.clone().into_bytes();
            forged[i] = if forged[i] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).unwrap();
            assert_eq!(s.open(Purpose::Ticket, "concert", &forged), None, "{forged}");
        }
    }

    #[test]
    fn f23_a_new_key_seals_and_the_old_one_still_opens() {
        let old = sealer(1);
        let both = Sealer::new([[2; 32].as_slice(), [1; 32].as_slice()]).unwrap();
        assert_eq!(both.open(Purpose::Ticket, "r", &old.seal(Purpose::Ticket, "r", "x")), Some("x"));
        assert_eq!(old.open(Purpose::Ticket, "r", &both.seal(Purpose::Ticket, "r", "x")), None);
    }

    #[test]
    fn refused_short_keys_and_none() {
        assert_eq!(Sealer::new([[0; 31].as_slice()]).err(), Some(SealError::ShortKey(31)));
        assert_eq!(Sealer::new([]).err(), Some(SealError::NoKey));
    }
}
