//! Where the relay brings events: the consumers of this process, or a broker.

use async_trait::async_trait;

use super::task::TaskError;
use crate::event::Event;

/// Takes events over.
#[async_trait]
pub trait Sink: Send + Sync + 'static {
    /// Returns once all of them are safe there, in this order for each key. After a failure some may be there and
    /// some not: they come again, so whoever reads them has to drop repeats by their id.
    async fn publish(&self, events: &[Event]) -> Result<(), TaskError>;
}
