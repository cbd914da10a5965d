//! Tells when the config's files have other contents. Editors and deployments replace files, so the
//! *folders* are watched; touching a file, or saving it unchanged, does nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use notify::{EventKind, RecursiveMode, Watcher as _};
use ring::digest::{SHA256, digest};

/// An editor's write, rename and chmod come within this time; contents are looked at after it.
const QUIET: Duration = Duration::from_millis(100);

/// Watches until it is dropped.
pub struct ConfigWatcher {
    /// Dropping it closes the channel, which ends the thread.
    _watcher: notify::RecommendedWatcher,
}

/// Files and what was in them at the last look.
pub(super) struct Watched {
    files: Vec<PathBuf>,
    /// Digests; `None` for a file that could not be read.
    last: Vec<Option<Vec<u8>>>,
}

/// Why the files cannot be watched.
#[derive(Debug, thiserror::Error)]
#[error("cannot watch {}: {source}", folder.display())]
pub struct WatchError {
    folder: PathBuf,
    source: notify::Error,
}

impl ConfigWatcher {
    /// Calls `changed` (on a thread of its own, never twice at once) whenever the contents of `files` are
    /// no longer what they were at the last call. A file that is missing for a moment counts as unchanged
    /// only if it comes back within the quiet time.
    ///
    /// # Errors
    /// A folder cannot be watched: missing, or the system's limit is reached.
    pub fn start(files: &[PathBuf], changed: impl Fn() + Send + 'static) -> Result<Self, WatchError> {
        let (sender, events) = sync_channel(1);
        // Also where links lead to: there a file is changed in place.
        let targets = files.iter().filter_map(|file| file.canonicalize().ok());
        let folders: BTreeSet<PathBuf> =
            targets.map(|file| folder(&file)).chain(files.iter().map(|f| folder(f))).collect();
        let any = || folders.iter().next().cloned().unwrap_or_default();
        let mut watcher = notify::recommended_watcher(move |event| on_event(&sender, event))
            .map_err(|source| WatchError { folder: any(), source })?;
        for folder in &folders {
            let watched = watcher.watch(folder, RecursiveMode::NonRecursive);
            watched.map_err(|source| WatchError { folder: folder.clone(), source })?;
        }
        let mut watched = Watched::new(files);
        std::thread::Builder::new()
            .name("config-watch".to_owned())
            .spawn(move || {
                while wait_for_quiet(&events) {
                    if watched.changed() {
                        changed();
                    }
                }
            })
            .map_err(|error| WatchError { folder: any(), source: notify::Error::io(error) })?;
        Ok(Self { _watcher: watcher })
    }
}

fn folder(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn on_event(sender: &SyncSender<()>, event: notify::Result<notify::Event>) {
    // Our own reading makes access events: they must not keep us awake.
    if matches!(event, Ok(event) if matches!(event.kind, EventKind::Access(_))) {
        return;
    }
    match sender.try_send(()) {
        // Full: a look at the contents is due anyway.
        Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
    }
}

/// Waits for an event, then until no more come. `false`: the watcher was dropped.
fn wait_for_quiet(events: &Receiver<()>) -> bool {
    if events.recv().is_err() {
        return false;
    }
    loop {
        match events.recv_timeout(QUIET) {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout) => return true,
            Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
}

impl Watched {
    pub(super) fn new(files: &[PathBuf]) -> Self {
        let mut watched = Self { files: files.to_vec(), last: Vec::new() };
        watched.changed();
        watched
    }

    /// Whether the contents are others than at the last look.
    pub(super) fn changed(&mut self) -> bool {
        let digest_of =
            |file: &PathBuf| std::fs::read(file).ok().map(|bytes| digest(&SHA256, &bytes).as_ref().to_vec());
        let now: Vec<_> = self.files.iter().map(digest_of).collect();
        let changed = now != self.last;
        self.last = now;
        changed
    }
}
