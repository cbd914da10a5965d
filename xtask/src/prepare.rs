//! Finds what a command needs and installs what is missing, saying so first; it starts no service.

mod install;
mod interop;
mod needs;

use anyhow::Result;

use crate::say;

pub(crate) use interop::Environment;
pub(crate) use needs::find;

/// What a command is going to do, and so what it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Build and run the services.
    Demo,
    /// That, a browser, and other people's token libraries.
    Test,
    /// That of the demo, and the references to measure against.
    Bench,
}

/// Installs what is missing for `purpose`.
pub(crate) fn system(purpose: Purpose) -> Result<()> {
    let missing = needs::missing(purpose);
    if missing.is_empty() {
        return Ok(());
    }
    let reasons: Vec<String> = missing.iter().map(|need| format!("{} ({})", need.what, need.why)).collect();
    say::step(&format!("missing here: {}", reasons.join(", ")));
    let mut packages: Vec<&str> = missing.iter().flat_map(|need| need.packages).copied().collect();
    packages.sort_unstable();
    packages.dedup();
    install::packages(&packages)?;
    let still: Vec<&str> = needs::missing(purpose).iter().map(|need| need.what).collect();
    anyhow::ensure!(still.is_empty(), "installed {}, and still missing: {}", packages.join(" "), still.join(", "));
    Ok(())
}

/// Installs rustfmt and clippy where rustup left them out.
pub(crate) fn rust_components() -> Result<()> {
    install::rust_components()
}

/// Fetches the token libraries of others and the accessibility scanner; says where they are.
pub(crate) fn interop() -> Result<Environment> {
    interop::fetch()
}
