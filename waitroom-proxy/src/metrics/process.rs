//! Memory and open files of this process, under the names that dashboards know. Linux only; zero elsewhere.

use prometheus::IntGauge;

use super::families::Maker;

pub(super) struct ProcessMetrics {
    resident_bytes: IntGauge,
    open_files: IntGauge,
}

impl ProcessMetrics {
    pub(super) fn new(make: &Maker<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            resident_bytes: make.gauge("process_resident_memory_bytes", "Resident memory of the process.")?,
            open_files: make.gauge("process_open_fds", "Open file descriptors of the process.")?,
        })
    }

    /// Reads `/proc`; what cannot be read stays as it was.
    pub(super) fn refresh(&self) {
        if let Some(kib) = std::fs::read_to_string("/proc/self/status").ok().and_then(|status| resident_kib(&status)) {
            self.resident_bytes.set(kib.saturating_mul(1024));
        }
        if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
            self.open_files.set(i64::try_from(files.count()).unwrap_or(i64::MAX));
        }
    }
}

fn resident_kib(status: &str) -> Option<i64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}
