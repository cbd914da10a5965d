//! What comes down on the store when it is back after an outage in which people kept coming (F26).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use waitroom_proxy::reception::{Reception, told};
use waitroom_proxy::room::settings::RoomSettings;
use waitroom_proxy::store::Limits;

use super::script::Script;
use super::world::{World, lock};
use super::{Broken, pass};
use crate::chance::Chance;

/// So slow that whoever has a number polls at the longest interval: what is seen is the outage's doing.
const SLOW: Limits = Limits { rate_per_s: 0.5, burst: 1.0, max_active: 0 };
/// Proxies that share the store.
const NODES: usize = 2;
/// How long is looked at what comes after the outage: twice the longest interval between two polls.
const AFTERWARDS: Duration = Duration::from_secs(72);

/// What happened in each second after an outage, by second.
#[derive(Clone, Debug, Default)]
pub struct AfterOutage {
    /// Polls of those who came while the store was away.
    pub polls: Vec<u64>,
    /// Those of them who got a number.
    pub joins: Vec<u64>,
    /// Visitors who were told another time of arrival than their own in the end.
    pub arrivals_lost: u64,
}

/// Cuts every proxy off from the store for so long, while so many visitors come, one after the other; each asks again
/// when it is told to.
///
/// # Errors
/// A promise that was broken on the way.
pub fn after_outage(seed: u64, visitors: u64, lasting: Duration) -> Result<AfterOutage, Broken> {
    super::runtime(seed)?.block_on(async {
        let drawn = Script::draw(seed);
        let settings = RoomSettings { limits: SLOW, ..drawn.settings };
        let script = Script { nodes: NODES, visitors: 0, faults: 0, settings, ..drawn };
        let world = Arc::new(World::new(script));
        for _ in 0..NODES {
            world.start_node();
        }
        pass(Duration::from_secs(10)).await;
        let tally = Arc::new(Mutex::new(AfterOutage::default()));
        let mut chance = Chance::new(seed, 3);
        let back_at = world.elapsed() + lasting;
        world.alive().iter().for_each(|(_, node)| node.wire.set_cut(true));
        // The silence has to be noticed, or the first would simply be in line.
        pass(Duration::from_secs(2)).await;
        for _ in 0..visitors {
            let after = Duration::from_millis(chance.below((back_at - world.elapsed()).as_millis() as u64));
            let visitor = Visitor { world: world.clone(), chance: world.next_person(), back_at, tally: tally.clone() };
            tokio::spawn(visitor.wait(after));
        }
        pass(back_at - world.elapsed()).await;
        world.alive().iter().for_each(|(_, node)| node.wire.set_cut(false));
        pass(AFTERWARDS).await;
        world.stop();
        world.outcome()?;
        let tally = lock(&tally).clone();
        Ok(tally)
    })
}

/// Somebody who comes while the store is away.
struct Visitor {
    world: Arc<World>,
    chance: Chance,
    back_at: Duration,
    tally: Arc<Mutex<AfterOutage>>,
}

impl Visitor {
    async fn wait(mut self, after: Duration) {
        pass(after).await;
        let (mut ticket, mut arrived_ms, mut joined) = (None::<String>, None, false);
        while let Some((_, node)) = self.world.any_node(&mut self.chance) {
            let shown = node.verify(ticket.as_deref(), None);
            let held = match node.counter().poll(shown).await {
                Reception::Held(held) => held,
                _ => return self.note(!joined, false),
            };
            if held.news {
                ticket = Some(held.ticket.seal(node.mint.sealer(), node.room.name().as_str()));
            }
            let has_number = !held.ticket.is_pre();
            let other_arrival = *arrived_ms.get_or_insert(held.ticket.arrived_ms) != held.ticket.arrived_ms;
            self.note(has_number && !joined, other_arrival);
            joined |= has_number;
            let status = told::waiting(&node.room, &held, node.clock.now_ms(), self.chance.unit());
            pass(Duration::from_millis(status.poll_after_ms.max(20))).await;
        }
    }

    fn note(&self, joins: bool, other_arrival: bool) {
        let mut tally = lock(&self.tally);
        tally.arrivals_lost += u64::from(other_arrival);
        let Some(since) = self.world.elapsed().checked_sub(self.back_at) else { return };
        let second = since.as_secs() as usize;
        if tally.polls.len() <= second {
            tally.polls.resize(second + 1, 0);
            tally.joins.resize(second + 1, 0);
        }
        tally.polls[second] += 1;
        tally.joins[second] += u64::from(joins);
    }
}
