//! A bitmap in the byte order Redis keeps: bit 0 is the most significant of byte 0. Grows as bits are set.

/// Bits counted from the room's `base`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bits {
    bytes: Vec<u8>,
}

impl Bits {
    pub(super) fn get(&self, bit: u64) -> bool {
        self.bytes.get((bit / 8) as usize).is_some_and(|byte| byte & mask(bit) != 0)
    }

    pub(super) fn set(&mut self, bit: u64) {
        let at = (bit / 8) as usize;
        if at >= self.bytes.len() {
            self.bytes.resize(at + 1, 0);
        }
        self.bytes[at] |= mask(bit);
    }

    pub(super) fn unset(&mut self, bit: u64) {
        if let Some(byte) = self.bytes.get_mut((bit / 8) as usize) {
            *byte &= !mask(bit);
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Forgets the first `count` bytes; what follows moves to the front.
    pub(super) fn drop_front(&mut self, count: u64) {
        let count = usize::try_from(count).map_or(self.bytes.len(), |count| count.min(self.bytes.len()));
        self.bytes.drain(..count);
        self.bytes.shrink_to_fit();
    }

    /// The bytes from `offset` on, without the zeros at the end.
    pub(super) fn tail(&self, offset: u64) -> Vec<u8> {
        let from = usize::try_from(offset).map_or(self.bytes.len(), |offset| offset.min(self.bytes.len()));
        without_trailing_zeros(&self.bytes[from..]).to_vec()
    }
}

/// The set bits of some bytes, as numbers from 0.
pub(super) fn set_bits(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    bytes
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte != 0)
        .flat_map(|(at, byte)| (0..8).map(move |bit| (at as u64 * 8 + bit, *byte)))
        .filter(|(bit, byte)| byte & mask(*bit) != 0)
        .map(|(bit, _)| bit)
}

/// Zeros at the end say nothing.
pub(super) fn without_trailing_zeros(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
    &bytes[..end]
}

fn mask(bit: u64) -> u8 {
    0x80 >> (bit % 8)
}
