//! What each visitor saw, one JSON line a visitor. Kept only when asked for: it is the one thing that grows.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
    sync::{Mutex, PoisonError},
};

use serde::Serialize;

use crate::contract::QueueState;

/// One thing that a visitor saw. Times are milliseconds since the run began.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Seen {
    /// When.
    pub at_ms: u64,
    /// Which request it was an answer to.
    pub what: &'static str,
    /// Its status; absent when there was no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Where the visitor stood.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<QueueState>,
    /// The ticket's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// The place in line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
}

/// The file.
pub struct History {
    state: Mutex<State>,
}

struct State {
    file: BufWriter<File>,
    /// The first error; later lines are not tried.
    error: Option<io::Error>,
}

impl History {
    /// Makes the file, before the run.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { state: Mutex::new(State { file: BufWriter::new(File::create(path)?), error: None }) })
    }

    /// Adds a visitor's line.
    pub fn add(&self, line: &impl Serialize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.error.is_none() {
            let written = serde_json::to_writer(&mut state.file, line).map_err(io::Error::from);
            state.error = written.and_then(|()| state.file.write_all(b"\n")).err();
        }
    }

    /// Writes the rest out, and reports what went wrong on the way.
    pub fn finish(&self) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.error.take() {
            Some(error) => Err(error),
            None => state.file.flush(),
        }
    }
}
