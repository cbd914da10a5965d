//! The use cases: hold, release, pay, cancel. Puts the seat lock in front of the ledger; knows no HTTP.

pub mod card;

use std::time::Duration;

use uuid::Uuid;

use crate::ledger::holds::{Hold, HoldAnswer, HoldRequest, ReleaseAnswer, Wanted};
use crate::ledger::idempotency::IdempotencyKey;
use crate::ledger::payments::{CancelAnswer, PayAnswer, PayRequest, Reservation};
use crate::ledger::{Ledger, LedgerError};
use crate::lock::{Locked, Owner, SeatLock};
use crate::metrics::Metrics;
use crate::seat::{ScheduleId, SeatNumber, Seats, Standing, UserId};
use crate::seatmap::{Change, SeatMaps};
use card::Cards;

/// The method of payments by the gateway, as the ledger writes it.
const CARD: &str = "card";

/// What one hold may be.
#[derive(Debug, Clone, Copy)]
pub struct HoldRules {
    /// How long seats are kept.
    pub ttl: Duration,
    /// Seats in one hold.
    pub max_seats: usize,
    /// Live seats of one user in one schedule.
    pub max_per_user: u32,
}

/// How a hold is paid for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Method {
    /// From the user's wallet.
    Wallet,
    /// By the external gateway.
    Card {
        /// From where, as the gateway's own front end named it.
        source: Option<String>,
    },
}

/// Seats, from wanted to paid.
pub struct Booking {
    ledger: Ledger,
    lock: SeatLock,
    /// `None`: there is no gateway.
    cards: Option<Cards>,
    maps: SeatMaps,
    metrics: Metrics,
}

impl Booking {
    /// The use cases over a ledger, a lock, and a gateway if there is one; `maps` hear of every change.
    pub fn new(ledger: Ledger, lock: SeatLock, maps: SeatMaps, cards: Option<Cards>, metrics: Metrics) -> Self {
        Self { ledger, lock, maps, cards, metrics }
    }

    /// Holds seats: the lock turns the crowd away, the ledger decides.
    pub async fn hold(&self, request: &HoldRequest) -> Result<HoldAnswer, LedgerError> {
        let (answer, by_lock) = match &request.wanted {
            Wanted::Named(seats) => self.hold_named(request, seats).await,
            Wanted::Best(_) => (self.hold_best(request).await, false),
        };
        self.metrics.hold(match &answer {
            Ok(HoldAnswer::Held { .. }) => "held",
            Ok(HoldAnswer::SeatTaken { .. }) if by_lock => "refused_by_lock",
            Ok(HoldAnswer::SeatTaken { .. }) => "seat_taken",
            Ok(HoldAnswer::NoAdjacentSeats) => "no_adjacent_seats",
            Ok(_) => "refused",
            Err(LedgerError::Contended) => "busy",
            Err(_) => "error",
        });
        answer
    }

    /// The answer, and whether the lock gave it.
    async fn hold_named(&self, request: &HoldRequest, seats: &Seats) -> (Result<HoldAnswer, LedgerError>, bool) {
        let owner = owner_of(request);
        let locked = self.lock.acquire(request.schedule, seats, &owner).await;
        let answer = match (&locked, &request.key) {
            (Locked::Taken(taken), None) => {
                Ok(HoldAnswer::SeatTaken { seats: taken.iter().map(ToString::to_string).collect() })
            }
            // The key may already have an answer; if not, this is it from now on.
            (Locked::Taken(taken), Some(key)) => self.ledger.refuse_hold(request.user, taken, key).await,
            // A twin is under way, done or dead: a refusal stored now would stand in the way of its own hold.
            (Locked::Ours | Locked::Twin | Locked::Unknown, _) => self.ledger.hold(request).await,
        };
        let by_lock = matches!(locked, Locked::Taken(_));
        if !by_lock {
            match &answer {
                // A stored answer names the hold of its first time, whose locks are not ours.
                Ok(HoldAnswer::Held { hold }) if hold.hold_id == request.hold => {
                    let changes = held(hold);
                    // Both at once: one wait for Redis.
                    tokio::join!(
                        self.lock.extend(request.schedule, seats, &owner, request.ttl),
                        self.maps.tell(request.schedule, &changes),
                    );
                }
                _ => self.lock.release(request.schedule, seats.as_slice(), &owner).await,
            }
        }
        (answer, by_lock)
    }

    /// Which seats it will be is not known before: the lock comes after the ledger, to turn away the crowd behind.
    async fn hold_best(&self, request: &HoldRequest) -> Result<HoldAnswer, LedgerError> {
        let answer = self.ledger.hold(request).await?;
        if let HoldAnswer::Held { hold } = &answer
            && hold.hold_id == request.hold
        {
            self.maps.tell(request.schedule, &held(hold)).await;
            let names: Vec<String> = hold.lines.iter().map(|line| line.seat.clone()).collect();
            if let Ok(seats) = Seats::parse(&names, names.len()) {
                let owner = owner_of(request);
                // Somebody who asked for these seats by name at this moment may have the locks: they end by themselves.
                if self.lock.acquire(request.schedule, &seats, &owner).await == Locked::Ours {
                    self.lock.extend(request.schedule, &seats, &owner, request.ttl).await;
                }
            }
        }
        Ok(answer)
    }

    /// Gives seats back.
    pub async fn release(&self, user: UserId, hold: Uuid) -> Result<ReleaseAnswer, LedgerError> {
        let answer = self.ledger.release(user, hold).await?;
        if let ReleaseAnswer::Released { schedule_id, seats, versions } = &answer {
            let freed = seats.iter().zip(versions);
            let freed: Vec<Change> = freed.map(|(seat, version)| change(seat, *version, Standing::Free)).collect();
            tokio::join!(
                self.unlock(*schedule_id, seats.iter().map(String::as_str), hold),
                self.maps.tell(ScheduleId(*schedule_id), &freed),
            );
        }
        Ok(answer)
    }

    /// Pays for a hold.
    pub async fn pay(&self, request: &PayRequest, method: &Method) -> Result<PayAnswer, LedgerError> {
        let answer = match (method, &self.cards) {
            (Method::Wallet, _) => self.ledger.pay(request).await,
            (Method::Card { source }, Some(cards)) => cards.pay(request, source.as_deref()).await,
            (Method::Card { .. }, None) => Ok(PayAnswer::MethodUnavailable),
        };
        if let Ok(PayAnswer::Paid { reservation }) = &answer {
            let seats = reservation.lines.iter().map(|line| line.seat.as_str());
            tokio::join!(
                self.unlock(reservation.schedule_id, seats, request.hold),
                self.tell(reservation, 1, Standing::Sold),
            );
        }
        self.metrics.payment(match &answer {
            Ok(PayAnswer::Paid { .. }) => "paid",
            Ok(PayAnswer::HoldExpired) => "hold_expired",
            Ok(PayAnswer::InsufficientBalance { .. }) => "insufficient_balance",
            Ok(PayAnswer::PaymentDeclined { .. }) => "declined",
            Ok(PayAnswer::GatewayUnavailable | PayAnswer::PaymentUndone) => "gateway_unavailable",
            Ok(_) => "refused",
            Err(_) => "error",
        });
        answer
    }

    /// Gives back the seats and the money of a reservation. Paid seats have no locks.
    pub async fn cancel(
        &self,
        user: UserId,
        reservation: Uuid,
        key: Option<&IdempotencyKey>,
    ) -> Result<CancelAnswer, LedgerError> {
        let answer = self.ledger.cancel(user, reservation, key).await;
        if let (Ok(CancelAnswer::Cancelled { reservation }), Some(cards)) = (&answer, &self.cards)
            && reservation.method == CARD
        {
            cards.refund(reservation.payment_id);
        }
        if let Ok(CancelAnswer::Cancelled { reservation }) = &answer {
            self.tell(reservation, 2, Standing::Free).await;
        }
        self.metrics.cancellation(match &answer {
            Ok(CancelAnswer::Cancelled { .. }) => "cancelled",
            Ok(_) => "refused",
            Err(_) => "error",
        });
        answer
    }

    /// Tells the maps what became of a reservation's seats, so many changes after their hold.
    async fn tell(&self, reservation: &Reservation, changes: i64, standing: Standing) {
        let lines = reservation.lines.iter();
        let changes: Vec<Change> = lines.map(|line| change(&line.seat, line.version + changes, standing)).collect();
        self.maps.tell(ScheduleId(reservation.schedule_id), &changes).await;
    }

    async fn unlock<'a>(&self, schedule: i64, seats: impl Iterator<Item = &'a str>, hold: Uuid) {
        // Every seat in the ledger came in through the same check, or from seed data that fits it.
        let seats: Vec<SeatNumber> = seats.filter_map(|seat| SeatNumber::parse(seat).ok()).collect();
        self.lock.release(ScheduleId(schedule), &seats, &Owner::new(hold, None)).await;
    }
}

fn owner_of(request: &HoldRequest) -> Owner {
    let mark = request.key.as_ref().map(|key| key.mark(request.user));
    Owner::new(request.hold, mark.as_deref())
}

fn change(seat: &str, version: i64, standing: Standing) -> Change {
    Change { seat: seat.to_owned(), version, standing }
}

fn held(hold: &Hold) -> Vec<Change> {
    let standing = Standing::HeldUntil(hold.expires_at.timestamp_millis());
    hold.lines.iter().map(|line| change(&line.seat, line.version, standing)).collect()
}
