//! One call to a store as a value, so that two stores can be given the same, twice.

use std::time::Duration;

use waitroom_proxy::store::{
    BitKind, BitSpan, ClaimItem, Detail, Epoch, JoinItem, Limits, QueueStore, Recovered, RoomName, RoomPicture, Seen,
    Standing, StoreError, Ticked, TouchItem, Verdict, Vid,
};

use crate::contents::timeless;

#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Join(Vec<JoinItem>),
    Enter { limits: Limits, ttl: Duration, batch: Vec<Vid> },
    Tick { limits: Limits, ttl: Duration },
    Claim { ttl: Duration, renew: bool, batch: Vec<ClaimItem> },
    Touch(Vec<TouchItem>),
    End(Vec<JoinItem>),
    Reap(Vec<u64>),
    Snapshot(Detail),
    Recover { hold: Duration, burst: f64, fresh_life: u32 },
    MergeBits(BitKind, BitSpan),
    Flush(String),
    Reset,
    SetPaused(bool),
    Trim { keep: u64, at_least: u64 },
}

#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Standings(Vec<Standing>),
    Verdicts(Vec<Verdict>),
    Ticked(Ticked),
    Count(u64),
    Picture(Box<RoomPicture>),
    Recovered(Recovered),
    Flushed((u64, u64)),
    Epoch(Epoch),
}

impl Operation {
    pub(crate) async fn apply(
        &self,
        store: &dyn QueueStore,
        room: &RoomName,
        epoch: Epoch,
        seen: Seen,
    ) -> Result<Answer, StoreError> {
        match self {
            Self::Join(batch) => store.join(room, epoch, seen, batch).await.map(Answer::Standings),
            Self::Enter { limits, ttl, batch } => {
                store.enter(room, epoch, seen, *limits, *ttl, batch).await.map(Answer::Verdicts)
            }
            Self::Tick { limits, ttl } => store.tick(room, epoch, seen, *limits, *ttl).await.map(Answer::Ticked),
            Self::Claim { ttl, renew, batch } => {
                store.claim(room, epoch, *ttl, *renew, batch).await.map(Answer::Verdicts)
            }
            Self::Touch(batch) => store.touch(room, epoch, batch).await.map(Answer::Verdicts),
            Self::End(batch) => store.end(room, epoch, batch).await.map(Answer::Count),
            Self::Reap(seqs) => store.reap(room, epoch, seqs).await.map(Answer::Count),
            Self::Snapshot(detail) => {
                store.snapshot(room, None, *detail).await.map(|picture| Answer::Picture(Box::new(picture)))
            }
            Self::Recover { hold, burst, fresh_life } => {
                store.recover(room, epoch, seen, *hold, *burst, *fresh_life).await.map(Answer::Recovered)
            }
            Self::MergeBits(kind, bits) => store.merge_bits(room, epoch, *kind, bits).await.map(Answer::Count),
            Self::Flush(nonce) => store.flush(room, epoch, seen, nonce).await.map(Answer::Flushed),
            Self::Reset => store.reset(room, epoch).await.map(Answer::Epoch),
            Self::SetPaused(paused) => store.set_paused(room, epoch, seen, *paused).await.map(Answer::Count),
            Self::Trim { keep, at_least } => store.trim(room, epoch, *keep, *at_least).await.map(Answer::Count),
        }
    }

    /// Whether it writes something that runs out soon.
    pub(crate) fn is_short(&self, short: Duration) -> bool {
        match self {
            Self::Enter { ttl, .. } | Self::Tick { ttl, .. } | Self::Claim { ttl, .. } => *ttl == short,
            Self::Touch(batch) => batch.iter().any(|item| item.ttl == short),
            Self::Recover { hold, .. } => *hold == short,
            _ => false,
        }
    }

    /// Whether a repeat is answered as the first call was (the others count what they changed).
    pub(crate) fn repeats_its_answer(&self) -> bool {
        matches!(self, Self::Join(_) | Self::Claim { .. } | Self::Snapshot(_) | Self::SetPaused(_) | Self::Trim { .. })
    }

    /// Whether it may put somebody in front of others.
    pub(crate) fn may_move_back(&self) -> bool {
        matches!(self, Self::Join(_) | Self::Recover { .. } | Self::Reset)
    }
}

/// An answer as text, without the times in it.
pub(crate) fn without_times(answer: &Result<Answer, StoreError>) -> String {
    let verdict = |verdict: &Verdict| match *verdict {
        Verdict::Session { seq, .. } => Verdict::Session { seq, expires_at_ms: 0, began_ms: 0 },
        other => other,
    };
    let hold = |hold: Duration| if hold.is_zero() { hold } else { Duration::MAX };
    let plain = match answer {
        Ok(Answer::Verdicts(verdicts)) => Answer::Verdicts(verdicts.iter().map(verdict).collect()),
        Ok(Answer::Ticked(ticked)) => Answer::Ticked(Ticked { now_ms: 0, hold: hold(ticked.hold), ..*ticked }),
        Ok(Answer::Picture(picture)) => Answer::Picture(Box::new(timeless(picture))),
        Ok(Answer::Recovered(recovered)) => Answer::Recovered(Recovered { hold: hold(recovered.hold), ..*recovered }),
        Ok(other) => other.clone(),
        Err(StoreError::Refused(text)) => return text.split(':').next().unwrap_or_default().to_owned(),
        Err(error) => return error.to_string(),
    };
    format!("{plain:?}")
}
