//! After a loss: who recovers the room with what, and what this node gives back.

use std::sync::PoisonError;

use tokio::time::Instant;

use super::super::spent::spans;
use super::{Keeper, Remembered};
use crate::store::{BitKind, BitSpan, Epoch, Recovered, Recovery, SEQ_MARGIN, Seen, StoreError};
use crate::view::RoomView;

/// Redis takes remembered bits in pieces of at most 1 MiB.
const MERGE_PIECE: usize = 1 << 20;

/// What a node that knows nothing believes in.
const UNKNOWN: Epoch = Epoch { generation: 1, life: 0 };

/// One ticket says nothing of how many came after it: new numbers begin this far behind it, which is twice the longest
/// line that is promised and 256 KiB of bitmap (ADR 0015).
const PROOF_MARGIN: u64 = 1 << 21;

/// So many numbers before the ticket are kept, or the bitmaps of an old room would not fit; a multiple of 8.
const PROOF_KEPT: u64 = 1 << 24;

/// What a ticket or token with this number proves of a room that nobody remembers.
pub(super) fn proved(seq: u64) -> Seen {
    let base = seq.saturating_sub(PROOF_KEPT) / 8 * 8;
    Seen { seq: seq.saturating_add(PROOF_MARGIN), base, ..Seen::default() }
}

impl Keeper {
    /// The first contact: the room is there, or this node waits for one that remembers it, or starts it.
    pub(super) async fn get_to_know(&mut self) -> Result<(), StoreError> {
        match self.look().await {
            Err(StoreError::Lost) => {}
            done => return done.map(drop),
        }
        if let Some((epoch, seq)) = self.take_proof() {
            return self.recover(epoch, proved(seq)).await;
        }
        let since = *self.lost_since.get_or_insert_with(Instant::now);
        if since.elapsed() < self.work.cold_wait {
            return Ok(());
        }
        self.recover(UNKNOWN, Seen::default()).await
    }

    pub(super) async fn recover_with_memory(&mut self) -> Result<(), StoreError> {
        let view = self.room().view.load_full();
        self.recover(view.epoch, view.seen).await
    }

    pub(super) async fn recover(&mut self, epoch: Epoch, seen: Seen) -> Result<(), StoreError> {
        let settings = self.room().settings.load_full();
        let name = self.room().name.clone();
        let (hold, burst) = (settings.recovery_hold(), settings.limits.burst);
        let before = self.room().view.load_full();
        let recovered = match self.work.store.recover(&name, epoch, seen, hold, burst, (self.draw)()).await {
            Err(StoreError::Superseded(theirs)) => return self.adopt(theirs).await,
            done => done?,
        };
        // Numbers jump when, and only when, something may have been lost.
        if before.epoch == recovered.epoch && recovered.seen.seq > before.seen.seq + SEQ_MARGIN / 2 {
            self.note_loss(&before, &recovered.seen);
        } else if !recovered.hold.is_zero() {
            self.note_restored();
        }
        // Told of when it is done, and also when it could not be finished: the next round goes on with it.
        let settled = self.settle(&recovered).await;
        match recovered.how {
            Recovery::Fresh => tracing::info!(room = %name, "the room starts"),
            Recovery::Restored => {
                tracing::warn!(room = %name, hold_s = recovered.hold.as_secs(), "the store had lost the room; it is restored, and nobody is let in until everybody had time to come back");
            }
            Recovery::Merged => tracing::info!(room = %name, "joined the room"),
        }
        settled
    }

    /// What follows a recovery: what is remembered goes back, and a look at what is there now.
    async fn settle(&mut self, recovered: &Recovered) -> Result<(), StoreError> {
        if recovered.how != Recovery::Fresh {
            self.reaper.disturb();
            self.give_all_back(recovered.epoch).await?;
        }
        // Only now: if it could not all be given back, the loss is seen again.
        self.lookout.note(recovered.epoch, recovered.seen.seq, recovered.hold);
        self.lost_since = None;
        self.last_everything = None;
        self.look().await.map(drop)
    }

    /// From now on places are told by the line as it was, too, while people come back to it.
    pub(super) fn note_loss(&self, before: &RoomView, now: &Seen) {
        let lasting = self.room().settings.load().recovery_hold();
        self.room().set_view(before.after_loss(now, lasting));
        self.note_restored();
    }

    /// From now on sessions that began before are told of to the store with their first request.
    pub(super) fn note_restored(&self) {
        self.room().note_restored(self.room().by_the_store((self.work.clock)()));
    }

    /// Gives back what is remembered as over: from the last look at everything, and what only this node knows since.
    async fn give_all_back(&self, epoch: Epoch) -> Result<(), StoreError> {
        let remembered = (self.remembered.epoch == Some(epoch)).then_some(&self.remembered);
        if let Some(Remembered { ended, .. }) = remembered {
            self.give_back(epoch, BitKind::Ended, ended).await?;
        }
        for span in spans(self.room().ended_here_of(epoch)) {
            self.give_back(epoch, BitKind::Ended, &span).await?;
        }
        if let Some(Remembered { spent, .. }) = remembered {
            self.give_back(epoch, BitKind::Spent, spent).await?;
        }
        for span in spans(self.room().spent_here.of(epoch)) {
            self.give_back(epoch, BitKind::Spent, &span).await?;
        }
        Ok(())
    }

    /// Gives bits back, in pieces.
    async fn give_back(&self, epoch: Epoch, kind: BitKind, bits: &BitSpan) -> Result<(), StoreError> {
        let mut first = bits.first;
        for piece in bits.bytes.chunks(MERGE_PIECE) {
            let span = BitSpan { first, bytes: piece.to_vec() };
            self.work.store.merge_bits(&self.room().name, epoch, kind, &span).await?;
            first += 8 * piece.len() as u64;
        }
        Ok(())
    }

    /// The store is of another epoch. A higher generation wins; within one, whoever knows more.
    pub(super) async fn settle_epochs(&mut self, theirs: Epoch) -> Result<(), StoreError> {
        let ours = self.room().view.load().epoch;
        if theirs.generation > ours.generation {
            return self.adopt(theirs).await;
        }
        self.recover_with_memory().await
    }

    /// Forgets what was known and takes the store's word.
    async fn adopt(&mut self, theirs: Epoch) -> Result<(), StoreError> {
        tracing::info!(room = %self.room().name, generation = theirs.generation, "the room is of another epoch now");
        self.begin_anew(theirs);
        self.look().await.map(drop)
    }

    pub(super) fn take_proof(&self) -> Option<(Epoch, u64)> {
        self.room().proof.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
