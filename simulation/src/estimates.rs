//! How often the estimates that visitors see are right: every status told in a sale against the wait that followed.
//!
//! A statement counts when it names a range and its visitor is let in; it is right when the time from the statement to
//! the session lies in the range. What an operator orders later cannot be foreseen: a statement is not judged when the
//! rate changes before its turn, or how often ticks come, and the time of a later pause is taken off the wait, as the page takes the estimate
//! away while the pause lasts. Statements without a range are counted apart.

use std::fmt;

use serde::Serialize;
use waitroom_proxy::status::Eta;

use crate::plan::{Engine, Order, Sale, Second, Teller};

/// What a scenario came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Coverage {
    /// Its name.
    pub scenario: &'static str,
    /// The seed.
    pub seed: u64,
    /// Statements with a range, of visitors who came in.
    pub judged: u64,
    /// Of these, right.
    pub right: u64,
    /// The wait was shorter than the range, and longer.
    pub sooner: u64,
    /// See `sooner`.
    pub later: u64,
    /// Statements without a range: nobody could tell.
    pub without_range: u64,
    /// Not judged, because the rate was changed before the turn.
    pub overtaken: u64,
    /// Ranges wider than `high ≤ 1.5 · low + 10 s`.
    pub too_wide: u64,
}

impl Coverage {
    /// The share of statements that were right.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.right as f64 / self.judged.max(1) as f64
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |count: u64| 100.0 * count as f64 / self.judged.max(1) as f64;
        write!(
            f,
            "{:<34} {:5.1} % right of {} ({:.1} % sooner, {:.1} % later, {} without a range, {} overtaken, {} too wide)",
            self.scenario,
            percent(self.right),
            self.judged,
            percent(self.sooner),
            percent(self.later),
            self.without_range,
            self.overtaken,
            self.too_wide
        )
    }
}

/// A sale and what an operator does in it, by second.
struct Scenario {
    name: &'static str,
    sale: Sale,
    orders: Vec<(u64, Order)>,
}

/// Plays every scenario with this seed.
#[must_use]
pub fn coverage(seed: u64) -> Vec<Coverage> {
    scenarios(seed).iter().map(play).collect()
}

fn scenarios(seed: u64) -> Vec<Scenario> {
    let usual = Sale {
        visitors: 20_000,
        rate_per_s: 20.0,
        burst: 5.0,
        leave: 0.0,
        max_active: 0,
        visit_s: 60.0,
        arrive_s: 60.0,
        nodes: 1,
        seed,
    };
    let plain = |name, sale| Scenario { name, sale, orders: Vec::new() };
    vec![
        plain("a constant rate", usual.clone()),
        plain("a slow room", Sale { visitors: 300, rate_per_s: 0.5, burst: 2.0, ..usual.clone() }),
        plain("people come all the time", Sale { visitors: 30_000, arrive_s: 1_200.0, ..usual.clone() }),
        plain("15 % give up", Sale { leave: 0.15, ..usual.clone() }),
        plain("30 % give up", Sale { leave: 0.3, ..usual.clone() }),
        plain("half give up", Sale { leave: 0.5, ..usual.clone() }),
        plain("sessions set the pace", Sale { visitors: 8_000, max_active: 300, ..usual.clone() }),
        plain(
            "sessions set the pace, 30 % give up",
            Sale { visitors: 8_000, max_active: 300, leave: 0.3, ..usual.clone() },
        ),
        plain("a cap that is hardly reached", Sale { max_active: 1_400, ..usual.clone() }),
        Scenario {
            name: "the rate halved, then doubled",
            sale: usual.clone(),
            orders: vec![(300, Order::Rate(10.0)), (700, Order::Rate(20.0))],
        },
        // A bucket of 5 every half second: 10 a second of 20.
        Scenario {
            name: "a rate that is not reached",
            sale: Sale { visitors: 10_000, max_active: 2_000, ..usual.clone() },
            orders: vec![(0, Order::Starve(500))],
        },
        Scenario {
            name: "a rate no longer reached, 30 % give up",
            sale: Sale { visitors: 10_000, max_active: 2_000, leave: 0.3, ..usual.clone() },
            orders: vec![(200, Order::Starve(500))],
        },
        Scenario {
            name: "a pause of two minutes, 30 % give up",
            sale: Sale { leave: 0.3, ..usual },
            orders: vec![(200, Order::Pause), (320, Order::Resume)],
        },
    ]
}

fn play(scenario: &Scenario) -> Coverage {
    let mut judge = Judge {
        told: vec![Vec::new(); scenario.sale.visitors as usize],
        orders: Vec::new(),
        coverage: Coverage {
            scenario: scenario.name,
            seed: scenario.sale.seed,
            judged: 0,
            right: 0,
            sooner: 0,
            later: 0,
            without_range: 0,
            overtaken: 0,
            too_wide: 0,
        },
    };
    Engine::new(&scenario.sale, scenario.orders.clone()).run(&mut judge);
    judge.coverage
}

/// Remembers what everybody was told until it is known whether it was right.
struct Judge {
    told: Vec<Vec<(u64, Eta)>>,
    orders: Vec<(u64, Order)>,
    coverage: Coverage,
}

impl Judge {
    /// The seconds from a statement to the session, without later pauses; `None`: the rate was changed between.
    fn wait_s(&self, told_ms: u64, admitted_ms: u64) -> Option<f64> {
        let mut paused_ms = 0;
        let mut since = None;
        for (at_ms, order) in self.orders.iter().filter(|(at_ms, _)| *at_ms > told_ms && *at_ms < admitted_ms) {
            match (order, since) {
                (Order::Rate(_) | Order::Starve(_), _) => return None,
                (Order::Pause, _) => since = Some(*at_ms),
                (Order::Resume, Some(began)) => {
                    paused_ms += at_ms - began;
                    since = None;
                }
                (Order::Resume, None) => {}
            }
        }
        Some((admitted_ms - told_ms - paused_ms) as f64 / 1_000.0)
    }
}

impl Teller for Judge {
    fn told(&mut self, who: u32, now_ms: u64, eta: Option<Eta>) {
        let Some(eta) = eta else {
            self.coverage.without_range += 1;
            return;
        };
        // The promise is about the numbers as they are told.
        if eta.high as f64 > 1.5 * eta.low as f64 + 10.0 {
            self.coverage.too_wide += 1;
        }
        self.told[who as usize].push((now_ms, eta));
    }

    fn admitted(&mut self, who: u32, now_ms: u64, _arrived_ms: u64) {
        for (told_ms, eta) in std::mem::take(&mut self.told[who as usize]) {
            let Some(wait_s) = self.wait_s(told_ms, now_ms) else {
                self.coverage.overtaken += 1;
                continue;
            };
            self.coverage.judged += 1;
            match () {
                () if wait_s < eta.low as f64 => self.coverage.sooner += 1,
                () if wait_s > eta.high as f64 => self.coverage.later += 1,
                () => self.coverage.right += 1,
            }
        }
    }

    fn second(&mut self, _second: &Second) {}

    fn ordered(&mut self, order: Order, now_ms: u64) {
        self.orders.push((now_ms, order));
    }
}
