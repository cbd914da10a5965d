//! The audit must find what is planted, and nothing else.

use super::*;
use crate::contract::SeatName;

fn reservation(id: &str, schedule_id: i64, seats: &[&str]) -> Reservation {
    let seats = seats.iter().map(|seat| SeatName::Plain((*seat).to_owned())).collect();
    Reservation { reservation_id: id.to_owned(), schedule_id, seats, amount: 500 }
}

fn invariants(audit: &Audit) -> Vec<&'static str> {
    audit.findings().broken.iter().map(|broken| broken.invariant).collect()
}

#[test]
fn i14_a_seat_sold_twice_is_found() {
    let audit = Audit::default();
    audit.sold(1, 1, &reservation("r1", 7, &["A-1", "A-2"]));
    audit.sold(2, 2, &reservation("r2", 7, &["A-3"]));
    // Another evening, and the same reservation seen again in the list.
    audit.sold(3, 3, &reservation("r3", 8, &["A-1"]));
    audit.sold(1, 1, &reservation("r1", 7, &["A-1", "A-2"]));
    assert_eq!((invariants(&audit), audit.findings().seats_sold), (vec![], 4));
    audit.sold(4, 4, &reservation("r4", 7, &["A-2"]));
    assert_eq!(invariants(&audit), ["I14"]);
    audit.sold(5, 5, &reservation("r2", 7, &["A-3"]));
    assert_eq!(invariants(&audit), ["I14", "I14"]);
}

#[test]
fn what_was_told_must_be_in_the_list() {
    let audit = Audit::default();
    let told = reservation("r1", 7, &["A-1", "A-2"]);
    audit.confirm(1, &told, &[reservation("r0", 7, &["B-1"]), reservation("r1", 7, &["A-2", "A-1"])]);
    assert_eq!((invariants(&audit), audit.findings().reservations_confirmed), (vec![], 1));
    audit.confirm(1, &told, &[]);
    audit.confirm(1, &told, &[reservation("r1", 7, &["A-1"])]);
    audit.confirm(1, &told, &[reservation("r1", 8, &["A-1", "A-2"])]);
    assert_eq!(invariants(&audit), ["told", "told", "told"]);
}

#[test]
fn i4_no_two_visitors_share_a_ticket() {
    let audit = Audit::default();
    for (visitor, room, seq) in [(1, "a", 1), (2, "a", 2), (1, "a", 1), (3, "b", 1)] {
        audit.ticket(visitor, room, seq);
    }
    assert_eq!((invariants(&audit), audit.findings().tickets), (vec![], 3));
    audit.ticket(4, "a", 2);
    assert_eq!(invariants(&audit), ["I4"]);
}

fn waiting(seq: Option<u64>, position: Option<u64>) -> Status {
    Status { room: "r".into(), state: QueueState::Waiting, seq, position, poll_after_ms: 1 }
}

#[test]
fn i5_the_position_falls_and_i4_the_number_stays() {
    let mut place = PlaceInLine::default();
    for (seq, position) in [(None, None), (Some(5), Some(9)), (Some(5), Some(9)), (Some(5), Some(2))] {
        assert_eq!(place.see(&waiting(seq, position)), []);
    }
    let admitted = Status { state: QueueState::Admitted, ..waiting(None, None) };
    assert_eq!(place.see(&admitted), []);
    assert_eq!(place.see(&waiting(Some(5), Some(3)))[0].0, "I5");
    assert_eq!(place.see(&waiting(Some(6), Some(1)))[0].0, "I4");
    assert_eq!(place.seq(), Some(5));
}

#[test]
fn i16_the_wallet_is_opening_plus_charges_less_payments_and_its_ledger() {
    let book = Book { opening: Some(1000), charged: 300, paid: 500, unsure: false };
    assert!(book.check(1, 800, 800).is_empty());
    assert_eq!(book.check(1, 800, 900).len(), 1);
    assert_eq!(book.check(1, 900, 900).len(), 1);
    assert_eq!(book.check(1, -1, -1).len(), 2);
    let unsure = Book { unsure: true, ..book };
    assert!(unsure.check(1, 900, 900).is_empty());
    assert_eq!(unsure.check(1, 900, 901).len(), 1);
}

#[test]
fn findings_are_bounded_and_counted() {
    let audit = Audit::default();
    for visitor in 0..1000 {
        audit.broken("I5", visitor, String::new());
    }
    assert_eq!((audit.findings().broken_total, audit.findings().broken.len()), (1000, MAX_KEPT));
}
