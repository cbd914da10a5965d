//! What visitors, rooms and their incarnations are called.

use std::fmt;

/// A visitor: 12 random bytes, written as 16 characters of base64url.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Vid(pub [u8; 12]);

/// A room's name, `[a-z0-9_-]{1,64}`; comes from the config only.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomName(String);

/// Which incarnation of a room something belongs to.
///
/// `generation` rises when an operator resets the room: everything older is void.
/// `life` is a random id given when a room starts from nothing (an empty store and
/// a node that remembers nothing), so that numbers of two such starts are never
/// taken for one another. A restored room keeps its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch {
    /// Rises by one with every reset.
    pub generation: u64,
    /// Random, never 0 in a room that has started; 0 from a node that knows none.
    pub life: u32,
}

impl Vid {
    /// Parses 16 characters of base64url.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        use base64::Engine as _;
        let mut bytes = [0; 12];
        if text.len() != 16 {
            return None;
        }
        let n = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        (n == 12).then_some(Self(bytes))
    }
}

impl fmt::Display for Vid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use base64::Engine as _;
        let mut text = [0; 16];
        // 12 bytes are exactly 16 characters without padding, so this cannot fail.
        let n =
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode_slice(self.0, &mut text).map_err(|_| fmt::Error)?;
        f.write_str(std::str::from_utf8(&text[..n]).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Vid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vid({self})")
    }
}

impl RoomName {
    /// `None` unless the name is `[a-z0-9_-]{1,64}`.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let ok = (1..=64).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-');
        ok.then(|| Self(name.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
