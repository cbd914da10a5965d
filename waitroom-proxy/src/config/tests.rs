//! Files are real files in a folder of the test's own.

mod example;
mod keys;
mod merge;
mod mistakes;
mod reload;
mod warnings;

use std::fs::{Permissions, set_permissions, write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use tempfile::TempDir;

use super::{Config, Loaded, Problem, Report, Source};

/// A room with everything that is required, and nothing else.
const ROOM: &str = "[[rooms]]\nname = \"r\"\nupstreams = [\"127.0.0.1:9000\"]\n";

/// A folder with a config in it.
struct Folder(TempDir);

impl Folder {
    fn with(text: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.put("waitroom.toml", text.as_bytes(), 0o600);
        folder
    }

    fn put(&self, name: &str, bytes: &[u8], mode: u32) -> PathBuf {
        let path = self.0.path().join(name);
        write(&path, bytes).unwrap();
        set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    fn source(&self) -> Source {
        Source::file(self.0.path().join("waitroom.toml"))
    }

    fn report(&self) -> Report {
        self.source().report(&|_| Ok(Vec::new()))
    }

    fn load(&self) -> Loaded {
        self.source().load(&|_| Ok(Vec::new())).unwrap()
    }
}

fn config(text: &str) -> Config {
    Folder::with(text).load().config
}

fn mistakes(text: &str) -> Vec<Problem> {
    Folder::with(text).report().mistakes
}

/// `line: key: message` of each, for comparing without the folder's name.
fn lines(problems: &[Problem]) -> Vec<String> {
    let line = |p: &Problem| p.line.map(|l| l.to_string()).unwrap_or_default();
    problems.iter().map(|p| format!("{}: {}: {}", line(p), p.key, p.message)).collect()
}

/// Asserts that exactly one problem is there, at this line and key, and says this.
fn assert_one(problems: &[Problem], line: usize, key: &str, says: &str) {
    let [problem] = problems else { panic!("expected one about {key}: {:#?}", lines(problems)) };
    assert_eq!((problem.line, &*problem.key), (Some(line), key), "{:#?}", lines(problems));
    assert!(problem.message.contains(says), "{:?} does not say {says:?}", problem.message);
}
