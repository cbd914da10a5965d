//! What must hold whatever happens, checked from outside: nothing here asks the site for anything.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, hash_map::Entry},
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;

use crate::contract::{QueueState, Reservation, Status};

/// Broken invariants that are kept word for word; the rest is only counted.
const MAX_KEPT: usize = 100;

/// An invariant that did not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Broken {
    /// Its number, or `told` for an answer that turned out to be untrue.
    pub invariant: &'static str,
    /// Who saw it.
    pub visitor: usize,
    /// What was seen.
    pub what: String,
}

/// What was checked, so that silence can be told from success.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// Broken invariants in all.
    pub broken_total: u64,
    /// The first of them.
    pub broken: Vec<Broken>,
    /// Seats that the site says are sold, each once.
    pub seats_sold: usize,
    /// Reservations that a visitor was told of and found again in the user's list.
    pub reservations_confirmed: u64,
    /// Wallets whose balance was compared with this run's charges and payments, and with their ledger.
    pub wallets_checked: u64,
    /// Wallets with a charge or payment whose answer was lost: only their ledger could be checked.
    pub wallets_unsure: u64,
    /// Visitors who bought or charged and could not look again before they left, by reason.
    pub not_audited: BTreeMap<&'static str, u64>,
    /// Tickets seen in line.
    pub tickets: usize,
}

/// The memory of the whole crowd.
#[derive(Debug, Default)]
pub struct Audit {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    findings: Findings,
    /// Who sold seat is it: (schedule, seat) → reservation.
    sold: HashMap<(i64, String), String>,
    /// Whose reservation is it.
    owners: HashMap<String, u64>,
    /// Whose ticket is it: (room, seq) → visitor.
    tickets: HashMap<(String, u64), usize>,
}

impl Audit {
    /// A reservation that the site says exists: told to a buyer, or listed.
    pub fn sold(&self, visitor: usize, user: u64, reservation: &Reservation) {
        let mut state = self.lock();
        let id = &reservation.reservation_id;
        let owner = *state.owners.entry(id.clone()).or_insert(user);
        if owner != user {
            state.broken("I14", visitor, format!("reservation {id} belongs to user {owner} and to user {user}"));
        }
        for seat in reservation.seat_names() {
            let place = (reservation.schedule_id, seat.to_owned());
            match state.sold.entry(place) {
                Entry::Vacant(free) => {
                    free.insert(id.clone());
                }
                Entry::Occupied(sold) if sold.get() != id => {
                    let what = format!(
                        "seat {seat} of schedule {} is sold twice: reservations {} and {id}",
                        reservation.schedule_id,
                        sold.get()
                    );
                    state.broken("I14", visitor, what);
                }
                Entry::Occupied(_) => {}
            }
        }
    }

    /// What a user's list says about a reservation that this visitor was told of.
    pub fn confirm(&self, visitor: usize, told: &Reservation, listed: &[Reservation]) {
        let mut state = self.lock();
        let id = &told.reservation_id;
        match listed.iter().find(|listed| listed.reservation_id == *id) {
            None => {
                state.broken("told", visitor, format!("reservation {id} was confirmed and is not in the user's list"))
            }
            Some(listed) if !listed.is_same_purchase(told) => {
                state.broken(
                    "told",
                    visitor,
                    format!("reservation {id} has other seats or another amount than confirmed"),
                );
            }
            Some(_) => state.findings.reservations_confirmed += 1,
        }
    }

    /// A ticket's number. No two visitors share one.
    pub fn ticket(&self, visitor: usize, room: &str, seq: u64) {
        let mut state = self.lock();
        let owner = *state.tickets.entry((room.to_owned(), seq)).or_insert(visitor);
        if owner != visitor {
            state.broken("I4", visitor, format!("ticket {seq} of room {room} is also visitor {owner}'s"));
        }
    }

    /// Something else that must not be.
    pub fn broken(&self, invariant: &'static str, visitor: usize, what: String) {
        self.lock().broken(invariant, visitor, what);
    }

    /// A wallet was looked at: with every movement known, or not.
    pub fn wallet(&self, sure: bool) {
        let mut state = self.lock();
        let checked = if sure { &mut state.findings.wallets_checked } else { &mut state.findings.wallets_unsure };
        *checked += 1;
    }

    /// Somebody left without looking again.
    pub fn not_audited(&self, reason: &'static str) {
        *self.lock().findings.not_audited.entry(reason).or_default() += 1;
    }

    /// The verdict.
    pub fn findings(&self) -> Findings {
        let state = self.lock();
        Findings { seats_sold: state.sold.len(), tickets: state.tickets.len(), ..state.findings.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn broken(&mut self, invariant: &'static str, visitor: usize, what: String) {
        self.findings.broken_total += 1;
        if self.findings.broken.len() < MAX_KEPT {
            self.findings.broken.push(Broken { invariant, visitor, what });
        }
    }
}

impl Reservation {
    /// Same seats of the same evening for the same money.
    pub fn is_same_purchase(&self, other: &Self) -> bool {
        let names = |reservation: &Self| reservation.seat_names().map(str::to_owned).collect::<BTreeSet<_>>();
        (self.schedule_id, self.amount) == (other.schedule_id, other.amount) && names(self) == names(other)
    }
}

/// What one visitor has been told about one place in line.
#[derive(Debug, Default)]
pub struct PlaceInLine {
    seq: Option<u64>,
    position: Option<u64>,
}

impl PlaceInLine {
    /// The number, once there is one.
    pub fn seq(&self) -> Option<u64> {
        self.seq
    }

    /// Takes up a status; answers what in it must not be: a changed `seq`, a risen position.
    pub fn see(&mut self, status: &Status) -> Vec<(&'static str, String)> {
        let mut broken = Vec::new();
        match (self.seq, status.seq) {
            (Some(before), Some(now)) if before != now => {
                broken.push(("I4", format!("the ticket's number changed from {before} to {now}")));
            }
            (_, now) => self.seq = self.seq.or(now),
        }
        match (self.position, status.position) {
            (Some(before), Some(now)) if now > before => {
                broken.push(("I5", format!("the position rose from {before} to {now}")));
            }
            _ => {}
        }
        if status.state == QueueState::Waiting {
            self.position = status.position.or(self.position);
        }
        broken
    }
}

/// What this run did with one user's wallet.
#[derive(Debug, Default, Clone)]
pub struct Book {
    /// The balance before the first visitor of this user did anything.
    pub opening: Option<i64>,
    /// Charges that were confirmed.
    pub charged: i64,
    /// Payments that were confirmed.
    pub paid: i64,
    /// An answer was lost: the site may or may not have moved money.
    pub unsure: bool,
}

impl Book {
    /// Compares with what the site says now. Nothing of ours may be under way for this user.
    pub fn check(&self, user: u64, balance: i64, ledger_sum: i64) -> Vec<String> {
        let mut broken = Vec::new();
        if balance < 0 {
            broken.push(format!("the wallet of user {user} is overdrawn: {balance}"));
        }
        if balance != ledger_sum {
            broken.push(format!("the wallet of user {user} says {balance}, its ledger adds up to {ledger_sum}"));
        }
        let expected = self.opening.map(|opening| opening + self.charged - self.paid);
        if let Some(expected) = expected.filter(|expected| !self.unsure && *expected != balance) {
            broken.push(format!(
                "the wallet of user {user} says {balance}; opening balance + charges − payments is {expected} \
                 ({} + {} − {})",
                self.opening.unwrap_or_default(),
                self.charged,
                self.paid
            ));
        }
        broken
    }
}

#[cfg(test)]
mod tests;
