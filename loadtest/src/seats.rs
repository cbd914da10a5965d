//! Choosing seats as people do: next to each other. Pure, the randomness comes in.

use rand::{Rng, RngExt};

use crate::contract::Seat;

/// One to `wanted` free seats that are next to each other in one row of one section, chosen at random among
/// the longest that can be had (up to `wanted`). Empty when nothing is free.
pub fn choose(seats: &[Seat], wanted: usize, rng: &mut impl Rng) -> Vec<String> {
    let mut free: Vec<Place<'_>> = seats.iter().filter(|seat| seat.status == "available").map(Place::of).collect();
    free.sort_unstable();
    let runs = runs(&free);
    for size in (1..=wanted).rev() {
        // Every place where `size` seats fit is as likely as any other.
        let places: usize = runs.iter().map(|run| (run.len() + 1).saturating_sub(size)).sum();
        if places == 0 {
            continue;
        }
        let mut place = rng.random_range(0..places);
        for run in &runs {
            let here = (run.len() + 1).saturating_sub(size);
            if place < here {
                return run.iter().skip(place).take(size).map(|seat| seat.name.to_owned()).collect();
            }
            place -= here;
        }
    }
    Vec::new()
}

/// A free seat, ordered so that neighbours stand next to each other.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Place<'a> {
    section: &'a str,
    /// What stands before the number: `A` in `A-12`.
    row: &'a str,
    /// A seat without a number has no neighbour.
    number: Option<u64>,
    name: &'a str,
}

impl<'a> Place<'a> {
    fn of(seat: &'a Seat) -> Self {
        let name = seat.seat.as_str();
        let row = name.trim_end_matches(|letter: char| letter.is_ascii_digit());
        let number = name.get(row.len()..).and_then(|digits| digits.parse().ok());
        Self { section: &seat.section, row, number, name }
    }

    fn next_to(&self, other: &Self) -> bool {
        let follows = self.number.zip(other.number).is_some_and(|(a, b)| a.checked_add(1) == Some(b));
        (self.section, self.row) == (other.section, other.row) && follows
    }
}

/// The longest stretches of neighbours.
fn runs<'a, 'b>(free: &'b [Place<'a>]) -> Vec<&'b [Place<'a>]> {
    free.chunk_by(|a, b| a.next_to(b)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng, rngs::SmallRng};

    fn seat(section: &str, seat: &str, status: &str) -> Seat {
        Seat { seat: seat.into(), section: section.into(), status: status.into() }
    }

    fn hall() -> Vec<Seat> {
        let mut seats: Vec<Seat> = (1..=12).map(|n| seat("R", &format!("A-{n}"), "available")).collect();
        // 1 2 _ _ 5 6 7 _ 9 10 11 _: number order is not text order.
        for taken in [3, 4, 8, 12] {
            seats[taken - 1].status = if taken == 3 { "held".into() } else { "reserved".into() };
        }
        // A neighbour by number in another row, and one in another section.
        seats.push(seat("R", "B-12", "available"));
        seats.push(seat("S", "A-12", "available"));
        seats.reverse();
        seats
    }

    fn chosen(wanted: usize) -> std::collections::BTreeSet<Vec<String>> {
        let mut rng = SmallRng::seed_from_u64(1);
        (0..500).map(|_| choose(&hall(), wanted, &mut rng)).collect()
    }

    #[test]
    fn three_seats_are_always_neighbours_and_every_place_is_tried() {
        let both = [["A-5", "A-6", "A-7"], ["A-9", "A-10", "A-11"]];
        assert_eq!(chosen(3), both.map(|seats| seats.map(String::from).to_vec()).into());
    }

    #[test]
    fn who_wants_more_than_fits_together_takes_fewer() {
        assert!(chosen(4).iter().all(|seats| seats.len() == 3));
    }

    #[test]
    fn one_seat_may_be_any_free_one() {
        assert_eq!(chosen(1).len(), 10);
        assert_eq!(chosen(2).len(), 5);
    }

    #[test]
    fn nothing_free_is_nothing_chosen() {
        let mut rng = SmallRng::seed_from_u64(1);
        assert!(choose(&[seat("R", "A-1", "held")], 4, &mut rng).is_empty());
        assert!(choose(&[], 4, &mut rng).is_empty());
        assert_eq!(choose(&[seat("R", "Box", "available")], 4, &mut rng), ["Box"]);
    }
}
