//! The dispatch worker: signs a ticket for every reservation as soon as there is one.

use uuid::Uuid;

use crate::event::Event;
use crate::ledger::{Ledger, LedgerError};
use crate::ticket::TicketKey;

/// Issues tickets signed with one key.
pub struct Dispatch {
    key: TicketKey,
}

impl Dispatch {
    /// With this key.
    pub fn new(key: TicketKey) -> Self {
        Self { key }
    }

    /// Issues what is not issued yet; says how many were. Not for reservations that were cancelled by now.
    pub(super) async fn take(&self, ledger: &Ledger, events: &[Event]) -> Result<i64, LedgerError> {
        let reservations: Option<Vec<Uuid>> =
            events.iter().map(|event| Uuid::parse_str(event.payload["reservation_id"].as_str()?).ok()).collect();
        let reservations = reservations.ok_or_else(|| LedgerError::Broken("no reservation is named".to_owned()))?;
        let (mut ids, mut tokens) = (Vec::new(), Vec::new());
        for admits in ledger.admits(None, &reservations).await? {
            if admits.token.is_none() && !admits.cancelled {
                tokens.push(self.key.sign(&admits).map_err(|error| LedgerError::Broken(error.to_string()))?);
                ids.push(admits.reservation_id);
            }
        }
        if ids.is_empty() { Ok(0) } else { ledger.issue_tickets(&ids, &tokens).await }
    }
}
