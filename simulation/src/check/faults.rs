//! What goes wrong in a run: one thing after the other, some of them together.

use std::sync::Arc;
use std::time::Duration;

use waitroom_proxy::room::settings::RoomSettings;
use waitroom_proxy::store::{Limits, QueueStore as _};

use super::pass;
use super::world::World;
use crate::chance::Chance;

/// After most things it takes this long until all nodes are in touch again.
const SETTLING: Duration = Duration::from_secs(8);
/// After a loss nobody is let in for a minute, and everybody comes back within one poll.
const RECOVERY: Duration = Duration::from_secs(110);

pub(super) struct Faults {
    world: Arc<World>,
    chance: Chance,
    orders: u64,
}

impl Faults {
    pub(super) fn new(world: Arc<World>) -> Self {
        let chance = Chance::new(world.script.seed, 2);
        Self { world, chance, orders: 0 }
    }

    /// One fault, from its beginning until it is mended.
    pub(super) async fn strike(&mut self) {
        match self.chance.below(15) {
            0 => self.lossy_wires().await,
            1 | 2 => self.partition().await,
            3 => self.roll_back().await,
            4 => self.wipe(false).await,
            5 => self.wipe(true).await,
            6 => self.step_store_clock().await,
            7 => self.step_node_clock().await,
            8 => self.replace_node().await,
            9 => self.join_node().await,
            10 => self.change_rate().await,
            11 => self.pause().await,
            12 => self.restart().await,
            13 => self.forget().await,
            _ => self.order().await,
        }
    }

    /// Writes it down, and lets strict promises wait until it is over and everybody has settled.
    fn begins(&self, name: &str, lasting: Duration, settling: Duration) {
        let entry = format!("{name} ({:.1} s) at {:.1} s", lasting.as_secs_f64(), self.world.elapsed().as_secs_f64());
        self.world.history.count(|witness| witness.faults.push(entry));
        if !settling.is_zero() {
            self.world.history.trouble(lasting + settling);
        }
    }

    fn seconds(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.chance.between(low * 1_000, high * 1_000))
    }

    /// Requests and replies get lost, on all wires (F5).
    async fn lossy_wires(&mut self) {
        let lasting = self.seconds(10, 25);
        self.begins("requests and replies lost", lasting, SETTLING);
        let share = 0.002 + self.chance.unit() * 0.03;
        self.world.alive().iter().for_each(|(_, node)| node.wire.set_loss(share));
        pass(lasting).await;
        self.world.alive().iter().for_each(|(_, node)| node.wire.set_loss(0.0));
    }

    /// One node does not reach the store; or none does (F4).
    async fn partition(&mut self) {
        let lasting = self.seconds(1, 30);
        let cut = self.pick_nodes();
        self.begins(if cut.len() == 1 { "a node cut off" } else { "the store away" }, lasting, SETTLING);
        cut.iter().for_each(|number| self.set_cut(*number, true));
        pass(lasting).await;
        cut.iter().for_each(|number| self.set_cut(*number, false));
    }

    /// One of the nodes, or all.
    fn pick_nodes(&mut self) -> Vec<usize> {
        let alive: Vec<usize> = self.world.alive().iter().map(|(number, _)| *number).collect();
        match self.chance.happens(0.7) {
            true => alive.get(self.chance.below(alive.len() as u64) as usize).copied().into_iter().collect(),
            false => alive,
        }
    }

    fn set_cut(&self, number: usize, cut: bool) {
        if let Some(node) = self.world.node(number) {
            node.wire.set_cut(cut);
        }
    }

    /// A failover that lost the last writes (F1, F2).
    async fn roll_back(&mut self) {
        let lost = self.seconds(0, 4);
        self.world.server.save();
        pass(lost).await;
        self.begins("a failover without the writes of the last", lost, RECOVERY);
        self.world.server.roll_back();
        pass(Duration::from_secs(5)).await;
    }

    /// The store comes back empty (F3), perhaps while a node cannot see it.
    async fn wipe(&mut self, unseen_by_one: bool) {
        let lasting = self.seconds(2, 12);
        let alive = self.world.alive();
        let unseen = (unseen_by_one && alive.len() > 1).then(|| alive[0].0);
        let name = if unseen.is_some() { "an empty store, unseen by one for" } else { "an empty store" };
        self.begins(name, lasting, RECOVERY);
        if let Some(number) = unseen {
            self.set_cut(number, true);
            pass(Duration::from_secs(2)).await;
        }
        self.world.server.wipe();
        pass(lasting).await;
        if let Some(number) = unseen {
            self.set_cut(number, false);
        }
    }

    /// Everything is gone and every connection lasts, so that all nodes but one find a room that is restored already (F3).
    async fn forget(&mut self) {
        let lasting = self.seconds(2, 12);
        self.begins("everything flushed", lasting, RECOVERY);
        self.world.server.forget();
        pass(lasting).await;
    }

    /// Every connection breaks; nothing is lost.
    async fn restart(&mut self) {
        self.begins("the store restarted", Duration::ZERO, SETTLING);
        self.world.server.restart();
        pass(Duration::from_secs(1)).await;
    }

    /// F6.
    async fn step_store_clock(&mut self) {
        let lasting = self.seconds(5, 40);
        self.begins("the store's clock off", lasting, RECOVERY);
        let step = self.chance.between(1_000, 60_000) as i64;
        let step = if self.chance.happens(0.5) { step } else { -step };
        self.jump_store_clock(step);
        pass(lasting).await;
        self.mend_store_clock();
    }

    fn jump_store_clock(&self, step: i64) {
        if step > 0 {
            self.world.history.forgive_a_burst();
        }
        self.world.server.clock.step(step);
    }

    fn mend_store_clock(&self) {
        if self.world.server.clock.mend() < 0 {
            self.world.history.forgive_a_burst();
        }
    }

    /// F7.
    async fn step_node_clock(&mut self) {
        let lasting = self.seconds(5, 40);
        self.begins("a proxy's clock off", lasting, SETTLING);
        let step = self.chance.between(1_000, 60_000) as i64;
        let step = if self.chance.happens(0.5) { step } else { -step };
        let off = self.pick_nodes().into_iter().filter_map(|number| self.world.node(number)).collect::<Vec<_>>();
        off.iter().for_each(|node| node.clock.step(step));
        pass(lasting).await;
        off.iter().for_each(|node| {
            node.clock.mend();
        });
    }

    /// A node dies with everything in its hands, and another takes its place (F9).
    async fn replace_node(&mut self) {
        let lasting = self.seconds(0, 10);
        self.begins("a new node, and another dead after 4 s", lasting, RECOVERY);
        let alive = self.world.alive();
        self.world.start_node();
        // A new node asks the others' memory of the room through the store; one of them should be left.
        pass(Duration::from_secs(4)).await;
        if let Some((number, _)) = alive.get(self.chance.below(alive.len() as u64) as usize) {
            self.world.kill_node(*number);
        }
        pass(lasting).await;
    }

    async fn join_node(&mut self) {
        self.begins("one node more", Duration::ZERO, SETTLING);
        if self.world.alive().len() < 5 {
            self.world.start_node();
        }
        pass(Duration::from_secs(2)).await;
    }

    /// F24: the nodes learn of another rate, one after the other.
    async fn change_rate(&mut self) {
        let lasting = self.seconds(5, 20);
        let old = self.world.settings();
        let factor = [0.0, 0.3, 2.0][self.chance.below(3) as usize];
        let limits = Limits { rate_per_s: old.limits.rate_per_s * factor, ..old.limits };
        // A rate of 0 lets nobody in, what is left in the bucket included: so the proxy reads its config.
        let limits = if factor == 0.0 { Limits { burst: 0.0, ..limits } } else { limits };
        self.begins("another rate", lasting, Duration::ZERO);
        self.set_settings(RoomSettings { limits, ..old.clone() }).await;
        pass(lasting).await;
        self.set_settings(old).await;
    }

    async fn set_settings(&mut self, settings: RoomSettings) {
        let (old, new) = (self.world.settings().limits, settings.limits);
        let either = Limits { rate_per_s: old.rate_per_s.max(new.rate_per_s), burst: old.burst.max(new.burst), ..new };
        self.world.set_settings(settings.clone());
        self.world.history.set_limits(either);
        // The first tick with another rate has it since the tick before.
        pass(Duration::from_millis(1_100)).await;
        for (_, node) in self.world.alive() {
            node.room.set_settings(settings.clone());
            pass(Duration::from_millis(self.chance.between(0, 500))).await;
        }
        // A tick under way still has the old ones.
        pass(Duration::from_millis(500)).await;
        self.world.history.set_limits(new);
    }

    async fn pause(&mut self) {
        let lasting = self.seconds(3, 25);
        self.begins("a pause", lasting, SETTLING);
        self.set_paused(true).await;
        pass(lasting).await;
        self.set_paused(false).await;
    }

    /// An operator's order, given to one node, as often as it takes.
    pub(super) async fn set_paused(&mut self, paused: bool) {
        for _ in 0..100 {
            if let Some((_, node)) = self.world.any_node(&mut self.chance) {
                let view = node.room.view().clone();
                let order = node.wire.set_paused(&self.world.room, view.epoch, view.seen, paused);
                if view.known && order.await.is_ok() {
                    node.room.nudge();
                    return;
                }
            }
            pass(Duration::from_millis(500)).await;
        }
    }

    /// The line emptied, or everything begun anew (F22).
    async fn order(&mut self) {
        self.orders += 1;
        let nonce = format!("order-{}", self.orders);
        let flush = self.chance.happens(0.5);
        let name = if flush { "the line flushed" } else { "the room reset" };
        self.begins(name, Duration::ZERO, Duration::from_secs(40));
        for _ in 0..20 {
            let Some((_, node)) = self.world.any_node(&mut self.chance) else { continue };
            let view = node.room.view().clone();
            let (room, wire) = (&self.world.room, &node.wire);
            let done = match flush {
                true => wire.flush(room, view.epoch, view.seen, &nonce).await.is_ok(),
                false => wire.reset(room, view.epoch).await.is_ok(),
            };
            node.room.nudge();
            if done {
                break;
            }
            pass(Duration::from_millis(500)).await;
        }
    }
}
