//! The rules that a history of answers must obey. Pure: what was seen comes in, what is broken goes out.

use std::collections::{BTreeMap, HashMap};

/// One answer that said what happened, with the times of its request and of its coming.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) hold: String,
    pub(super) from: u64,
    pub(super) until: u64,
    pub(super) what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// These seats became this hold's, at these versions.
    Held(Vec<(String, i64)>),
    /// It was given back.
    Released,
    /// Its time was up.
    RanOut,
    /// It became a reservation.
    Paid,
    /// And that was cancelled.
    Cancelled,
}

/// One hold of one seat, as far as anybody can know.
struct Had<'a> {
    hold: &'a str,
    version: i64,
    taken_from: u64,
    taken_until: u64,
    /// When it was first asked to end; none: it never was.
    left_from: Option<u64>,
}

/// Every rule that these answers break, in a sentence.
pub(super) fn broken(seen: &[Event]) -> Vec<String> {
    let mut by_hold: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
    for event in seen {
        by_hold.entry(&event.hold).or_default().push(event);
    }
    let mut broken = Vec::new();
    let mut by_seat: HashMap<&str, Vec<Had<'_>>> = HashMap::new();
    for (hold, mut life) in by_hold {
        life.sort_by_key(|event| event.from);
        let words: Vec<&str> = life.iter().map(|event| word(&event.what)).collect();
        if !matches!(
            words.as_slice(),
            ["held"] | ["held", "released"] | ["held", "ran out"] | ["held", "paid"] | ["held", "paid", "cancelled"]
        ) {
            broken.push(format!("I21: the hold {hold} was {}", words.join(", then ")));
            continue;
        }
        let ended = life.iter().find(|event| matches!(event.what, What::Released | What::RanOut | What::Cancelled));
        if let What::Held(seats) = &life[0].what {
            for (seat, version) in seats {
                let (taken_from, taken_until) = (life[0].from, life[0].until);
                let left_from = ended.map(|event| event.from);
                let had = Had { hold, version: *version, taken_from, taken_until, left_from };
                by_seat.entry(seat).or_default().push(had);
            }
        }
    }
    for (seat, mut holds) in by_seat {
        holds.sort_by_key(|had| had.version);
        for (at, first) in holds.iter().enumerate() {
            for second in &holds[at + 1..] {
                broken.extend(between(seat, first, second));
            }
        }
    }
    broken
}

/// What is wrong between two holds of one seat, the first of the lower version.
fn between(seat: &str, first: &Had<'_>, second: &Had<'_>) -> Option<String> {
    let (one, two) = (first.hold, second.hold);
    if first.version == second.version {
        return Some(format!("I20: {seat} at version {} is {one}'s and {two}'s", first.version));
    }
    if second.taken_until < first.taken_from {
        return Some(format!(
            "I20: {seat} went back from version {} to {} ({two}, {one})",
            second.version, first.version
        ));
    }
    match first.left_from {
        None => Some(format!("I14: {seat} is still {one}'s, and was given to {two}")),
        Some(left) if second.taken_until < left => {
            Some(format!("I14: {seat} was given to {two} before {one} was asked to leave it"))
        }
        Some(_) => None,
    }
}

fn word(what: &What) -> &'static str {
    match what {
        What::Held(_) => "held",
        What::Released => "released",
        What::RanOut => "ran out",
        What::Paid => "paid",
        What::Cancelled => "cancelled",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(hold: &str, from: u64, what: What) -> Event {
        Event { hold: hold.to_owned(), from, until: from + 1, what }
    }

    fn held(hold: &str, from: u64, version: i64) -> Event {
        event(hold, from, What::Held(vec![("A-1".to_owned(), version)]))
    }

    #[test]
    fn what_may_happen_is_not_called_broken() {
        let good = [held("a", 1, 2), event("a", 3, What::Released), held("b", 5, 4), event("b", 7, What::Paid)];
        assert_eq!(broken(&good), [""; 0]);
        let run_out = [held("a", 1, 2), event("a", 3, What::RanOut), held("b", 5, 4)];
        assert_eq!(broken(&run_out), [""; 0]);
        // At the same time: given to the second while the first was leaving.
        let overlapping = [held("a", 1, 2), Event { until: 20, ..event("a", 3, What::Released) }, held("b", 4, 4)];
        assert_eq!(broken(&overlapping), [""; 0]);
    }

    #[test]
    fn what_may_not_happen_is_found() {
        let cases: [(&str, &[Event]); 7] = [
            ("I14", &[held("a", 1, 2), held("b", 5, 3)]),
            ("I14", &[held("a", 1, 2), held("b", 3, 4), event("a", 9, What::Released)]),
            ("I20", &[held("a", 1, 2), event("a", 3, What::Released), held("b", 5, 2)]),
            ("I20", &[held("a", 1, 4), event("a", 3, What::Released), held("b", 5, 2), event("b", 7, What::Released)]),
            ("I21", &[held("a", 1, 2), event("a", 3, What::Released), event("a", 5, What::Paid)]),
            ("I21", &[event("a", 5, What::Paid)]),
            ("I21", &[held("a", 1, 2), event("a", 3, What::RanOut), event("a", 5, What::Paid)]),
        ];
        for (rule, seen) in cases {
            let found = broken(seen);
            assert!(found.iter().any(|what| what.starts_with(rule)), "{rule} in {seen:?}: {found:?}");
        }
    }
}
