//! What all visitors of a run share.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};

use crate::{accounts::Accounts, audit::Audit, history::History, site::Site, tally::Tally};

/// How visitors behave.
#[derive(Debug, Clone)]
pub struct Habits {
    /// The page they come for.
    pub entry: String,
    /// What stands before the paths of the reservation API, without a slash at the end.
    pub api: String,
    /// The share that means to buy.
    pub buy_ratio: f64,
    /// Mean time between two steps on the site.
    pub think: Duration,
    /// Who has waited this long gives up.
    pub patience: Duration,
    /// For the choices of visitors.
    pub seed: u64,
}

/// Shared by all visitors of a run.
pub struct World {
    /// The site, through its waiting room.
    pub site: Site,
    /// The reservation service itself, for looking at wallets, where that is possible.
    pub audit_site: Option<Site>,
    /// How visitors behave.
    pub habits: Habits,
    /// For whom they buy; without, they only look.
    pub accounts: Option<Accounts>,
    /// The counters.
    pub tally: Arc<Tally>,
    /// What must hold.
    pub audit: Audit,
    /// What each visitor saw.
    pub history: Option<History>,
    /// When the run began.
    pub started: Instant,
    /// In every idempotency key: keys of an earlier run are kept by the service for a day.
    pub run_id: u64,
    /// Becomes true when the run is to end early.
    pub stop: watch::Receiver<bool>,
}

impl World {
    /// Time since the run began.
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Sleeps; false when the run is to end early.
    pub async fn sleep(&self, time: Duration) -> bool {
        let mut stop = self.stop.clone();
        tokio::select! {
            () = tokio::time::sleep(time) => true,
            // An error means that the run is over.
            _ = stop.wait_for(|stop| *stop) => false,
        }
    }
}
