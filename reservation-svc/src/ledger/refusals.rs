//! Refusals of the seat lock under idempotency keys: written down, many in one transaction. A crowd at a hot seat is
//! then one connection's work, and each refusal is stored like any other answer (docs/adr/0017).

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::oneshot;

use super::idempotency::IdempotencyKey;
use super::{Ledger, LedgerError, read};
use crate::ledger::holds::HoldAnswer;
use crate::seat::{SeatNumber, UserId};

/// Refusals in one transaction: some ten milliseconds of work at most.
const TOGETHER: usize = 256;

/// Refusals that wait at most; more are as many as requests under way can be, and then some.
const MOST_WAITING: usize = 16_384;

/// What becomes of one: its answer; `None`: it is to be asked for alone.
type Told = Result<Option<Value>, LedgerError>;

/// A refusal on its way.
struct Waiting {
    user: UserId,
    key: IdempotencyKey,
    refusal: Value,
    told: oneshot::Sender<Told>,
}

/// Those on their way, of one process.
#[derive(Default)]
pub(super) struct Refusals {
    /// A plain mutex: held to add or to take.
    waiting: Mutex<VecDeque<Waiting>>,
    /// Held by whoever writes down what waits. One at a time, so that what comes meanwhile gathers.
    turn: tokio::sync::Mutex<()>,
}

impl Refusals {
    fn waiting(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, user: UserId, key: &IdempotencyKey, refusal: Value) -> Result<oneshot::Receiver<Told>, LedgerError> {
        let (told, answer) = oneshot::channel();
        let mut waiting = self.waiting();
        if waiting.len() >= MOST_WAITING {
            return Err(LedgerError::Unavailable("too many refusals wait to be written down".to_owned()));
        }
        waiting.push_back(Waiting { user, key: key.clone(), refusal, told });
        Ok(answer)
    }

    fn take(&self) -> Vec<Waiting> {
        let mut waiting = self.waiting();
        let together = waiting.len().min(TOGETHER);
        waiting.drain(..together).collect()
    }
}

impl Ledger {
    /// The answer under the key to a hold that the seat lock refused: the stored one, or this refusal, stored now.
    pub async fn refuse_hold(
        &self,
        user: UserId,
        taken: &[SeatNumber],
        key: &IdempotencyKey,
    ) -> Result<HoldAnswer, LedgerError> {
        let seats: Vec<&str> = taken.iter().map(SeatNumber::as_str).collect();
        let refusal = serde_json::json!({ "outcome": "seat-taken", "seats": seats });
        match self.refuse_together(user, key, &refusal).await? {
            Some(answer) => read(answer),
            None => self.refuse_alone(user, key, &refusal).await,
        }
    }

    async fn refuse_together(&self, user: UserId, key: &IdempotencyKey, refusal: &Value) -> Told {
        let mut answer = self.refusals.add(user, key, refusal.clone())?;
        loop {
            // Whoever gets the turn takes along all who wait; the others find their answers.
            tokio::select! {
                biased;
                told = &mut answer => return told.unwrap_or_else(|_| Err(LedgerError::Unavailable("was cut off".to_owned()))),
                _turn = self.refusals.turn.lock() => self.write_refusals().await,
            }
        }
    }

    /// Writes down what waits, as much as goes into one transaction, and tells whoever waits for it.
    async fn write_refusals(&self) {
        let together = self.refusals.take();
        if together.is_empty() {
            return;
        }
        match self.idempotency_answers(&together).await {
            Ok(answers) => {
                for (waiting, answer) in together.into_iter().zip(answers) {
                    tell(waiting, Ok(Some(answer)));
                }
            }
            // Those who came meanwhile would only wait for the same.
            Err(error @ LedgerError::Unavailable(_)) => {
                let behind = std::mem::take(&mut *self.refusals.waiting());
                together.into_iter().chain(behind).for_each(|waiting| tell(waiting, Err(error.clone())));
            }
            Err(error) => {
                tracing::warn!(%error, "refusals could not be written down together; each is alone");
                together.into_iter().for_each(|waiting| tell(waiting, Ok(None)));
            }
        }
    }

    async fn idempotency_answers(&self, together: &[Waiting]) -> Result<Vec<Value>, LedgerError> {
        let users: Vec<i64> = together.iter().map(|waiting| waiting.user.get()).collect();
        let arguments = |waiting: &Waiting| {
            let (key, hash) = IdempotencyKey::arguments(Some(&waiting.key));
            (key.unwrap_or_default().to_owned(), hash.unwrap_or_default().to_vec())
        };
        let (keys, hashes): (Vec<String>, Vec<Vec<u8>>) = together.iter().map(arguments).unzip();
        let refusals: Vec<Value> = together.iter().map(|waiting| waiting.refusal.clone()).collect();
        let query = sqlx::query_as("SELECT idempotency_answers($1, $2, $3, $4)");
        let (answers,): (Value,) = self.one(query.bind(users).bind(keys).bind(hashes).bind(refusals)).await?;
        match answers {
            Value::Array(answers) if answers.len() == together.len() => Ok(answers),
            _ => Err(LedgerError::Broken("not as many answers as refusals".to_owned())),
        }
    }

    async fn refuse_alone(
        &self,
        user: UserId,
        key: &IdempotencyKey,
        refusal: &Value,
    ) -> Result<HoldAnswer, LedgerError> {
        let (name, hash) = IdempotencyKey::arguments(Some(key));
        self.answer(|| {
            sqlx::query_as("SELECT idempotency_answer($1, $2, $3, $4)")
                .bind(user.get())
                .bind(name)
                .bind(hash)
                .bind(refusal)
        })
        .await
    }
}

fn tell(waiting: Waiting, told: Told) {
    // Whoever went away needs no answer; it is stored.
    let _ = waiting.told.send(told);
}
