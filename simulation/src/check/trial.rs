//! The course of a run: a crowd, faults, quiet, and at the end people who left in front of people who stayed.

use std::sync::Arc;
use std::time::Duration;

use super::faults::Faults;
use super::visitor::{Nature, Visitor};
use super::world::World;
use super::{Broken, Witness, pass};
use crate::chance::Chance;

/// Everybody who keeps polling is in after this long without faults, however the line was hit before.
const PATIENCE: Duration = Duration::from_secs(1_500);
/// How many leave in silence, and how many stay behind them.
const GONE: u64 = 12;
const STAY: u64 = 4;

/// Plays the whole run.
pub(super) async fn play(world: &Arc<World>) -> Result<Witness, Broken> {
    for _ in 0..world.script.nodes {
        world.start_node();
    }
    pass(Duration::from_secs(4)).await;
    let mut chance = Chance::new(world.script.seed, 3);
    let over_ms = world.script.arrive.as_millis() as u64;
    for number in 0..world.script.visitors {
        let after = Duration::from_millis(chance.below(over_ms));
        Visitor::send(world, number, Nature::draw(&mut chance), after);
    }
    let mut faults = Faults::new(world.clone());
    for _ in 0..world.script.faults {
        pass(Duration::from_millis(chance.between(1_000, 15_000))).await;
        faults.strike().await;
        if world.history.is_broken() {
            return world.outcome();
        }
    }
    everybody_in(world).await;
    if !world.history.is_broken() {
        those_who_left(world, &mut faults).await;
    }
    world.outcome()
}

/// I12.
async fn everybody_in(world: &World) {
    let patient_until = world.elapsed() + PATIENCE;
    while world.elapsed() < patient_until && !world.history.is_broken() {
        if world.history.still_outside().is_empty() {
            return;
        }
        pass(Duration::from_secs(1)).await;
    }
    let outside = world.history.still_outside();
    let what = format!("visitors {outside:?} polled for {} s after the last fault and are not in", PATIENCE.as_secs());
    world.history.break_promise("I12", what);
}

/// I13: a closed room, people who fall silent, and people behind them who move up.
async fn those_who_left(world: &Arc<World>, faults: &mut Faults) {
    faults.set_paused(true).await;
    pass(Duration::from_secs(3)).await;
    for number in 0..GONE {
        Visitor::stand_in_line(world, 10_000 + number).await;
    }
    for number in 0..STAY {
        Visitor::send(world, 20_000 + number, Nature::Faithful, Duration::from_millis(number * 400));
    }
    // One bucket more than the silence asked for, one that has begun before it, and the time to report.
    let abandon = world.script.settings.abandon_after;
    pass(abandon * 2 + Duration::from_secs(75)).await;
    let waiting = world.server.picture().map_or(0, |picture| picture.waiting);
    if waiting != STAY {
        let what = format!("{GONE} fell silent, {STAY} stayed, and {waiting} are in line");
        world.history.break_promise("I13", what);
    }
    faults.set_paused(false).await;
    everybody_in(world).await;
}
