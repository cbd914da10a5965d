//! Where programs of Debian packages are found; it installs nothing.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Where the system's own programs are even when `PATH` is short, as in cron jobs and containers.
const SYSTEM_FOLDERS: [&str; 4] = ["/usr/local/bin", "/usr/bin", "/usr/sbin", "/bin"];

/// Debian keeps the server programs of each Postgres version in a folder of its own, outside `PATH`.
const POSTGRES_FOLDER: &str = "/usr/lib/postgresql";

/// The full path of `program`.
pub(crate) fn find(program: &str, package: &'static str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    in_folders(program, &path).ok_or_else(|| Error::Missing { program: program.to_owned(), package })
}

/// The full path of a program of the newest installed Postgres.
pub(crate) fn find_postgres(program: &str) -> Result<PathBuf> {
    newest(Path::new(POSTGRES_FOLDER))
        .into_iter()
        .map(|version| version.join("bin").join(program))
        .find(|candidate| candidate.is_file())
        .map_or_else(|| find(program, "postgresql"), Ok)
}

fn in_folders(program: &str, path: &OsStr) -> Option<PathBuf> {
    env::split_paths(path)
        .chain(SYSTEM_FOLDERS.iter().map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

/// The version folders, newest first, compared as numbers: 9 is older than 15.
fn newest(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut versions: Vec<(u32, PathBuf)> =
        entries.flatten().filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path()))).collect();
    versions.sort_by_key(|version| std::cmp::Reverse(version.0));
    versions.into_iter().map(|(_, path)| path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_names_its_package() {
        let error = find("no-such-program", "some-package").unwrap_err().to_string();
        assert!(error.contains("no-such-program") && error.contains("apt-get install some-package"), "{error}");
    }

    #[test]
    fn a_program_outside_of_a_short_path_is_found() {
        assert_eq!(in_folders("env", OsStr::new("/nowhere")), Some(PathBuf::from("/usr/bin/env")));
    }
}
