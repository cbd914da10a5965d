//! Files that the config names: keys, tokens, templates.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::Checker;

/// Keys have a few hundred bytes, pages a few thousand.
const MAX_BYTES: u64 = 256 * 1024;

/// Permission bits of others.
const OTHERS: u32 = 0o007;

impl Checker<'_> {
    /// Reads a file that others had better not be able to read. A warning only: where secrets are mounted, as in
    /// containers, their mode is often not the operator's to choose.
    pub(super) fn secret_file(&mut self, key: &str, file: &str) -> Option<Vec<u8>> {
        let (path, bytes) = self.file(key, file)?;
        if std::fs::metadata(&path).is_ok_and(|metadata| metadata.permissions().mode() & OTHERS != 0) {
            let shown = path.display();
            self.warning(key, format!("{shown} is open to every user of this machine: run `chmod 600 {shown}`"));
        }
        Some(bytes)
    }

    /// Reads a file and remembers it for the watcher, also when it cannot be read: it may come.
    pub(super) fn file(&mut self, key: &str, file: &str) -> Option<(PathBuf, Vec<u8>)> {
        if file.is_empty() {
            self.mistake(key, "names no file: give its path");
            return None;
        }
        let path = self.folder.join(file);
        self.files.push(path.clone());
        let bytes = self.accept(key, read(&path))?;
        Some((path, bytes))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let shown = path.display();
    let metadata = std::fs::metadata(path).map_err(|error| format!("cannot read {shown}: {error}"))?;
    if !metadata.is_file() {
        // A pipe or a device could block for ever.
        return Err(format!("{shown} is not a regular file"));
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| format!("cannot read {shown}: {error}"))?;
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| format!("cannot read {shown}: {error}"))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("{shown} is larger than {MAX_BYTES} bytes"));
    }
    Ok(bytes)
}
