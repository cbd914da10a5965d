//! What an operator asks of events by command: dead letters, the daily report, tickets that count no more.
//! Gives text to print; prints nothing.

use std::fmt::Write as _;

use chrono::NaiveDate;
use prometheus::Registry;
use uuid::Uuid;

use super::consumers::Consumers;
#[cfg(feature = "kafka")]
use super::kafka::KafkaSink;
use super::setup;
use super::task::TaskError;
use crate::config::Config;
use crate::ledger::consumers::{DeadLetter, SettlementLine};
use crate::ledger::{Ledger, LedgerError};
use crate::serve::StartError;

/// Dead letters replayed at a time.
const PAGE: i64 = 500;

/// The oldest dead letters, a line each.
pub async fn list_dead_letters(ledger: &Ledger, limit: i64) -> Result<String, LedgerError> {
    let letters = ledger.dead_letters(None, limit).await?;
    let mut text = format!("{} of {} dead letters, oldest first\n", letters.len(), ledger.count_dead_letters().await?);
    for letter in letters {
        let topic = letter.event["topic"].as_str().unwrap_or("?");
        let failed_at = letter.failed_at.format("%Y-%m-%dT%H:%M:%SZ");
        // Writing to a string can not fail.
        let _ = writeln!(
            text,
            "{}  {:<12}  {:<22}  {failed_at}  attempts {}: {}",
            letter.event_id,
            letter.consumer,
            topic,
            letter.attempts,
            letter.reason.replace('\n', " "),
        );
    }
    Ok(text.trim_end().to_owned())
}

/// Replays the dead letters of one event, or all. Says how many went through, and which did not and why.
pub async fn replay_dead_letters(config: &Config, ledger: &Ledger, event: Option<Uuid>) -> Result<String, StartError> {
    let takers = Takers::of(config, ledger).await?;
    let (mut replayed, mut text) = (0, String::new());
    loop {
        let letters = ledger.dead_letters(event, PAGE).await?;
        let found = letters.len();
        let before = replayed;
        text.clear();
        for letter in letters {
            match takers.replay(&letter).await {
                Ok(()) => replayed += 1,
                Err(error) => {
                    let _ = writeln!(text, "{} of {} stays: {error}", letter.event_id, letter.consumer);
                }
            }
        }
        // On while there is a full page of which some went through: what stays would only come again.
        if found < usize::try_from(PAGE).unwrap_or(usize::MAX) || replayed == before {
            let _ = write!(text, "{replayed} replayed");
            return Ok(text);
        }
    }
}

/// Those who may have given up on an event.
struct Takers {
    consumers: Consumers,
    #[cfg(feature = "kafka")]
    kafka: Option<KafkaSink>,
}

impl Takers {
    async fn of(config: &Config, ledger: &Ledger) -> Result<Self, StartError> {
        Ok(Self {
            consumers: setup::consumers(config, ledger, &Registry::new()).await?,
            #[cfg(feature = "kafka")]
            kafka: setup::kafka(config, ledger)?,
        })
    }

    /// Gives a dead letter to who gave up on it.
    async fn replay(&self, letter: &DeadLetter) -> Result<(), TaskError> {
        #[cfg(feature = "kafka")]
        if letter.consumer == super::kafka::NAME
            && let Some(kafka) = &self.kafka
        {
            return kafka.replay(letter).await;
        }
        self.consumers.replay(letter).await
    }
}

/// The daily report, a line for each concert and currency.
pub async fn settlement(config: &Config, ledger: &Ledger, day: NaiveDate) -> Result<String, LedgerError> {
    let zone = &config.events.settlement_time_zone;
    let lines = ledger.settlement(day, zone).await?;
    let mut text = format!("{day}, midnight to midnight in {zone}; amounts in the smallest unit\n");
    if lines.is_empty() {
        text.push_str("no money moved");
    }
    for SettlementLine { concert_id, title, currency, payments, paid, refunds, refunded, .. } in lines {
        let net = paid.saturating_sub(refunded);
        let _ = writeln!(
            text,
            "concert {concert_id} ({title}): {payments} payments {paid} {currency}, {refunds} refunds {refunded} \
             {currency}, net {net} {currency}"
        );
    }
    Ok(text.trim_end().to_owned())
}

/// The reservations whose tickets a gate has to turn away, a line each; `None`: there is no such schedule.
pub async fn revoked_tickets(ledger: &Ledger, schedule: i64) -> Result<Option<String>, LedgerError> {
    let revoked = ledger.revoked_tickets(schedule).await?;
    Ok(revoked.map(|revoked| revoked.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))
}
