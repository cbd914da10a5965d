//! A seat map as it goes out: written and compressed once, for everybody. Pure: the times come in.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::time::Instant;

use super::SHOWN_FOR;
use crate::seat::{Seat, SeatState, Standing};

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

/// Versions only rise, so their sum never comes back; and as long as they stand still, holds only run out, so the
/// number that have tells the rest.
fn etag(seats: &[Seat], now_ms: i64) -> String {
    let versions: i64 = seats.iter().map(|seat| seat.version).sum();
    let ran_out = |seat: &&Seat| {
        matches!(seat.standing, Standing::HeldUntil(_)) && seat.standing.at(now_ms) == SeatState::Available
    };
    format!("{versions}-{}", seats.iter().filter(ran_out).count())
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
        assert_eq!((early.etag(), write(200).etag(), write(300).etag()), ("5-0", "5-1", "5-2"));
        assert_eq!(write(200).json(), &br#"["available","held"]"#[..]);
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&write(200).gzip()[..]).read_to_end(&mut plain).unwrap();
        assert_eq!(plain, write(200).json());
        assert!(write(300).shows(&seats, i64::MAX), "nothing runs any more");
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
