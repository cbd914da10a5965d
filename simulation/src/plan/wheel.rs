//! A timing wheel: who is due at which step. Constant time, whatever their number. Pure.

/// Entries by the step in which they are due, at most one turn of the wheel ahead.
#[derive(Debug)]
pub(super) struct Wheel {
    slots: Vec<Vec<u32>>,
    step_ms: u64,
    /// Steps that were taken out.
    done: u64,
}

impl Wheel {
    /// A wheel that reaches this far.
    pub(super) fn new(step_ms: u64, reach_ms: u64) -> Self {
        let slots = usize::try_from(reach_ms / step_ms + 2).unwrap_or(usize::MAX);
        Self { slots: vec![Vec::new(); slots], step_ms, done: 0 }
    }

    /// Due at this time, the next step at the earliest and a whole turn ahead at the latest.
    pub(super) fn put(&mut self, at_ms: u64, who: u32) {
        let last = self.done + self.slots.len() as u64 - 1;
        let step = (at_ms / self.step_ms).clamp(self.done + 1, last);
        let slots = self.slots.len() as u64;
        self.slots[(step % slots) as usize].push(who);
    }

    /// Those who are due at the next step.
    pub(super) fn take(&mut self) -> Vec<u32> {
        self.done += 1;
        let slots = self.slots.len() as u64;
        std::mem::take(&mut self.slots[(self.done % slots) as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_comes_up_once_and_in_time() {
        let mut wheel = Wheel::new(50, 1_000);
        for (at, who) in [(0, 1), (49, 2), (100, 3), (999, 4), (1_000_000, 5)] {
            wheel.put(at, who);
        }
        let due: Vec<(u64, u32)> =
            (1..30).flat_map(|step| wheel.take().into_iter().map(move |who| (step * 50, who))).collect();
        assert_eq!(due, [(50, 1), (50, 2), (100, 3), (950, 4), (1_050, 5)]);
    }
}
