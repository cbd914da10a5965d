//! Everything that a run shares: clocks, the server, the nodes, the history.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use waitroom_proxy::room::settings::RoomSettings;
use waitroom_proxy::store::RoomName;

use super::history::History;
use super::node::Node;
use super::script::Script;
use super::server::Server;
use super::{Broken, Witness};
use crate::chance::{Chance, seed_drawing};

/// When every run begins, milliseconds since the Unix epoch.
const BEGINNING_MS: u64 = 1_795_161_600_000;

/// The time of day somewhere: virtual time and a step.
#[derive(Clone, Debug)]
pub(super) struct WallClock {
    began: Instant,
    step_ms: Arc<AtomicI64>,
}

impl WallClock {
    fn new() -> Self {
        Self { began: Instant::now(), step_ms: Arc::default() }
    }

    pub(super) fn now_us(&self) -> u64 {
        let true_us = BEGINNING_MS * 1_000 + self.began.elapsed().as_micros() as u64;
        true_us.saturating_add_signed(self.step_ms.load(Ordering::Relaxed) * 1_000)
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.now_us() / 1_000
    }

    pub(super) fn step(&self, ms: i64) {
        self.step_ms.fetch_add(ms, Ordering::Relaxed);
    }

    /// Back to the true time; returns by how much it was off.
    pub(super) fn mend(&self) -> i64 {
        self.step_ms.swap(0, Ordering::Relaxed)
    }
}

/// Everything that a run shares.
pub(super) struct World {
    pub(super) script: Script,
    pub(super) room: RoomName,
    pub(super) server: Arc<Server>,
    pub(super) history: Arc<History>,
    began: Instant,
    /// The settings in force at every node, or about to be.
    settings: Mutex<RoomSettings>,
    /// Dead ones stay as holes, so that a number means one node for ever.
    nodes: Mutex<Vec<Option<Arc<Node>>>>,
    /// Numbers for visitors' generators.
    people: AtomicU64,
}

impl World {
    pub(super) fn new(script: Script) -> Self {
        seed_drawing(script.seed);
        let began = Instant::now();
        let history = Arc::new(History::new(script.seed, script.settings.limits));
        let room = crate::room_name();
        let server = Arc::new(Server::new(room.clone(), WallClock::new(), history.clone()));
        Self {
            room,
            server,
            history,
            began,
            settings: Mutex::new(script.settings.clone()),
            nodes: Mutex::default(),
            people: AtomicU64::new(1_000),
            script,
        }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// A generator for the next visitor.
    pub(super) fn next_person(&self) -> Chance {
        Chance::new(self.script.seed, self.people.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) fn settings(&self) -> RoomSettings {
        lock(&self.settings).clone()
    }

    pub(super) fn set_settings(&self, settings: RoomSettings) {
        *lock(&self.settings) = settings;
    }

    /// Starts one more node; it knows nothing.
    pub(super) fn start_node(&self) -> usize {
        let mut nodes = lock(&self.nodes);
        let number = nodes.len();
        let chance = Chance::new(self.script.seed, 100_000 + number as u64);
        nodes.push(Some(Node::start(self, WallClock::new(), chance)));
        number
    }

    /// Kills a node, with whatever it had in hand.
    pub(super) fn kill_node(&self, number: usize) {
        if let Some(node) = lock(&self.nodes).get_mut(number).and_then(Option::take) {
            node.kill();
        }
    }

    /// The nodes that run, by number.
    pub(super) fn alive(&self) -> Vec<(usize, Arc<Node>)> {
        lock(&self.nodes).iter().enumerate().filter_map(|(at, node)| Some((at, node.clone()?))).collect()
    }

    /// One of the nodes that run, as a load balancer without memory picks it.
    pub(super) fn any_node(&self, chance: &mut Chance) -> Option<(usize, Arc<Node>)> {
        let mut alive = self.alive();
        let at = chance.below(alive.len() as u64) as usize;
        (at < alive.len()).then(|| alive.swap_remove(at))
    }

    pub(super) fn node(&self, number: usize) -> Option<Arc<Node>> {
        lock(&self.nodes).get(number).cloned().flatten()
    }

    pub(super) fn stop(&self) {
        for (number, _) in self.alive() {
            self.kill_node(number);
        }
    }

    pub(super) fn outcome(&self) -> Result<Witness, Broken> {
        self.history.outcome(self.elapsed())
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
