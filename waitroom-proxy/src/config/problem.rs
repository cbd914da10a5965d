//! One mistake (or doubt) in the config, in words for the person who wrote it.

use std::fmt;

/// What is wrong, where, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where the value came from: a file's path, `environment WAITROOM_…` or `flag --…`.
    pub source: String,
    /// Line in the file, from 1; `None` when the value did not come from a file.
    pub line: Option<usize>,
    /// The key, as in `rooms[0].rate_per_s`; empty when the whole file is meant.
    pub key: String,
    /// One sentence or two: what is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)
    }
}
