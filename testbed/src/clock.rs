//! A wrong time of day for one program, by libfaketime: a pause still takes as long as it takes.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::scratch::Scratch;

/// Where Debian keeps the library.
const FOLDERS: [&str; 2] = ["/usr/lib/x86_64-linux-gnu/faketime", "/usr/lib/aarch64-linux-gnu/faketime"];

/// Preloaded behind it: an allocator that looks at the clock, such as jemalloc, cannot start before the library has,
/// which itself allocates; with the allocator of the C library in front of it there is no such circle.
const PLAIN_ALLOCATOR: &str = "libc.so.6";

/// A clock that can step. It must live as long as the program.
#[derive(Debug)]
pub struct Clock {
    library: PathBuf,
    /// Holds the file that says how far the clock is off.
    folder: Scratch,
}

impl Clock {
    /// A clock that is right.
    ///
    /// # Errors
    /// [`Error::Missing`] without libfaketime.
    pub fn new() -> Result<Self> {
        let library = FOLDERS.map(|folder| Path::new(folder).join("libfaketimeMT.so.1"));
        let library = library.into_iter().find(|library| library.is_file());
        let library = library.ok_or(Error::Missing { program: "libfaketime".to_owned(), package: "libfaketime" })?;
        let clock = Self { library, folder: Scratch::new("clock")? };
        clock.step_to(0)?;
        Ok(clock)
    }

    /// From now on it is off by so many seconds: ahead, or behind where they are negative.
    ///
    /// # Errors
    /// What the system says when the file cannot be written.
    pub fn step_to(&self, off_s: i64) -> Result<()> {
        // Never half written: the program reads it whenever it looks at the clock.
        let new = self.folder.path().join("new");
        fs::write(&new, format!("{off_s:+}\n")).map_err(Error::io("writing a clock"))?;
        fs::rename(new, self.file()).map_err(Error::io("stepping a clock"))
    }

    /// What a program needs in its environment in order to go by this clock.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, String); 4] {
        [
            ("LD_PRELOAD", format!("{} {PLAIN_ALLOCATOR}", self.library.display())),
            ("FAKETIME_TIMESTAMP_FILE", self.file().display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("off")
    }
}
