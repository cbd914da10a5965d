//! The external payment gateway: what it can be asked, and what it says. Knows neither the ledger nor our HTTP edge.
//!
//! Every call names the payment by our own id, so that asking twice does nothing twice. docs/GATEWAY.md has the words.

pub mod guarded;
pub mod http;
pub mod repair;

use async_trait::async_trait;
use uuid::Uuid;

/// What is to be authorised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Names the payment here and there.
    pub payment: Uuid,
    /// What is bought, for the statement that the buyer reads.
    pub reservation: Uuid,
    /// Who buys.
    pub user: i64,
    /// In the smallest unit.
    pub amount: i64,
    /// In which currency.
    pub currency: String,
    /// From where, as the gateway's own front end named it; `None`: the gateway knows the user's.
    pub source: Option<String>,
}

/// How a payment stands at the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The money is set aside.
    Authorised,
    /// It is not, and will not be under this id.
    Declined {
        /// A word for the buyer, such as `card-expired`.
        reason: String,
    },
    /// The money is taken.
    Captured,
    /// What was set aside was let go, or will never be set aside.
    Voided,
    /// What was taken was given back.
    Refunded,
}

/// Why the gateway gave no answer that can be used. Whether it did something is not known then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GatewayError {
    /// Not asked: it did not answer the last times.
    #[error("the gateway is left alone for a while")]
    Resting,
    /// No answer in time, no connection, or a failure of its own.
    #[error("the gateway does not answer: {0}")]
    Unavailable(String),
    /// It does not know us, or is not there where it was said to be: for the operator to put right.
    #[error("the gateway turns us away: {0}; see gateway.url and gateway.secret_file")]
    TurnedAway(String),
    /// An answer about this payment that is against docs/GATEWAY.md. Of other payments it says nothing.
    #[error("the gateway's answer can not be used: {0}")]
    Nonsense(String),
}

impl GatewayError {
    /// Whether the next call would fare no better, whosever payment it is about.
    pub fn is_everybodys(&self) -> bool {
        match self {
            Self::Resting | Self::Unavailable(_) | Self::TurnedAway(_) => true,
            Self::Nonsense(_) => false,
        }
    }
}

/// A payment gateway. Each call is idempotent for its payment.
#[async_trait]
pub trait Gateway: Send + Sync {
    /// Sets the money aside, or says that it was before.
    async fn authorise(&self, order: &Order) -> Result<Standing, GatewayError>;

    /// How a payment stands; `None`: it was never heard of.
    async fn ask(&self, payment: Uuid) -> Result<Option<Standing>, GatewayError>;

    /// Takes the money that was set aside. Says how the payment stands then, which need not be captured.
    async fn capture(&self, payment: Uuid) -> Result<Standing, GatewayError>;

    /// Lets go what was set aside; of a payment never heard of, sees to it that it never will be.
    async fn void(&self, payment: Uuid) -> Result<Standing, GatewayError>;

    /// Gives back what was taken.
    async fn refund(&self, payment: Uuid) -> Result<Standing, GatewayError>;

    /// Whether there is no use in asking at this moment.
    fn is_resting(&self) -> bool {
        false
    }
}
