//! Sessions: claim, touch, end.

use super::super::{ClaimItem, JoinItem, StoreError, TouchItem, Verdict, Vid};
use super::state::{BIT_WINDOW, Now, Place, Room, bad_argument, check_batch, check_numbers, check_ttl, out_of_window};

impl Room {
    /// See `claim` of the store: a turn becomes a session.
    pub(super) fn claim(
        &mut self,
        ttl_ms: u64,
        renew: bool,
        batch: &[ClaimItem],
        now: Now,
    ) -> Result<Vec<Verdict>, StoreError> {
        check_batch(batch.len())?;
        if batch.iter().any(|item| item.proof && item.seq == 0) {
            return Err(bad_argument("a proof names the session's number"));
        }
        self.admit_numbers(batch.iter().map(|item| item.seq))?;
        let until = now.ms + ttl_ms;
        Ok(batch.iter().map(|item| self.claim_one(*item, until, renew, now)).collect())
    }

    fn claim_one(&mut self, item: ClaimItem, until: u64, renew: bool, now: Now) -> Verdict {
        let ClaimItem { vid, seq, proof } = item;
        if seq > 0 && self.has_ended(seq) {
            return Verdict::No;
        }
        let place = self.places.get(&vid).copied();
        match place {
            Some(Place::Active { seq, until_ms, began_ms }) if until_ms >= now.ms => {
                // Extended, never shortened, and not begun again.
                let expires_at_ms = if renew { until.max(until_ms) } else { until_ms };
                self.seat(vid, seq, expires_at_ms, began_ms);
                Verdict::Session { seq, expires_at_ms, began_ms }
            }
            Some(Place::Granted { seq, until_ms }) if until_ms >= now.ms => self.open_session(vid, seq, until, now.ms),
            // The store lost the session, its token proves it. Below the base nobody knows whether it was ended.
            _ if proof && seq >= self.base => self.open_session(vid, seq, until, now.ms),
            Some(Place::Waiting(seq)) => Verdict::Waiting(seq),
            _ => Verdict::No,
        }
    }

    fn open_session(&mut self, vid: Vid, seq: u64, until_ms: u64, began_ms: u64) -> Verdict {
        self.seat(vid, seq, until_ms, began_ms);
        self.mark_spent(seq);
        Verdict::Session { seq, expires_at_ms: until_ms, began_ms }
    }

    /// See `touch` of the store: keeps sessions alive.
    pub(super) fn touch(&mut self, batch: &[TouchItem], now: Now) -> Result<Vec<Verdict>, StoreError> {
        check_batch(batch.len())?;
        let ttls = batch.iter().map(|item| check_ttl(item.ttl)).collect::<Result<Vec<u64>, _>>()?;
        if batch.iter().any(|item| item.seq == 0) {
            return Err(bad_argument("a session has a number"));
        }
        check_numbers(batch.iter().map(|item| item.began_ms))?;
        self.admit_numbers(batch.iter().map(|item| item.seq))?;
        let verdicts = batch.iter().zip(ttls).map(|(item, ttl_ms)| self.touch_one(*item, now.ms + ttl_ms, now));
        Ok(verdicts.collect())
    }

    fn touch_one(&mut self, item: TouchItem, until: u64, now: Now) -> Verdict {
        let TouchItem { vid, seq, proof, .. } = item;
        if self.has_ended(seq) {
            return Verdict::No;
        }
        let proved_ms = if proof && item.began_ms > 0 { item.began_ms.min(now.ms) } else { now.ms };
        match self.places.get(&vid).copied() {
            Some(Place::Active { seq, until_ms, began_ms }) if until_ms >= now.ms => {
                let (expires_at_ms, began_ms) = (until.max(until_ms), began_ms.min(proved_ms));
                self.seat(vid, seq, expires_at_ms, began_ms);
                Verdict::Session { seq, expires_at_ms, began_ms }
            }
            _ if proof && seq >= self.base => self.open_session(vid, seq, until, proved_ms),
            _ => Verdict::No,
        }
    }

    /// See `end` of the store: out of everything, for good.
    pub(super) fn end(&mut self, batch: &[JoinItem]) -> Result<u64, StoreError> {
        check_batch(batch.len())?;
        self.admit_numbers(batch.iter().map(|item| item.seq))?;
        let mut taken_out = 0;
        for item in batch {
            // A late repeat names the old ticket and must not hit the visitor's next one.
            let place = self.places.get(&item.vid).copied();
            if let Some(place) = place.filter(|place| item.seq == 0 || item.seq == place.seq()) {
                self.take_out(item.vid);
                self.mark_ended(place.seq());
                taken_out += 1;
            }
            if item.seq > 0 {
                self.mark_ended(item.seq);
            }
        }
        Ok(taken_out)
    }

    /// Takes note of the numbers on verified tickets and tokens, or refuses those out of range.
    fn admit_numbers(&mut self, seqs: impl Iterator<Item = u64> + Clone) -> Result<(), StoreError> {
        check_numbers(seqs.clone())?;
        let highest = seqs.max().unwrap_or(0);
        if highest.saturating_sub(self.base) >= BIT_WINDOW {
            return Err(out_of_window(highest));
        }
        self.outrun(highest);
        Ok(())
    }
}
