//! Temporary folders that are removed with their owner, or at the next start when the owner was killed.
//!
//! Each process has one folder, with a lock file that it holds as long as it
//! lives; the lock goes with the process however that ends. A folder whose lock
//! is free has no owner any more. Pid numbers would not do: containers may share
//! a `/tmp` and not their pids.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::account;
use crate::error::{Error, Result};

/// Others may pass through (postgres runs under an account of its own), and not look.
const MODE: u32 = 0o711;

/// A temporary folder; dropped, it is removed with all that is in it.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes an empty folder whose name starts with `kind`. Others may pass through it and not list it:
    /// files with secrets need a mode of their own.
    ///
    /// # Errors
    /// [`Error::Io`] when the system refuses, [`Error::ForeignScratch`] when another user was there first.
    pub fn new(kind: &str) -> Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = own_folder()?.join(format!("{kind}-{number}"));
        make(&path)?;
        Ok(Self { path })
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the sweep of a later start.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// This process's folder, and the lock on it.
struct Owned {
    path: PathBuf,
    _lock: File,
}

fn own_folder() -> Result<&'static Path> {
    static OWNED: OnceLock<Owned> = OnceLock::new();
    if let Some(owned) = OWNED.get() {
        return Ok(&owned.path);
    }
    // Two threads may both get here; the loser's folder is empty and unlocked, so a later sweep takes it.
    let owned = claim()?;
    Ok(&OWNED.get_or_init(|| owned).path)
}

fn claim() -> Result<Owned> {
    let base = base()?;
    // One at a time: else a sweep could take a folder that is made and not locked yet.
    let gate = lock_file(&base.join("sweep.lock"))?;
    gate.lock().map_err(Error::io("locking the folder for temporary files"))?;
    sweep(&base);
    let path = base.join(format!("{:016x}", rand::random::<u64>()));
    make(&path)?;
    let lock = lock_file(&path.join("owner.lock"))?;
    lock.lock().map_err(Error::io("locking a temporary folder"))?;
    Ok(Owned { path, _lock: lock })
}

/// The folder of all processes of this user.
fn base() -> Result<PathBuf> {
    let uid = account::own()?.uid;
    let path = std::env::temp_dir().join(format!("waitroom-testbed-{uid}"));
    match make(&path) {
        Err(Error::Io { cause, .. }) if cause.kind() == io::ErrorKind::AlreadyExists => {}
        other => other?,
    }
    let found = fs::symlink_metadata(&path).map_err(Error::io(format!("looking at {}", path.display())))?;
    // Anybody may make names in /tmp: one that another user made first is not to be trusted.
    if !found.is_dir() || found.uid() != uid {
        return Err(Error::ForeignScratch { path });
    }
    Ok(path)
}

fn sweep(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else { return };
    for folder in entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()) {
        let abandoned = match File::open(folder.join("owner.lock")) {
            Ok(lock) => lock.try_lock().is_ok(),
            Err(_) => true,
        };
        if abandoned {
            let _ = fs::remove_dir_all(&folder);
        }
    }
}

fn make(path: &Path) -> Result<()> {
    DirBuilder::new().mode(MODE).create(path).map_err(Error::io(format!("making {}", path.display())))
}

fn lock_file(path: &Path) -> Result<File> {
    File::create(path).map_err(Error::io(format!("making {}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_goes_with_its_owner_and_a_living_owner_keeps_his() {
        let scratch = Scratch::new("test").unwrap();
        let path = scratch.path().to_owned();
        fs::write(path.join("file"), "x").unwrap();
        sweep(&base().unwrap());
        assert!(path.join("file").exists(), "the sweep took a folder whose owner lives");
        drop(scratch);
        assert!(!path.exists());
    }

    #[test]
    fn a_folder_without_an_owner_is_swept() {
        let base = Scratch::new("base").unwrap();
        let orphan = base.path().join("orphan");
        make(&orphan).unwrap();
        drop(lock_file(&orphan.join("owner.lock")).unwrap());
        sweep(base.path());
        assert!(!orphan.exists());
    }
}
