//! Paying by the gateway: write down, authorise, commit, capture; void when the commit says no. No transaction is open
//! while the gateway is asked. Whatever is cut off in between, [`Cards::recover`] finds and finishes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::gateway::repair::{Owed, Step};
use crate::gateway::{Gateway, GatewayError, Order, Standing};
use crate::ledger::gateway::{Begun, Committed, Debt};
use crate::ledger::payments::{PayAnswer, PayRequest};
use crate::ledger::{Ledger, LedgerError};
use crate::metrics::Metrics;

/// Captures, voids and refunds under way behind answered requests. Beyond it they are left to the worker.
const BEHIND: usize = 256;

/// Steps that one debt takes at most: two, and one to see that it is done.
const STEPS: usize = 3;

/// Times that a commit waits for rows that others have locked. The money is set aside by then, and the rows are
/// locked for milliseconds.
const COMMITS: usize = 3;

/// Debts that the worker takes up at a time, all at once: a round must end within seconds.
const BATCH: i32 = 16;

/// What one round of recovery came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Debts that were paid.
    pub paid: usize,
    /// Debts that were not; they are tried again later.
    pub open: usize,
    /// The gateway is left alone at this moment, so nothing was tried.
    pub resting: bool,
}

/// Payments by one gateway. Cheap to clone.
#[derive(Clone)]
pub struct Cards {
    gateway: Arc<dyn Gateway>,
    ledger: Ledger,
    metrics: Metrics,
    /// How long the recovery worker leaves a payment alone: longer than a payment takes.
    recover_after: Duration,
    behind: Arc<Semaphore>,
}

impl Cards {
    /// Payments by this gateway, written down in this ledger.
    pub fn new(gateway: Arc<dyn Gateway>, ledger: Ledger, metrics: Metrics, recover_after: Duration) -> Self {
        Self { gateway, ledger, metrics, recover_after, behind: Arc::new(Semaphore::new(BEHIND)) }
    }

    /// Pays for a hold. Also continues what an earlier request for the same hold and source began.
    pub async fn pay(&self, request: &PayRequest, source: Option<&str>) -> Result<PayAnswer, LedgerError> {
        if self.gateway.is_resting() {
            // Nothing is written down for a call that would not be made.
            return Ok(PayAnswer::GatewayUnavailable);
        }
        let attempt = match self.ledger.begin_card(request, source, self.recover_after).await? {
            Begun::Authorise(attempt) => attempt,
            Begun::Answered(answer) => return Ok(answer),
        };
        let order = Order {
            payment: attempt.payment_id,
            reservation: attempt.reservation_id,
            user: request.user.get(),
            amount: attempt.amount,
            currency: attempt.currency,
            source: source.map(str::to_owned),
        };
        match self.gateway.authorise(&order).await {
            // Captured: a twin of this request was faster, which the commit will say.
            Ok(Standing::Authorised | Standing::Captured) => self.commit(request, order.payment).await,
            Ok(Standing::Declined { reason }) => self.ledger.decline_card(request, order.payment, &reason).await,
            // The recovery worker had given the attempt up.
            Ok(Standing::Voided | Standing::Refunded) => Ok(PayAnswer::PaymentUndone),
            // Whether it did is not known: the next request of the buyer or the worker asks again, under the same id.
            Err(_) => Ok(PayAnswer::GatewayUnavailable),
        }
    }

    async fn commit(&self, request: &PayRequest, payment: Uuid) -> Result<PayAnswer, LedgerError> {
        let mut left = COMMITS;
        let Committed { answer, owed } = loop {
            left -= 1;
            match self.ledger.commit_card(request, payment, self.recover_after).await {
                Err(LedgerError::Contended) if left > 0 => self.metrics.database_retry("card_commit"),
                // Also when the reply to the commit was lost: what became of it, the ledger tells who asks it next.
                other => break other?,
            }
        };
        if let Some(owed) = owed {
            self.settle_behind(payment, owed, Some(Standing::Authorised));
        }
        Ok(answer)
    }

    /// A reservation that was paid here was cancelled: the money goes back.
    pub fn refund(&self, payment: Uuid) {
        self.settle_behind(payment, Owed::Refund, None);
    }

    /// Pays a debt behind the answer to the buyer. If it comes to nothing, the worker does it.
    fn settle_behind(&self, payment: Uuid, owed: Owed, standing: Option<Standing>) {
        let Ok(place) = Arc::clone(&self.behind).try_acquire_owned() else { return };
        let cards = self.clone();
        tokio::spawn(async move {
            cards.settle(payment, owed, standing).await;
            drop(place);
        });
    }

    /// Takes up what crashed requests left behind.
    pub async fn recover(&self) -> Result<Recovered, LedgerError> {
        let mut recovered = Recovered::default();
        if self.gateway.is_resting() {
            // Nothing is claimed, so that it is not put off for calls that would not be made.
            recovered.resting = true;
        } else {
            let mut at_work = JoinSet::new();
            for Debt { payment, owed, tries } in self.ledger.owed_cards(BATCH, self.recover_after).await? {
                tracing::info!(%payment, ?owed, tries, "recovering a payment");
                let cards = self.clone();
                at_work.spawn(async move { cards.settle(payment, owed, None).await });
            }
            while let Some(done) = at_work.join_next().await {
                if matches!(done, Ok(true)) {
                    recovered.paid += 1;
                } else {
                    recovered.open += 1;
                }
            }
        }
        let (owed, oldest_s) = self.ledger.card_debts().await?;
        self.metrics.gateway_debts(owed, oldest_s);
        Ok(recovered)
    }

    /// Does what is owed to the gateway, from how the payment stands there, and writes it down. Whether it is done.
    async fn settle(&self, payment: Uuid, owed: Owed, mut standing: Option<Standing>) -> bool {
        let outcome = match self.bring_about(payment, owed, &mut standing).await {
            Ok(true) => match self.ledger.settle_card(payment, owed).await {
                Ok(true) => "done",
                Ok(false) => "moved_on",
                Err(error) => {
                    tracing::warn!(%payment, ?owed, %error, "done at the gateway, not written down yet");
                    "not_written"
                }
            },
            // Somebody else may have settled what had become of it meanwhile, such as its cancellation.
            Ok(false) => match self.ledger.owes_card(payment, owed).await {
                Ok(false) => "moved_on",
                Ok(true) => {
                    tracing::error!(%payment, ?owed, ?standing, "a payment is stuck: see docs/GATEWAY.md");
                    "stuck"
                }
                Err(error) => {
                    tracing::warn!(%payment, ?owed, ?standing, %error, "what a payment owes now is not known");
                    "not_known"
                }
            },
            Err(_) => "gateway_unavailable",
        };
        self.metrics.gateway_settled(owed_word(owed), outcome);
        matches!(outcome, "done" | "moved_on")
    }

    /// Steps at the gateway until what is owed is done; false: it can not be.
    async fn bring_about(
        &self,
        payment: Uuid,
        owed: Owed,
        standing: &mut Option<Standing>,
    ) -> Result<bool, GatewayError> {
        if standing.is_none() {
            *standing = self.gateway.ask(payment).await?;
        }
        for _ in 0..STEPS {
            *standing = Some(match owed.next(standing.as_ref()) {
                Step::Done => return Ok(true),
                Step::Stuck => return Ok(false),
                Step::Capture => self.gateway.capture(payment).await?,
                Step::Void => self.gateway.void(payment).await?,
                Step::Refund => self.gateway.refund(payment).await?,
            });
        }
        Ok(owed.next(standing.as_ref()) == Step::Done)
    }
}

fn owed_word(owed: Owed) -> &'static str {
    match owed {
        Owed::Capture => "capture",
        Owed::Void => "void",
        Owed::Refund => "refund",
    }
}
