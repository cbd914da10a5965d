//! Why the store gave no answer, or must not be started with.

use super::Epoch;

/// Why the store gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The room's state is gone, or this node has connected anew and may have missed a loss: call
    /// [`recover`](super::QueueStore::recover).
    #[error("the store may have lost the room's state: it has to be recovered")]
    Lost,
    /// The store is of another epoch: adopt it, or recover when this node knows more.
    #[error("the room is of another epoch: generation {}, life {}", .0.generation, .0.life)]
    Superseded(Epoch),
    /// The store refused the call before any write; a bug of the caller, or a ticket out of range.
    #[error("the store refused the call: {0}")]
    Refused(String),
    /// No answer in time, or no connection.
    #[error("the store does not answer: {0}")]
    Unavailable(String),
}

/// Why a store must not be started with.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CheckError {
    /// It does not answer now; it may later.
    #[error("{0}")]
    Down(String),
    /// It answers, and would lose queues or refuse writes until somebody changes its settings.
    #[error("{0}")]
    Unfit(String),
}

impl StoreError {
    /// The sentence of [`StoreError::Refused`] and [`StoreError::Unavailable`] by itself; otherwise the whole message.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::Refused(reason) | Self::Unavailable(reason) => reason.clone(),
            Self::Lost | Self::Superseded(_) => self.to_string(),
        }
    }
}
