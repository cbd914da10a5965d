//! One proxy, as far as the queue goes: a room with its tasks, a mint, a clock, a wire to the store.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use queue_token::{KeyRing, SigningKey};
use tokio::task::JoinSet;
use waitroom_proxy::credentials::Credentials;
use waitroom_proxy::mint::Mint;
use waitroom_proxy::reception::{Counter, Verified};
use waitroom_proxy::room::Room;
use waitroom_proxy::seal::Sealer;

use super::wire::Wire;
use super::world::{WallClock, World, lock};
use crate::chance::{Chance, draw, draw_life};

/// How long a node that knows nothing waits for one that does, as the proxy has it.
const COLD_WAIT: Duration = Duration::from_secs(3);

/// One running proxy.
pub(super) struct Node {
    pub(super) room: Arc<Room>,
    pub(super) mint: Mint,
    pub(super) wire: Arc<Wire>,
    pub(super) clock: WallClock,
    tasks: Mutex<JoinSet<()>>,
}

impl Node {
    pub(super) fn start(world: &World, clock: WallClock, chance: Chance) -> Arc<Self> {
        let wire = Arc::new(Wire::new(world.server.clone(), world.history.clone(), chance));
        let shown = clock.clone();
        let clock_of_node = Arc::new(move || shown.now_ms());
        let (room, work) = Room::new(world.room.clone(), world.settings(), wire.clone(), clock_of_node, COLD_WAIT);
        let tasks = Mutex::new(work.spawn(draw_life));
        Arc::new(Self { room, mint: mint(), wire, clock, tasks })
    }

    pub(super) fn kill(&self) {
        lock(&self.tasks).abort_all();
    }

    pub(super) fn verify(&self, ticket: Option<&str>, token: Option<&str>) -> Verified {
        let shown = Credentials { cookie_ticket: ticket, cookie_token: token, ..Credentials::default() };
        let (name, now_ms) = (self.room.name().as_str(), self.clock.now_ms());
        let max_age = self.room.settings().ticket_max_age;
        Verified {
            session: self.mint.session(name, &shown, now_ms / 1_000),
            ticket: self.mint.ticket(name, &shown, now_ms, max_age),
        }
    }

    pub(super) fn counter(&self) -> Counter<'_> {
        Counter { room: &self.room, mint: &self.mint, now_ms: self.clock.now_ms() }
    }
}

/// Every node has the same keys.
fn mint() -> Mint {
    let key = SigningKey::hs256("k1", &[7; 32]).and_then(|key| KeyRing::new(vec![key]));
    let sealer = Sealer::new([[9; 32].as_slice()]);
    match (key, sealer) {
        (Ok(ring), Ok(sealer)) => Mint::new(ring, "waitroom".to_owned(), sealer).drawing_by(draw),
        _ => unreachable!("keys of 32 bytes are keys"),
    }
}
