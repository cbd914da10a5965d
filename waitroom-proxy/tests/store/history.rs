//! A crowd in line on a replicated store, what each of them was told, and whether that can have been right.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use waitroom_proxy::store::{
    BitKind, ClaimItem, Detail, Epoch, JoinItem, Limits, QueueStore, Recovered, RoomName, RoomPicture, Seen, Standing,
    StoreError, Ticked, Verdict,
};

use crate::bed::{LIFE, LONG, vid};

/// Admissions a second.
const RATE: f64 = 200.0;
const BURST: f64 = 10.0;

/// How far the clocks of two servers on one machine, and the time a script takes, may blur the rate.
const BLUR_S: f64 = 0.05;

/// No test takes this long, unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A node with its memory, as the proxy's keeper, and a crowd that it serves.
pub(crate) struct History<'a> {
    store: &'a dyn QueueStore,
    room: RoomName,
    epoch: Epoch,
    seen: Seen,
    picture: RoomPicture,
    /// The number that each visitor was first told.
    seqs: BTreeMap<u64, u64>,
    /// Who waits, as far as they know.
    waiting: BTreeSet<u64>,
    /// Who was let in, in the order in which it became known.
    admitted: Vec<u64>,
    /// For each tick that gave turns, and each that followed: the store's clock and how many in all.
    ticks: Vec<(u64, u64)>,
    /// How often the room had to be recovered after the start.
    pub(crate) recoveries: usize,
}

impl<'a> History<'a> {
    pub(crate) async fn begin(store: &'a dyn QueueStore, room: RoomName) -> Self {
        let nothing = Epoch { generation: 1, life: 0 };
        let began = std::time::Instant::now();
        let begun = loop {
            match store.recover(&room, nothing, Seen::default(), Duration::from_millis(1), BURST, LIFE).await {
                Ok(begun) => break begun,
                Err(error) => assert!(began.elapsed() < PATIENCE, "{error}"),
            }
        };
        let picture = store.snapshot(&room, None, Detail::Everything).await.expect("a picture");
        Self {
            store,
            room,
            epoch: begun.epoch,
            seen: begun.seen,
            picture,
            seqs: BTreeMap::new(),
            waiting: BTreeSet::new(),
            admitted: Vec::new(),
            ticks: Vec::new(),
            recoveries: 0,
        }
    }

    /// Puts visitors in line; those without an answer try again by the next poll.
    pub(crate) async fn line_up(&mut self, count: u64) {
        self.waiting.extend(1..=count);
        self.poll().await.expect("joined");
        assert_eq!(self.seqs.len() as u64, count);
    }

    /// How many were let in so far.
    pub(crate) fn admitted(&self) -> usize {
        self.admitted.len()
    }

    /// Serves the crowd until the condition holds.
    pub(crate) async fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let began = std::time::Instant::now();
        let mut last = String::new();
        while !done(self) {
            assert!(began.elapsed() < PATIENCE, "in vain for {what}; last: {last}");
            if let Err(error) = self.round().await {
                last = error.to_string();
                tokio::task::yield_now().await;
            }
        }
    }

    /// One round of what a node does: tick, look, and every visitor polls.
    pub(crate) async fn round(&mut self) -> Result<(), StoreError> {
        match self.tick().await {
            Err(StoreError::Lost) => {
                self.recover().await?;
            }
            Ok(ticked) if ticked.rolled_back => {
                self.recover().await?;
            }
            done => {
                done?;
            }
        }
        self.picture = self.store.snapshot(&self.room, None, Detail::Everything).await?;
        assert_eq!(self.picture.epoch, self.epoch);
        self.seen = self.picture.seen();
        self.poll().await
    }

    pub(crate) async fn tick(&mut self) -> Result<Ticked, StoreError> {
        let limits = Limits { rate_per_s: RATE, burst: BURST, max_active: 0 };
        let ticked = self.store.tick(&self.room, self.epoch, self.seen, limits, LONG).await?;
        self.ticks.push((ticked.now_ms, ticked.admitted));
        Ok(ticked)
    }

    /// As the keeper: what is remembered is given back.
    async fn recover(&mut self) -> Result<Recovered, StoreError> {
        // As short as it may be: the longest poll interval of this crowd is one round.
        let hold = Duration::from_millis(100);
        let recovered = self.store.recover(&self.room, self.epoch, self.seen, hold, BURST, LIFE + 1).await?;
        assert_eq!(recovered.epoch, self.epoch, "the room's life goes on");
        for (kind, bits) in [(BitKind::Ended, &self.picture.ended_bits), (BitKind::Spent, &self.picture.spent_bits)] {
            self.store.merge_bits(&self.room, self.epoch, kind, bits).await?;
        }
        self.recoveries += 1;
        Ok(recovered)
    }

    /// Every visitor in line asks where they stand, with their ticket; whoever has a turn takes it.
    async fn poll(&mut self) -> Result<(), StoreError> {
        let who: Vec<u64> = self.waiting.iter().copied().collect();
        for batch in who.chunks(1_000) {
            let item = |who: &u64| JoinItem { vid: vid(*who), seq: self.seqs.get(who).copied().unwrap_or(0) };
            let items: Vec<JoinItem> = batch.iter().map(item).collect();
            let standings = self.store.join(&self.room, self.epoch, self.seen, &items).await?;
            let mut turns = Vec::new();
            for (who, standing) in batch.iter().zip(standings) {
                let (seq, turn) = match standing {
                    Standing::Waiting(seq) => (seq, false),
                    Standing::Granted(seq) | Standing::Active(seq) => (seq, true),
                    Standing::Void(seq) => panic!("the ticket {seq} of {who} was never used"),
                };
                let first = *self.seqs.entry(*who).or_insert(seq);
                assert_eq!(first, seq, "I4: the number of {who} changed");
                if turn {
                    turns.push(ClaimItem { vid: vid(*who), seq, proof: false });
                }
            }
            if !turns.is_empty() {
                self.claim(batch, &turns).await?;
            }
        }
        Ok(())
    }

    async fn claim(&mut self, batch: &[u64], turns: &[ClaimItem]) -> Result<(), StoreError> {
        let verdicts = self.store.claim(&self.room, self.epoch, LONG, false, turns).await?;
        for (item, verdict) in turns.iter().zip(verdicts) {
            let who = batch.iter().find(|who| vid(**who) == item.vid).expect("one of the batch");
            match verdict {
                Verdict::Session { seq, .. } => {
                    assert_eq!(seq, self.seqs[who], "I4");
                    assert!(self.waiting.remove(who), "I8: {who} is let in twice");
                    self.admitted.push(*who);
                }
                Verdict::Waiting(seq) => assert_eq!(seq, self.seqs[who], "I4"),
                Verdict::No => panic!("{who} has a turn and may not take it"),
            }
        }
        Ok(())
    }

    /// I1, I3 and I4 over all that happened, and I6 and I7 at the end. `lost_at_most`: how many turns a server
    /// that was lost may have given unseen, which its successor then does not know.
    pub(crate) async fn assert_sound(&self) {
        let numbers: BTreeSet<u64> = self.seqs.values().copied().collect();
        assert_eq!(numbers.len(), self.seqs.len(), "I4: two visitors share a number");
        for (at, (from_ms, before)) in self.ticks.iter().enumerate() {
            for (to_ms, after) in &self.ticks[at + 1..] {
                let seconds = to_ms.saturating_sub(*from_ms) as f64 / 1_000.0 + BLUR_S;
                let granted = after.saturating_sub(*before) as f64;
                assert!(granted <= RATE * seconds + BURST, "I1: {granted} turns in {seconds} s");
            }
        }
        // A turn that a lost server gave is given again in its place, so the order is that of the numbers
        // but for those who polled in the same round.
        let places: Vec<u64> = self.admitted.iter().map(|who| self.seqs[who]).collect();
        let late =
            places.iter().enumerate().filter(|(at, seq)| places[..*at].iter().any(|before| before > seq)).count();
        assert_eq!(late, 0, "I3: let in out of order: {places:?}");
        let last = self.store.snapshot(&self.room, Some(self.epoch), Detail::Everything).await.expect("a picture");
        let bits: u64 = last.waiting_bits.bytes.iter().map(|byte| u64::from(byte.count_ones())).sum();
        assert_eq!(bits, last.waiting, "I6");
        assert_eq!(last.waiting + last.granted + last.active, self.seqs.len() as u64, "I7: each is in one place");
    }
}
