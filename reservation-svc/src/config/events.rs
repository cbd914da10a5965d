//! `[events]`: the worker and what it does with events.

use std::net::SocketAddr;

use super::reader::Reader;

/// What the worker is to do.
#[derive(Debug, Clone)]
pub struct EventsSettings {
    /// Where the worker's health and metrics are.
    pub admin_listen: SocketAddr,
}

/// Reads the section.
pub(super) fn events(reader: &mut Reader) -> EventsSettings {
    EventsSettings { admin_listen: reader.address("events.admin_listen", "127.0.0.1:9092") }
}
