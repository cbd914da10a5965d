//! The relay: brings what is in the outbox to the sink, in order for each schedule, at least once. A lane whose events
//! can not be brought on is left alone for a while, so that the others go on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use prometheus::IntCounterVec;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::lanes::Lanes;
use super::sink::Sink;
use super::task::{Ran, Task, TaskError};
use crate::ledger::Ledger;
use crate::ledger::outbox::{Batch, Taken};

/// Events in one transaction. Large enough that its round trips do not count, small enough for a second.
const BATCH: i64 = 1_000;

/// From here on writers are better off without ringing.
const BUSY: usize = 50;

/// How long the sink may take for a batch. Below the database's limit for idle transactions (5 s), after which the
/// lane would be somebody else's.
const PUBLISH_LIMIT: Duration = Duration::from_secs(4);

/// The longest that an event waits when nobody rang for it: it was committed in the moment of falling asleep, or the
/// connection that listens was gone.
const PERIOD: Duration = Duration::from_secs(1);

/// After a connection that listens was lost.
const LISTEN_PAUSE: Duration = Duration::from_secs(1);

/// Outbox to sink.
pub struct Relay {
    /// With a connection that nobody else waits for.
    ledger: Ledger,
    sink: Arc<dyn Sink>,
    bell: Arc<Notify>,
    /// Whether this relay has said that it sleeps.
    asleep: AtomicBool,
    /// Which lanes are left alone. A plain mutex: held for a few instructions.
    lanes: Mutex<Lanes>,
    relayed: IntCounterVec,
}

impl Relay {
    /// From this ledger to this sink, woken by `bell`; counts in `relayed` by topic.
    pub fn new(ledger: Ledger, sink: Arc<dyn Sink>, bell: Arc<Notify>, relayed: IntCounterVec) -> Self {
        Self { ledger, sink, bell, asleep: AtomicBool::new(false), lanes: Mutex::default(), relayed }
    }

    /// Brings a batch to the sink and marks it.
    async fn bring(&self, batch: Batch) -> Result<(), TaskError> {
        let published = timeout(PUBLISH_LIMIT, self.sink.publish(batch.events())).await;
        published.map_err(|_| TaskError::Elsewhere {
            what: "the sink",
            why: format!("took longer than {} s", PUBLISH_LIMIT.as_secs()),
        })??;
        for event in batch.events() {
            self.relayed.with_label_values(&[&event.topic]).inc();
        }
        let busy = batch.events().len() >= BUSY;
        batch.relayed().await?;
        if self.asleep.swap(false, Ordering::Relaxed) || busy {
            self.ledger.outbox_asleep(false).await?;
        }
        Ok(())
    }

    fn lanes<T>(&self, look: impl FnOnce(&mut Lanes) -> T) -> T {
        look(&mut self.lanes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Task for Relay {
    fn name(&self) -> &'static str {
        "relay"
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    async fn run_once(&self) -> Result<Ran, TaskError> {
        let left_alone = self.lanes(|lanes| lanes.left_alone(Instant::now()));
        let limit = |lane| self.lanes(|lanes| lanes.limit(lane, BATCH));
        match self.ledger.take_batch(limit, &left_alone).await? {
            Taken::Batch(batch) => {
                let lane = batch.lane();
                match self.bring(batch).await {
                    Ok(()) => self.lanes(|lanes| lanes.went_on(lane)),
                    Err(error) => {
                        self.lanes(|lanes| lanes.failed(lane, Instant::now(), &error.to_string()));
                        return Err(error);
                    }
                }
                Ok(Ran::More)
            }
            Taken::Others => Ok(Ran::Idle),
            Taken::Nothing if self.asleep.load(Ordering::Relaxed) => Ok(Ran::Idle),
            Taken::Nothing => {
                self.ledger.outbox_asleep(true).await?;
                self.asleep.store(true, Ordering::Relaxed);
                // Once more: who committed before this was said did not ring.
                Ok(Ran::More)
            }
        }
    }

    fn trouble(&self) -> Option<String> {
        self.lanes(|lanes| lanes.trouble())
    }

    async fn woken(&self) {
        self.bell.notified().await;
    }
}

/// Rings `bell` whenever a writer does, for ever.
pub(super) async fn listen(ledger: Ledger, bell: Arc<Notify>) {
    loop {
        if let Err(error) = ledger.listen_to_outbox(|| bell.notify_one()).await {
            tracing::debug!(%error, "nobody listens to the outbox for a moment");
        }
        tokio::time::sleep(LISTEN_PAUSE).await;
    }
}
