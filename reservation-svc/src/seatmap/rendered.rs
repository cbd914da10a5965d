//! A seat map as it goes out: written and compressed once, for everybody. Pure: the times come in.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use ring::digest;
use tokio::time::Instant;

use super::SHOWN_FOR;
use crate::seat::{Seat, Standing};

/// Writes the seats as they are at a time (ms since 1970), as JSON.
pub type Render = fn(&[Seat], i64) -> Result<Vec<u8>, serde_json::Error>;

/// One state of one schedule's map.
#[derive(Debug)]
pub struct Rendered {
    /// Redis's; none when it is not there too, and then it is shown to nobody else.
    revision: Option<String>,
    seats: Arc<Vec<Seat>>,
    /// It has in it what was committed before this.
    since: Instant,
    /// From when on it is another because a hold runs out, ms since 1970.
    changes_at_ms: Option<i64>,
    etag: Arc<str>,
    json: Bytes,
    gzip: Bytes,
}

impl Rendered {
    /// Writes a map out as it is at `now_ms`.
    pub(super) fn write(
        revision: Option<String>,
        seats: Arc<Vec<Seat>>,
        since: Instant,
        now_ms: i64,
        render: Render,
    ) -> Result<Self, std::io::Error> {
        let json = render(&seats, now_ms)?;
        // The fastest level: a map lives for a moment, and the levels above it save a tenth.
        let mut gzip = GzEncoder::new(Vec::with_capacity(json.len() / 8), Compression::fast());
        gzip.write_all(&json)?;
        let gzip = gzip.finish()?.into();
        let (etag, changes_at_ms) = (etag(&seats, now_ms).into(), next_change(&seats, now_ms));
        Ok(Self { revision, seats, since, changes_at_ms, etag, json: json.into(), gzip })
    }

    /// The same map, found to be still so.
    pub(super) fn again(&self, revision: Option<String>, since: Instant) -> Self {
        Self {
            revision,
            since,
            seats: Arc::clone(&self.seats),
            changes_at_ms: self.changes_at_ms,
            etag: Arc::clone(&self.etag),
            json: self.json.clone(),
            gzip: self.gzip.clone(),
        }
    }

    /// Whether it may be shown at `now_ms` without asking anybody.
    pub(super) fn counts(&self, now_ms: i64) -> bool {
        self.revision.is_some() && self.since.elapsed() < SHOWN_FOR && !self.is_over(now_ms)
    }

    /// Whether it is what these seats look like at `now_ms`.
    pub(super) fn shows(&self, seats: &Arc<Vec<Seat>>, now_ms: i64) -> bool {
        !self.is_over(now_ms) && (Arc::ptr_eq(&self.seats, seats) || self.seats == *seats)
    }

    fn is_over(&self, now_ms: i64) -> bool {
        self.changes_at_ms.is_some_and(|at_ms| at_ms <= now_ms)
    }

    pub(super) fn revision(&self) -> Option<&str> {
        self.revision.as_deref()
    }

    pub(super) fn seats(&self) -> &Arc<Vec<Seat>> {
        &self.seats
    }

    /// Names this state, without the schedule and the quotes.
    pub fn etag(&self) -> &str {
        &self.etag
    }

    /// The body.
    pub fn json(&self) -> Bytes {
        self.json.clone()
    }

    /// The body, compressed.
    pub fn gzip(&self) -> Bytes {
        self.gzip.clone()
    }
}

/// A digest of what a buyer sees of each seat. A sum would be the same for two readings of which one has seen one change
/// and the other another.
fn etag(seats: &[Seat], now_ms: i64) -> String {
    let mut digest = digest::Context::new(&digest::SHA256);
    for seat in seats {
        digest.update(seat.seat.as_bytes());
        digest.update(b":");
        digest.update(&seat.version.to_be_bytes());
        digest.update(seat.standing.at(now_ms).as_str().as_bytes());
        digest.update(&seat.price.to_be_bytes());
        digest.update(seat.section.as_bytes());
        digest.update(b"\n");
    }
    short_hex(digest.finish().as_ref())
}

/// 96 bits of a digest, as an ETag has them.
pub(crate) fn short_hex(digest: &[u8]) -> String {
    digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect()
}

/// When the first hold that still runs will have run out.
fn next_change(seats: &[Seat], now_ms: i64) -> Option<i64> {
    let ends = seats.iter().filter_map(|seat| match seat.standing {
        Standing::HeldUntil(until_ms) if until_ms > now_ms => Some(until_ms),
        _ => None,
    });
    ends.min()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn seat(version: i64, standing: Standing) -> Seat {
        Seat { seat: format!("A-{version}"), section: "R".to_owned(), price: 1, version, standing }
    }

    fn render(seats: &[Seat], now_ms: i64) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(&seats.iter().map(|seat| seat.standing.at(now_ms).as_str()).collect::<Vec<_>>())
    }

    #[tokio::test]
    async fn a_map_is_another_when_a_hold_runs_out() {
        let seats = Arc::new(vec![seat(3, Standing::HeldUntil(200)), seat(2, Standing::HeldUntil(300))]);
        let write = |now_ms| Rendered::write(None, Arc::clone(&seats), Instant::now(), now_ms, render).unwrap();
        let early = write(100);
        assert!(early.shows(&seats, 199) && !early.shows(&seats, 200));
        assert_eq!(early.etag(), write(199).etag());
        assert!(early.etag() != write(200).etag() && write(200).etag() != write(300).etag());
        assert_eq!(write(200).json(), &br#"["available","held"]"#[..]);
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&write(200).gzip()[..]).read_to_end(&mut plain).unwrap();
        assert_eq!(plain, write(200).json());
        assert!(write(300).shows(&seats, i64::MAX), "nothing runs any more");
    }

    #[test]
    fn two_readings_of_which_each_has_seen_another_change_have_two_etags() {
        let map = |one: i64, other: i64| {
            let seat = |name: &str, version| Seat {
                seat: name.to_owned(),
                standing: if version > 1 { Standing::Sold } else { Standing::Free },
                ..seat(version, Standing::Free)
            };
            etag(&[seat("A-1", one), seat("A-2", other)], 0)
        };
        assert_ne!(map(1, 2), map(2, 1));
        assert_eq!(map(2, 2), map(2, 2));
        let held = |until_ms| etag(&[seat(2, Standing::HeldUntil(until_ms))], 100);
        assert_eq!(held(200), held(300), "until when a seat is held, nobody sees");
    }

    #[tokio::test(start_paused = true)]
    async fn a_map_that_only_this_process_has_is_not_shown_again() {
        let seats = Arc::new(vec![seat(1, Standing::Free)]);
        let write = |revision: Option<&str>| {
            Rendered::write(revision.map(str::to_owned), Arc::clone(&seats), Instant::now(), 0, render).unwrap()
        };
        assert!(!write(None).counts(0));
        let shared = write(Some("1"));
        assert!(shared.counts(0));
        tokio::time::advance(SHOWN_FOR).await;
        assert!(!shared.counts(0));
    }
}
