//! Into the line and out of it: join, the fast lane, reap.

use std::collections::{HashMap, HashSet};

use super::super::{JoinItem, Limits, SEQ_MARGIN, Seen, Standing, StoreError, Verdict, Vid};
use super::state::{
    BIT_WINDOW, Now, Place, Room, WINDOW_KEPT, bad_argument, check_batch, check_limits, check_numbers, check_seen,
    out_of_window,
};

/// Numbers that a batch has given out or left. A number that was left is free only after the batch.
#[derive(Default)]
struct Moves {
    taken: HashSet<u64>,
    left: Vec<u64>,
}

impl Room {
    /// See `join` of the store: new visitors at the tail, verified tickets at their old number.
    pub(super) fn join(&mut self, seen: Seen, batch: &[JoinItem], now: Now) -> Result<Vec<Standing>, StoreError> {
        check_batch(batch.len())?;
        check_seen(seen)?;
        check_numbers(batch.iter().map(|item| item.seq))?;
        let mut seq = self.seq;
        if seq < seen.seq {
            seq = seen.seq + SEQ_MARGIN;
        }
        let highest = batch.iter().map(|item| item.seq).max().unwrap_or(0);
        if highest > seq {
            seq = highest + SEQ_MARGIN;
        }
        self.widen_window(seq, batch)?;
        self.seq = seq;

        let known: Vec<Option<Place>> = batch.iter().map(|item| self.places.get(&item.vid).copied()).collect();
        let mut moves = Moves::default();
        let mut answered: HashMap<Vid, Standing> = HashMap::new();
        let mut answers = Vec::with_capacity(batch.len());
        for (item, place) in batch.iter().zip(known) {
            let answer = match answered.get(&item.vid) {
                Some(earlier) => *earlier,
                None => self.stand(*item, place, &mut moves, now),
            };
            if !matches!(answer, Standing::Void(_)) {
                answered.insert(item.vid, answer);
            }
            answers.push(answer);
        }
        for left in moves.left {
            self.waiting.unset(left - self.base);
        }
        Ok(answers)
    }

    /// Where one joining visitor stands; `place` is where the batch found them.
    fn stand(&mut self, item: JoinItem, place: Option<Place>, moves: &mut Moves, now: Now) -> Standing {
        let mut ticket = item.seq;
        match place {
            Some(Place::Active { seq, until_ms, .. }) if until_ms >= now.ms => return Standing::Active(seq),
            Some(Place::Granted { seq, until_ms }) if until_ms >= now.ms => return Standing::Granted(seq),
            Some(Place::Waiting(seq)) => {
                // An older valid ticket wins over a newer place.
                if ticket == 0 || ticket >= seq || self.is_void(ticket) || !self.is_free(ticket, moves) {
                    return Standing::Waiting(seq);
                }
                self.line.remove(&seq);
                moves.left.push(seq);
            }
            Some(Place::Granted { seq, .. } | Place::Active { seq, .. }) => {
                self.take_out(item.vid);
                // A turn that ran out unclaimed: the place is kept, even without the ticket.
                if ticket == 0 && !self.is_void(seq) && self.is_free(seq, moves) {
                    ticket = seq;
                }
            }
            None => {}
        }
        if ticket == 0 {
            self.seq += 1;
            ticket = self.seq;
        } else if self.is_void(ticket) || !self.is_free(ticket, moves) {
            return Standing::Void(ticket);
        }
        self.put_in_line(item.vid, ticket);
        moves.taken.insert(ticket);
        Standing::Waiting(ticket)
    }

    fn is_free(&self, seq: u64, moves: &Moves) -> bool {
        !moves.taken.contains(&seq) && !self.waiting.get(seq - self.base)
    }

    /// Moves the bit window up as far as nobody is dropped, if the batch would not fit in it.
    fn widen_window(&mut self, seq: u64, batch: &[JoinItem]) -> Result<(), StoreError> {
        let top = seq + batch.len() as u64;
        if top - self.base < BIT_WINDOW {
            return Ok(());
        }
        let oldest =
            batch.iter().map(|item| item.seq).filter(|ticket| *ticket > self.floor && *ticket >= self.base).min();
        let lowest = [Some(seq.saturating_sub(WINDOW_KEPT)), self.head(), oldest].into_iter().flatten().min();
        let base = lowest.unwrap_or(0) / 8 * 8;
        if base <= self.base || top - base >= BIT_WINDOW {
            return Err(out_of_window(seq));
        }
        self.rebase(base);
        Ok(())
    }

    /// See `enter` of the store: straight to a session while nobody waits.
    pub(super) fn enter(
        &mut self,
        seen: Seen,
        limits: Limits,
        ttl_ms: u64,
        batch: &[Vid],
        now: Now,
    ) -> Result<Vec<Verdict>, StoreError> {
        check_batch(batch.len())?;
        check_limits(limits)?;
        check_seen(seen)?;
        let top = self.seq.max(seen.seq) + 2 * SEQ_MARGIN + batch.len() as u64;
        if top - self.base >= BIT_WINDOW {
            return Err(out_of_window(top));
        }
        self.refill(seen, limits, now);
        let open = self.line.is_empty() && self.hold_until_us <= now.us && !self.paused();
        let mut free = match limits.max_active {
            0 => u64::MAX,
            cap => cap.saturating_sub(self.occupied(now)),
        };
        let until_ms = now.ms + ttl_ms;
        let mut answers = Vec::with_capacity(batch.len());
        for vid in batch {
            let answer = match self.places.get(vid).copied() {
                Some(Place::Active { seq, until_ms, began_ms }) if until_ms >= now.ms => {
                    Verdict::Session { seq, expires_at_ms: until_ms, began_ms }
                }
                Some(Place::Granted { .. }) => Verdict::No,
                _ if open && self.tokens >= 1.0 && free >= 1 => {
                    self.tokens -= 1.0;
                    free -= 1;
                    self.admitted += 1;
                    self.seq += 1;
                    let seq = self.seq;
                    self.seat(*vid, seq, until_ms, now.ms);
                    self.mark_spent(seq);
                    self.watermark = self.watermark.max(seq);
                    Verdict::Session { seq, expires_at_ms: until_ms, began_ms: now.ms }
                }
                _ => Verdict::No,
            };
            answers.push(answer);
        }
        Ok(answers)
    }

    /// See `reap` of the store: out of the line, the ticket stays good.
    pub(super) fn reap(&mut self, seqs: &[u64]) -> Result<u64, StoreError> {
        check_batch(seqs.len())?;
        check_numbers(seqs.iter().copied())?;
        if seqs.contains(&0) {
            return Err(bad_argument("no ticket has the number 0"));
        }
        let mut removed = 0;
        for seq in seqs {
            if let Some(vid) = self.line.get(seq).copied() {
                self.take_out(vid);
                removed += 1;
            }
        }
        Ok(removed)
    }
}
