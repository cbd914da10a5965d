//! Facts as a few bytes: how tickets and sessions are laid out before they are sealed. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::store::{Epoch, Vid};

/// First byte of every layout, so that a later one can be told from this one.
const FORM: u8 = 1;

/// Longest layout.
const MOST: usize = 64;

/// Lays facts out, one after the other.
#[derive(Debug)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// Begins with what every credential holds.
    #[must_use]
    pub fn new(epoch: Epoch, vid: Vid, seq: u64) -> Self {
        let mut bytes = Vec::with_capacity(MOST);
        bytes.push(FORM);
        bytes.extend_from_slice(&epoch.generation.to_be_bytes());
        bytes.extend_from_slice(&epoch.life.to_be_bytes());
        bytes.extend_from_slice(&vid.0);
        bytes.extend_from_slice(&seq.to_be_bytes());
        Self(bytes)
    }

    /// Adds a number.
    #[must_use]
    pub fn number(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    /// Adds a yes or no.
    #[must_use]
    pub fn flag(mut self, flag: bool) -> Self {
        self.0.push(u8::from(flag));
        self
    }

    /// As base64url.
    #[must_use]
    pub fn finish(self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

/// Reads facts back in the same order.
#[derive(Debug)]
pub struct Reader {
    bytes: [u8; MOST],
    at: usize,
    end: usize,
}

impl Reader {
    /// The facts that every credential holds, and a reader of the rest.
    #[must_use]
    pub fn new(text: &str) -> Option<(Epoch, Vid, u64, Self)> {
        let mut bytes = [0; MOST];
        let end = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        let mut reader = Self { bytes, at: 0, end };
        if reader.take::<1>()? != [FORM] {
            return None;
        }
        let generation = reader.number()?;
        let life = u32::from_be_bytes(reader.take()?);
        let vid = Vid(reader.take()?);
        let seq = reader.number()?;
        Some((Epoch { generation, life }, vid, seq, reader))
    }

    /// The next number.
    pub fn number(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    /// The next yes or no.
    pub fn flag(&mut self) -> Option<bool> {
        self.take::<1>().map(|[flag]| flag == 1)
    }

    /// Whether everything was read.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.at == self.end
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let taken = self.bytes[..self.end].get(self.at..self.at + N)?.try_into().ok()?;
        self.at += N;
        Some(taken)
    }
}
