//! What a seed stands for: the room, the crowd, and how many nodes.

use std::time::Duration;

use waitroom_proxy::room::settings::RoomSettings;
use waitroom_proxy::store::Limits;

use crate::chance::Chance;

/// A run, drawn from its seed.
#[derive(Clone, Debug)]
pub struct Script {
    /// The seed.
    pub seed: u64,
    /// The room as the run begins.
    pub settings: RoomSettings,
    /// Nodes at the start.
    pub nodes: usize,
    /// Visitors who come by themselves; some clear their cookies and count again.
    pub visitors: u64,
    /// They arrive over this time.
    pub arrive: Duration,
    /// Faults, one after the other.
    pub faults: u64,
}

impl Script {
    /// The run of a seed.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut chance = Chance::new(seed, 1);
        let rate = chance.between(3, 12) as f64;
        let burst = chance.between(2, 8) as f64;
        let max_active = if chance.happens(0.4) { chance.between(15, 60) } else { 0 };
        let session_s = chance.between(20, 60);
        Self {
            seed,
            settings: RoomSettings {
                limits: Limits { rate_per_s: rate, burst, max_active },
                session_ttl: Duration::from_secs(session_s),
                session_renewal: chance.happens(0.7),
                session_max: Duration::from_secs(session_s * 3),
                claim_ttl: Duration::from_secs(chance.between(8, 25)),
                ticket_max_age: Duration::from_secs(86_400),
                abandon_after: Duration::from_secs(chance.between(40, 90)),
                max_streams: 1,
                pass_after: None,
            },
            nodes: chance.between(1, 4) as usize,
            visitors: chance.between(120, 220),
            arrive: Duration::from_secs(chance.between(2, 25)),
            faults: chance.between(4, 7),
        }
    }
}
