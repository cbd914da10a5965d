//! What a child prints, line by line, bounded; it interprets nothing.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::error::{Error, Result};

/// Lines that are kept: enough for a failing test, bounded for a chatty server.
const KEPT_LINES: usize = 20_000;

/// Where a line was printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// The log of one child, filled by one thread per stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    lines: Arc<Mutex<VecDeque<(Stream, String)>>>,
    /// Streams that are still open: a log is whole only at 0.
    open: Arc<AtomicUsize>,
}

impl Log {
    /// Reads `source` to its end in a thread of its own.
    pub(super) fn follow(&self, source: impl Read + Send + 'static, stream: Stream) -> Result<()> {
        let log = self.clone();
        self.open.fetch_add(1, Ordering::SeqCst);
        let reader = move || {
            let mut source = BufReader::new(source);
            let mut line = Vec::new();
            while matches!(source.read_until(b'\n', &mut line), Ok(read) if read > 0) {
                log.push(stream, String::from_utf8_lossy(&line).trim_end().to_owned());
                line.clear();
            }
            log.open.fetch_sub(1, Ordering::SeqCst);
        };
        thread::Builder::new().name("testbed-log".to_owned()).spawn(reader).map_err(Error::io("starting a thread"))?;
        Ok(())
    }

    /// Whether both streams have come to their end.
    pub(super) fn closed(&self) -> bool {
        self.open.load(Ordering::SeqCst) == 0
    }

    /// The first line that contains `needle`.
    pub(super) fn find(&self, needle: &str) -> Option<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(|(_, line)| line).find(|line| line.contains(needle)).cloned()
    }

    /// All lines, or the last `limit`.
    pub(super) fn text(&self, limit: Option<usize>) -> String {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let skipped = lines.len().saturating_sub(limit.unwrap_or(usize::MAX));
        join(lines.iter().skip(skipped))
    }

    /// The lines of one stream.
    pub(super) fn of(&self, stream: Stream) -> String {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        join(lines.iter().filter(|(from, _)| *from == stream))
    }

    fn push(&self, stream: Stream, line: String) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == KEPT_LINES {
            lines.pop_front();
        }
        lines.push_back((stream, line));
    }
}

fn join<'a>(lines: impl Iterator<Item = &'a (Stream, String)>) -> String {
    lines.map(|(_, line)| line.as_str()).collect::<Vec<_>>().join("\n")
}
