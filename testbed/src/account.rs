//! Which account servers run under: Postgres refuses to run as root.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::error::{Error, Result};

/// A user and group of the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    /// Numeric user id.
    pub(crate) uid: u32,
    /// Numeric group id.
    pub(crate) gid: u32,
}

/// The account of this process.
pub(crate) fn own() -> Result<Account> {
    let me = fs::metadata("/proc/self").map_err(Error::io("reading /proc/self"))?;
    Ok(Account { uid: me.uid(), gid: me.gid() })
}

/// The account for Postgres when this process is root; `None` when it may run as oneself.
pub(crate) fn for_postgres() -> Result<Option<Account>> {
    if own()?.uid != 0 {
        return Ok(None);
    }
    let passwd = fs::read_to_string("/etc/passwd").map_err(Error::io("reading /etc/passwd"))?;
    let account = find(&passwd, "postgres").ok_or(Error::Missing {
        program: "the user postgres (the database refuses to run as root)".to_owned(),
        package: "postgresql",
    })?;
    Ok(Some(account))
}

/// Gives `path` to `account`.
pub(crate) fn give(path: &Path, account: Account) -> Result<()> {
    std::os::unix::fs::chown(path, Some(account.uid), Some(account.gid))
        .map_err(Error::io(format!("changing the owner of {}", path.display())))
}

fn find(passwd: &str, name: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        let (uid, gid) = (fields.nth(1)?, fields.next()?);
        Some(Account { uid: uid.parse().ok()?, gid: gid.parse().ok()? })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        let passwd = "postgres2:x:7:8::/:/bin/sh\npostgres:x:101:103:admin:/var/lib/postgresql:/bin/bash\nshort\n";
        assert_eq!(find(passwd, "postgres"), Some(Account { uid: 101, gid: 103 }));
        assert_eq!(find(passwd, "nobody"), None);
    }
}
