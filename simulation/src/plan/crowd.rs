//! The people of a sale: when they come, who gives up when, how long they stay. Pure.

use super::Sale;
use crate::chance::Chance;

/// Of those who give up, so many say nothing: they close the tab.
const SILENT: f64 = 0.8;
/// Nobody gives up.
const NEVER: u64 = u64::MAX;

/// Where somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Where {
    Coming,
    Waiting,
    Inside,
    Gone,
}

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Person {
    pub(crate) place: Where,
    /// 0: none yet.
    pub(crate) seq: u64,
    pub(crate) arrived_ms: u64,
    pub(crate) gives_up_ms: u64,
    pub(crate) silent: bool,
}

/// All of them, in the order in which they come.
pub(super) fn arrivals(sale: &Sale, chance: &mut Chance) -> Vec<Person> {
    let over_ms = sale.arrive_s * 1_000.0;
    let mut times: Vec<u64> = (0..sale.visitors).map(|_| (chance.unit() * over_ms) as u64).collect();
    times.sort_unstable();
    let coming = |arrived_ms| Person { place: Where::Coming, seq: 0, arrived_ms, gives_up_ms: NEVER, silent: false };
    times.into_iter().map(coming).collect()
}

impl Person {
    /// Decides, with the place in line, whether and when to give up: at any moment of the wait with the same chance.
    ///
    /// Those ahead do the same, so the wait is shorter than the position says, by their share.
    pub(super) fn makes_up_the_mind(&mut self, sale: &Sale, position: u64, now_ms: u64, chance: &mut Chance) {
        if !chance.happens(sale.leave) {
            return;
        }
        let ends_per_s = sale.max_active as f64 / sale.visit_s;
        let pace = if sale.max_active == 0 { sale.rate_per_s } else { sale.rate_per_s.min(ends_per_s) };
        let wait_ms = position as f64 / pace * (1.0 - sale.leave) * 1_000.0;
        self.gives_up_ms = now_ms + (chance.unit() * wait_ms) as u64;
        self.silent = chance.happens(SILENT);
    }
}
