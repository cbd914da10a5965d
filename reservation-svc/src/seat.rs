//! Seats as buyers name them, and the rules about asking for some. Pure: no clock, no database, no sockets.

use std::fmt;

/// Longest seat number accepted. Real ones have at most a dozen characters; the bound keeps keys and logs short.
pub const MAX_SEAT_NUMBER: usize = 32;

/// Largest amount of one charge, in the smallest unit. Far above any ticket, far below what could overflow.
pub const MAX_CHARGE: i64 = 1_000_000_000;

/// A user, as named by the `sub` of their token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UserId(i64);

impl UserId {
    /// A user id is a positive integer; anything else is nobody.
    pub fn new(id: i64) -> Option<Self> {
        (id > 0).then_some(Self(id))
    }

    /// The number itself.
    pub fn get(self) -> i64 {
        self.0
    }
}

/// A schedule: one evening of one concert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ScheduleId(pub i64);

/// A seat as printed on the ticket, such as `A-12`. Letters, digits and `-` only, so it is safe in a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeatNumber(String);

impl SeatNumber {
    /// Checks the spelling; whether the seat exists is for the ledger to say.
    pub fn parse(text: &str) -> Result<Self, SeatsError> {
        let spelled = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if text.is_empty() || text.len() > MAX_SEAT_NUMBER || !spelled {
            return Err(SeatsError::Misspelt);
        }
        Ok(Self(text.to_owned()))
    }

    /// The number as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SeatNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The seats of one hold: distinct, at least one, sorted, so that everybody locks in the same order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seats(Vec<SeatNumber>);

impl Seats {
    /// Checks a list of seats as it came in; at most `max` of them.
    pub fn parse(texts: &[String], max: usize) -> Result<Self, SeatsError> {
        if texts.is_empty() {
            return Err(SeatsError::None);
        }
        if texts.len() > max {
            return Err(SeatsError::TooMany { asked: texts.len(), max });
        }
        let mut seats = texts.iter().map(|text| SeatNumber::parse(text)).collect::<Result<Vec<_>, _>>()?;
        seats.sort();
        if let Some(twice) = seats.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(SeatsError::Twice(twice[0].clone()));
        }
        Ok(Self(seats))
    }

    /// The seats in order.
    pub fn as_slice(&self) -> &[SeatNumber] {
        &self.0
    }

    /// The seats as strings, in order.
    pub fn to_strings(&self) -> Vec<String> {
        self.0.iter().map(|seat| seat.0.clone()).collect()
    }
}

/// Longest name of a section accepted.
pub const MAX_SECTION: usize = 32;

/// Adjacent seats that the service is to choose: how many, and in which section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BestSeats {
    count: u32,
    section: String,
}

impl BestSeats {
    /// Checks what came in; at most `max` seats. Whether the section exists is for the ledger to say.
    pub fn parse(count: u32, section: &str, max: usize) -> Result<Self, SeatsError> {
        let asked = usize::try_from(count).unwrap_or(usize::MAX);
        if asked == 0 {
            return Err(SeatsError::None);
        }
        if asked > max {
            return Err(SeatsError::TooMany { asked, max });
        }
        if section.is_empty() || section.len() > MAX_SECTION || section.chars().any(char::is_control) {
            return Err(SeatsError::Section);
        }
        Ok(Self { count, section: section.to_owned() })
    }

    /// How many seats.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// In which section.
    pub fn section(&self) -> &str {
        &self.section
    }
}

/// Why a list of seats can not be asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SeatsError {
    /// The list was empty.
    #[error("Name at least one seat.")]
    None,
    /// More than one hold may have.
    #[error("{asked} seats were asked for; one hold has at most {max}.")]
    TooMany {
        /// How many were asked for.
        asked: usize,
        /// How many one hold may have.
        max: usize,
    },
    /// The same seat twice.
    #[error("Seat {0} is named twice.")]
    Twice(SeatNumber),
    /// Not a seat number at all.
    #[error("A seat is 1 to {MAX_SEAT_NUMBER} letters, digits and hyphens, such as A-12.")]
    Misspelt,
    /// Not the name of a section.
    #[error("A section is named by 1 to {MAX_SECTION} bytes of text.")]
    Section,
}

/// What a buyer sees of a seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeatState {
    /// Free, or its hold has run out.
    Available,
    /// Somebody has it for some minutes.
    Held,
    /// Sold.
    Reserved,
}

impl SeatState {
    /// The word of the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Held => "held",
            Self::Reserved => "reserved",
        }
    }
}

/// Who has a seat, as long as nobody changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nobody.
    Free,
    /// Somebody, until this time, ms since 1970.
    HeldUntil(i64),
    /// Somebody who paid.
    Sold,
}

impl Standing {
    /// What a buyer sees at a time, ms since 1970: a hold ends by the clock, and nobody has to write that down.
    pub fn at(self, now_ms: i64) -> SeatState {
        match self {
            Self::Free => SeatState::Available,
            Self::HeldUntil(until_ms) if until_ms <= now_ms => SeatState::Available,
            Self::HeldUntil(_) => SeatState::Held,
            Self::Sold => SeatState::Reserved,
        }
    }
}

/// A seat of a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// Its number.
    pub seat: String,
    /// The priced section.
    pub section: String,
    /// In the smallest unit.
    pub price: i64,
    /// Rises with every change.
    pub version: i64,
    /// Who has it.
    pub standing: Standing,
}

/// Checks the amount of a charge: whole, positive, bounded.
pub fn charge_amount(amount: i64) -> Result<i64, AmountError> {
    if (1..=MAX_CHARGE).contains(&amount) { Ok(amount) } else { Err(AmountError) }
}

/// An amount that can not be charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("The amount must be a whole number from 1 to {MAX_CHARGE}.")]
pub struct AmountError;

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(seats: &[&str]) -> Vec<String> {
        seats.iter().map(|seat| (*seat).to_owned()).collect()
    }

    #[test]
    fn seats_are_sorted_and_distinct() {
        let seats = Seats::parse(&texts(&["B-2", "A-12"]), 4).unwrap();
        assert_eq!(seats.to_strings(), ["A-12", "B-2"]);
        assert_eq!(
            Seats::parse(&texts(&["A-1", "B-1", "A-1"]), 4),
            Err(SeatsError::Twice(SeatNumber::parse("A-1").unwrap()))
        );
    }

    #[test]
    fn refused_lists_of_seats() {
        assert_eq!(Seats::parse(&[], 4), Err(SeatsError::None));
        assert_eq!(Seats::parse(&texts(&["A-1", "A-2", "A-3"]), 2), Err(SeatsError::TooMany { asked: 3, max: 2 }));
        for bad in ["", "A 1", "A-1\0", "A:1", "좌석", "ABCDEFGHIJKLMNOPQRSTUVWXYZ-1234567"] {
            assert_eq!(Seats::parse(&texts(&[bad]), 4), Err(SeatsError::Misspelt), "{bad:?}");
        }
    }

    #[test]
    fn refused_wishes_for_the_best_seats() {
        assert_eq!(BestSeats::parse(0, "R", 4), Err(SeatsError::None));
        assert_eq!(BestSeats::parse(5, "R", 4), Err(SeatsError::TooMany { asked: 5, max: 4 }));
        assert!(BestSeats::parse(4, "R", 4).is_ok());
        for bad in ["", "R\0", "R\n", &"R".repeat(MAX_SECTION + 1)] {
            assert_eq!(BestSeats::parse(1, bad, 4), Err(SeatsError::Section), "{bad:?}");
        }
    }

    #[test]
    fn charges_are_positive_and_bounded() {
        assert_eq!(charge_amount(1), Ok(1));
        assert_eq!(charge_amount(MAX_CHARGE), Ok(MAX_CHARGE));
        for bad in [0, -1, MAX_CHARGE + 1, i64::MIN, i64::MAX] {
            assert_eq!(charge_amount(bad), Err(AmountError));
        }
    }
}
