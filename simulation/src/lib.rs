//! The queue on a clock of its own: the code that serves visitors, with the embedded store, without a socket.
//!
//! [`check`] plays nodes, visitors and faults from a seed and looks for a broken invariant; [`plan`] plays one big
//! sale and tells what it needs; [`estimates`] counts how often the estimates that visitors see are right. Nothing
//! here tells the queue again: whatever decides is the code of `waitroom-proxy`.

mod chance;
pub mod check;
pub mod estimates;
pub mod plan;

use waitroom_proxy::store::RoomName;

/// The one room of every run.
fn room_name() -> RoomName {
    // Sixty-four plain letters at most are a name.
    RoomName::new("concert").unwrap_or_else(|| unreachable!("a plain word is a room's name"))
}
