//! A sound history passes, and each kind of fault is found.

use super::*;

fn rules() -> Rules {
    Rules { rates: vec![(0, 10.0)], burst: 2.0, max_active: 50, unsure_places: 0, blur_ms: 10 }
}

fn waiting(seq: u64, position: u64) -> Saw {
    Saw::Waiting { seq, position: Some(position), stale: false }
}

/// A node, and another one.
const ONE: Node = 1;
const TWO: Node = 2;

/// Twenty visitors, one let in every 100 ms from 1 s on, each polling every 50 ms at one node; both are looked at when
/// somebody is let in.
fn sound() -> History {
    let mut history = History::default();
    for who in 0..20_u64 {
        let (seq, turn) = (who + 1, 1_000 + who * 100);
        history.saw(who as usize, ONE, 1, 2, Saw::Unnumbered);
        for poll in (10..turn).step_by(50) {
            let gone = poll.saturating_sub(900) / 100;
            history.saw(who as usize, ONE, poll, poll + 3, waiting(seq, seq - gone.min(who)));
        }
        history.saw(who as usize, ONE, turn, turn + 3, Saw::Admitted { seq });
        history.counted(Count { answered_ms: turn, store_ms: 50_000 + turn, admitted: who + 1, occupied: who + 1 });
        for node in [ONE, TWO] {
            let given = if node == ONE { who + 1 } else { 0 };
            history.looked(node, turn, turn + 3, given, 10 * who);
        }
        history.stayed(turn, 10_000);
        history.passed(Some(seq));
    }
    history
}

fn found(change: impl FnOnce(&mut History)) -> Vec<&'static str> {
    let mut history = sound();
    change(&mut history);
    let mut names: Vec<&'static str> = history.broken(&rules()).into_iter().map(|broken| broken.invariant).collect();
    names.dedup();
    names
}

#[test]
fn a_sound_history_passes() {
    let history = sound();
    assert_eq!(history.broken(&rules()), []);
    assert_eq!(history.left_outside(), 0);
    assert!(history.summary().starts_with("20 visitors"), "{}", history.summary());
}

#[test]
fn i1_too_many_are_found_by_visitors_by_nodes_and_by_the_store() {
    let by_visitors = found(|history| {
        for who in 30..35 {
            history.saw(who, ONE, 2_200, 2_201, waiting(who as u64, 1));
            history.saw(who, ONE, 2_202, 2_203, Saw::Admitted { seq: who as u64 });
        }
    });
    assert_eq!(by_visitors, ["I3", "I1"], "and before their time");
    assert_eq!(found(|history| history.looked(ONE, 2_910, 2_913, 24, 300)), ["I1"]);
    let shared = |more_at_two| {
        found(|history| {
            history.looked(ONE, 2_905, 2_907, 21, 300);
            history.looked(TWO, 2_906, 2_908, more_at_two, 300);
        })
    };
    assert_eq!(shared(0), [""; 0]);
    assert_eq!(shared(3), ["I1"], "neither too many, and both together are");
    let count = |store_ms, admitted| Count { answered_ms: 0, store_ms, admitted, occupied: 0 };
    assert_eq!(found(|history| history.counted(count(52_905, 24))), ["I1"]);
    assert_eq!(
        found(|history| history.counted(count(53_000, 3))),
        [""; 0],
        "a store that has lost something is not counted"
    );
}

#[test]
fn i1_a_changed_rate_counts_from_when_it_holds() {
    let rules = Rules { rates: vec![(0, 10.0), (1_000, 0.0), (2_000, 100.0)], blur_ms: 0, ..rules() };
    assert!((rules.allowed(500, 2_500) - (2.0 + 5.0 + 50.0)).abs() < 1e-9);
    assert!((rules.allowed(1_200, 1_900) - 2.0).abs() < 1e-9);
}

#[test]
fn i2_i10_and_wrong_answers() {
    let over = Count { answered_ms: 0, store_ms: 60_000, admitted: 20, occupied: 51 };
    assert_eq!(found(|history| history.counted(over)), ["I2"]);
    let stay = |count| move |history: &mut History| (0..count).for_each(|_| history.stayed(5_000, 6_000));
    assert_eq!(found(stay(30)), [""; 0]);
    assert_eq!(found(stay(31)), ["I2"]);
    assert_eq!(found(|history| history.passed(None)), ["I10"]);
    assert_eq!(found(|history| history.passed(Some(77))), ["I10"], "of nobody who was let in");
    assert_eq!(found(|history| history.saw(3, ONE, 5, 6, Saw::Wrong("502".to_owned()))), ["answer"]);
}

#[test]
fn i3_a_turn_out_of_order_is_found_unless_turns_were_lost() {
    let late = |history: &mut History| {
        history.saw(40, ONE, 2_500, 2_501, waiting(0, 1));
        history.saw(40, ONE, 3_400, 3_401, Saw::Admitted { seq: 0 });
    };
    assert_eq!(found(late), ["I3"]);
    let after_a_loss = found(|history| {
        late(history);
        history.lost_turns(900..901, 1);
    });
    assert_eq!(after_a_loss, ["I3"], "each side is checked by itself");
    let across = found(|history| {
        late(history);
        history.lost_turns(2_300..3_390, 1);
    });
    assert_eq!(across, [""; 0]);
}

#[test]
fn i4_i5_and_i8() {
    assert_eq!(found(|history| history.saw(19, ONE, 2_861, 2_862, waiting(99, 1))), ["I4"]);
    assert_eq!(found(|history| history.saw(19, ONE, 2_861, 2_862, Saw::Unnumbered)), ["I4"]);
    let share = |history: &mut History| history.saw(50, ONE, 1, 2, waiting(7, 7));
    assert_eq!(found(share), ["I4"]);
    assert_eq!(found(|history| history.saw(19, ONE, 2_861, 2_862, waiting(20, 15))), ["I5"]);
    let after_a_loss = |turns| {
        found(|history| {
            history.saw(19, ONE, 2_861, 2_862, waiting(20, 15));
            history.lost_turns(2_861..2_862, turns);
        })
    };
    assert_eq!(after_a_loss(20), [""; 0], "some have come back for lost turns");
    assert_eq!(after_a_loss(5), ["I5"], "not so many");
    assert_eq!(found(|history| history.saw(0, ONE, 4_000, 4_001, waiting(1, 1))), ["I8"]);
}

#[test]
fn i5_what_two_nodes_tell_may_differ_by_the_turns_of_the_time_between_them_only() {
    let (here, there) = (|at| (ONE, at), |at| (TWO, at));
    let told = |(node, at): (Node, u64), position, stale| {
        found(|history| history.saw(19, node, at, at + 1, Saw::Waiting { seq: 20, position: Some(position), stale }))
    };
    // The other node was looked at, and found to hear from the store, at 2,800 ms; number 20 was first then.
    assert_eq!(told(there(2_870), 1, false), [""; 0]);
    assert_eq!(told(there(2_870), 4, false), [""; 0], "it may not have heard of the last turns yet");
    assert_eq!(told(there(2_870), 9, false), ["I5"], "not so many");
    assert_eq!(told(there(2_870), 9, true), [""; 0], "it says so itself");
    assert_eq!(told(here(2_870), 9, true), ["I5"], "and has told a better place before");
}

#[test]
fn how_old_an_answer_can_be_is_seen() {
    let look = |asked_ms, rounds| Look { asked_ms, answered_ms: asked_ms + 5, given: 0, rounds };
    let all = [look(100, 7), look(200, 8), look(300, 9), look(400, 10), look(500, 14)];
    let looks = Looks::of(&BTreeMap::from([(ONE, all.to_vec())]));
    assert_eq!([404, 405, 504, 505, 9_000].map(|at| looks.as_of(ONE, at)), [0, 100, 100, 400, 400]);
    assert_eq!(looks.as_of(TWO, 9_000), 0, "of a node that nobody looks at nothing is known");
}
