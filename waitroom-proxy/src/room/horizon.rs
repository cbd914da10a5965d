//! How far the bitmaps may be shortened: never past a number whose session may still live. Pure; time comes in.

use std::collections::VecDeque;
use std::time::Duration;

use crate::store::Epoch;

/// A life is cut into this many pieces at most: what is kept for longer than needed is one piece.
const PIECES: u64 = 64;

/// What had had its turn, and when.
#[derive(Clone, Copy, Debug)]
struct Mark {
    at_ms: u64,
    watermark: u64,
}

/// The numbers that had had their turn, over the last life of a number. A keeper that has just started knows
/// nothing of the time before, and says so.
#[derive(Debug, Default)]
pub(super) struct Horizon {
    epoch: Option<Epoch>,
    /// Oldest first; about `PIECES` of them.
    marks: VecDeque<Mark>,
}

impl Horizon {
    /// Notes the highest number that has had a turn (`now_ms` by the store's clock), and answers with the highest
    /// that had had one `life` ago; nobody up to it can have a session any more. `None`: that is not known.
    pub(super) fn note(&mut self, epoch: Epoch, now_ms: u64, watermark: u64, life: Duration) -> Option<u64> {
        let life_ms = u64::try_from(life.as_millis()).unwrap_or(u64::MAX);
        // Before a reset numbers meant others; before a clock that stepped back times did.
        if self.epoch != Some(epoch) || self.marks.back().is_some_and(|last| now_ms < last.at_ms) {
            self.marks.clear();
            self.epoch = Some(epoch);
        }
        if self.marks.back().is_none_or(|last| now_ms - last.at_ms >= life_ms / PIECES) {
            self.marks.push_back(Mark { at_ms: now_ms, watermark });
        }
        let is_old = |mark: &Mark| now_ms.saturating_sub(mark.at_ms) >= life_ms;
        while self.marks.get(1).is_some_and(is_old) {
            self.marks.pop_front();
        }
        self.marks.front().copied().filter(is_old).map(|mark| mark.watermark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Epoch = Epoch { generation: 1, life: 7 };
    const LIFE: Duration = Duration::from_secs(640);

    #[test]
    fn nothing_is_past_the_horizon_before_a_whole_life_was_seen() {
        let mut horizon = Horizon::default();
        let answers: Vec<Option<u64>> =
            (0..=70).map(|at| horizon.note(NOW, 1_000_000 + at * 10_000, 100 * at, LIFE)).collect();
        assert!(answers[..64].iter().all(Option::is_none), "{answers:?}");
        assert_eq!((answers[64], answers[65], answers[70]), (Some(0), Some(100), Some(600)));
        // A longer life asks for what is not known any more …
        assert_eq!(horizon.note(NOW, 1_710_000, 7_100, LIFE * 2), None);
        // … and so do a clock that stepped back and another epoch.
        let mut stepped = Horizon::default();
        for at in 0..=64 {
            stepped.note(NOW, 1_000_000 + at * 10_000, 100 * at, LIFE);
        }
        assert_eq!(stepped.note(NOW, 1_600_000, 6_500, LIFE), None);
        assert_eq!(stepped.note(Epoch { generation: 2, ..NOW }, 9_000_000, 5, LIFE), None);
    }

    #[test]
    fn i22_marks_are_few_however_often_one_looks() {
        let mut horizon = Horizon::default();
        for at in 0..100_000 {
            horizon.note(NOW, at * 50, at, LIFE);
            assert!(horizon.marks.len() <= PIECES as usize + 2, "{}", horizon.marks.len());
        }
    }
}
