//! Gzip streams put together from ready-made pieces: nothing is compressed when a page is asked for.
//!
//! A stream is a row of deflate blocks. Fixed text was compressed once, by itself, and ends with a sync
//! flush, so that it stops at a byte boundary and refers to nothing before it; what differs from visitor
//! to visitor stands in between in *stored* blocks (RFC 1951, 3.2.4). Only the checksum is left to do.

use crc32fast::Hasher;
use flate2::{Compress, Compression, FlushCompress, Status};

/// Magic, method deflate, no flags, no time, best compression, unknown system (RFC 1952, 2.3).
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255];
/// A last, empty block with fixed codes.
const LAST_BLOCK: [u8; 2] = [3, 0];
/// Type "stored", not the last; the length follows.
const STORED_HEAD: usize = 5;
/// What the length field of a stored block can say.
const STORED_MAX: usize = 65_535;
/// Header, last block, checksum and length.
const FRAME: usize = HEADER.len() + LAST_BLOCK.len() + 8;

/// Text that never changes, with everything about it worked out beforehand.
#[derive(Debug)]
pub(super) struct Chunk {
    raw: Box<[u8]>,
    /// `None` where compressing does not pay.
    deflated: Option<Box<[u8]>>,
    crc: u32,
    shift: Shift,
}

impl Chunk {
    pub(super) fn new(text: &str) -> Self {
        let raw: Box<[u8]> = text.as_bytes().into();
        let deflated = deflate(&raw, FlushCompress::Sync).filter(|packed| packed.len() < raw.len() + STORED_HEAD);
        let crc = crc32fast::hash(&raw);
        let shift = Shift::over(raw.len());
        Self { deflated: deflated.map(Into::into), crc, shift, raw }
    }

    pub(super) fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// Bytes this takes in a gzip stream, at most.
    pub(super) fn gzip_len(&self) -> usize {
        self.deflated.as_ref().map_or(self.raw.len() + STORED_HEAD, |packed| packed.len())
    }
}

/// The checksum of `a ‖ b` is `shift_b(crc a) ^ crc b`, and `shift_b` is linear: 32 columns say it all.
///
/// Kept for each chunk, because working it out from the length (`Hasher::combine`) takes longer than
/// everything else about a page.
#[derive(Debug)]
struct Shift([u32; 32]);

impl Shift {
    fn over(len: usize) -> Self {
        let nothing = Hasher::new_with_initial_len(0, len as u64);
        Self(std::array::from_fn(|bit| {
            let mut hasher = Hasher::new_with_initial(1 << bit);
            hasher.combine(&nothing);
            hasher.finalize()
        }))
    }

    fn apply(&self, crc: u32) -> u32 {
        // No branch: bits of a checksum are coin flips, which no predictor learns.
        self.0.iter().enumerate().fold(0, |sum, (bit, column)| sum ^ (column & 0u32.wrapping_sub(crc >> bit & 1)))
    }
}

/// A gzip stream while it grows.
pub(super) struct Stream {
    out: Vec<u8>,
    crc: u32,
    /// Modulo 2³², as the trailer wants it.
    len: u32,
    /// Where the stored block begins that can still grow.
    open: Option<usize>,
}

impl Stream {
    /// `capacity`: what chunks and stored bytes will take.
    pub(super) fn with_capacity(capacity: usize) -> Self {
        let mut out = Vec::with_capacity(capacity + FRAME);
        out.extend_from_slice(&HEADER);
        Self { out, crc: 0, len: 0, open: None }
    }

    pub(super) fn push_chunk(&mut self, chunk: &Chunk) {
        match &chunk.deflated {
            Some(deflated) => {
                self.close_block();
                self.out.extend_from_slice(deflated);
            }
            None => self.store(&chunk.raw),
        }
        self.crc = chunk.shift.apply(self.crc) ^ chunk.crc;
        self.count(chunk.raw.len());
    }

    pub(super) fn push_raw(&mut self, bytes: &[u8]) {
        self.store(bytes);
        let mut hasher = Hasher::new_with_initial(self.crc);
        hasher.update(bytes);
        self.crc = hasher.finalize();
        self.count(bytes.len());
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.close_block();
        self.out.extend_from_slice(&LAST_BLOCK);
        self.out.extend_from_slice(&self.crc.to_le_bytes());
        self.out.extend_from_slice(&self.len.to_le_bytes());
        self.out
    }

    /// Appends to the open stored block, or opens one.
    fn store(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let start = self.open.unwrap_or_else(|| {
                let start = self.out.len();
                self.out.extend_from_slice(&[0; STORED_HEAD]);
                start
            });
            self.open = Some(start);
            let room = STORED_MAX - (self.out.len() - start - STORED_HEAD);
            let (now, later) = bytes.split_at(bytes.len().min(room));
            self.out.extend_from_slice(now);
            if !later.is_empty() {
                self.close_block();
            }
            bytes = later;
        }
    }

    fn close_block(&mut self) {
        let Some(start) = self.open.take() else { return };
        let len = self.out.len() - start - STORED_HEAD;
        // `store` keeps a block within STORED_MAX.
        let [low, high, ..] = len.to_le_bytes();
        self.out[start + 1..start + STORED_HEAD].copy_from_slice(&[low, high, !low, !high]);
    }

    fn count(&mut self, len: usize) {
        #[expect(clippy::cast_possible_truncation, reason = "the trailer holds the length modulo 2^32")]
        let len = len as u32;
        self.len = self.len.wrapping_add(len);
    }
}

/// A whole stream in one go, as small as it gets. For pages that are the same for everybody.
pub(super) fn whole(bytes: &[u8]) -> Vec<u8> {
    let Some(deflated) = deflate(bytes, FlushCompress::Finish) else {
        let mut stream = Stream::with_capacity(bytes.len() + STORED_HEAD);
        stream.push_raw(bytes);
        return stream.finish();
    };
    let mut out = Vec::with_capacity(deflated.len() + FRAME);
    out.extend_from_slice(&HEADER);
    out.extend_from_slice(&deflated);
    let mut hasher = Hasher::new();
    hasher.update(bytes);
    out.extend_from_slice(&hasher.finalize().to_le_bytes());
    #[expect(clippy::cast_possible_truncation, reason = "the trailer holds the length modulo 2^32")]
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out
}

/// Raw deflate at the best level. `None` if it did not come to an end, and the caller stores instead.
fn deflate(bytes: &[u8], flush: FlushCompress) -> Option<Vec<u8>> {
    let mut compress = Compress::new(Compression::best(), false);
    // Room for the worst case, so that one call does it: it grows by 5 bytes for every 16 KiB at most.
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 1_000 + 64);
    let status = compress.compress_vec(bytes, &mut out, flush).ok()?;
    let ended = match flush {
        FlushCompress::Finish => status == Status::StreamEnd,
        _ => status == Status::Ok && out.len() < out.capacity(),
    };
    (ended && compress.total_in() == bytes.len() as u64).then_some(out)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::*;

    fn gunzip(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        flate2::read::GzDecoder::new(bytes).read_to_end(&mut out).unwrap();
        out
    }

    proptest! {
        #[test]
        fn any_row_of_pieces_decodes_to_their_sum(pieces in prop::collection::vec((any::<bool>(), ".{0,300}", 1usize..40), 0..12)) {
            let mut stream = Stream::with_capacity(0);
            let mut sum = Vec::new();
            for (fixed, text, times) in pieces {
                let text = text.repeat(times);
                if fixed { stream.push_chunk(&Chunk::new(&text)) } else { stream.push_raw(text.as_bytes()) }
                sum.extend_from_slice(text.as_bytes());
            }
            prop_assert_eq!(gunzip(&stream.finish()), sum);
        }
    }

    #[test]
    fn stored_blocks_split_where_their_length_field_ends() {
        for len in [0, 1, STORED_MAX - 1, STORED_MAX, STORED_MAX + 1, 3 * STORED_MAX + 7] {
            let bytes: Vec<u8> = (0..len).map(|byte| (byte % 251) as u8).collect();
            let mut stream = Stream::with_capacity(len);
            stream.push_raw(b"before");
            stream.push_raw(&bytes);
            stream.push_chunk(&Chunk::new("after after after after after"));
            let decoded = gunzip(&stream.finish());
            assert_eq!(decoded.len(), len + 35);
            assert_eq!(&decoded[6..len + 6], bytes);
        }
    }

    #[test]
    fn whole_decodes_to_what_went_in() {
        let text = "waiting ".repeat(5_000);
        let packed = whole(text.as_bytes());
        assert!(packed.len() < 300);
        assert_eq!(gunzip(&packed), text.as_bytes());
        assert_eq!(gunzip(&whole(b"")), b"");
    }
}
