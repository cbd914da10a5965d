//! What the scenarios share: keys that several proxies have in common, a room, and waiting for the crowd.

use std::time::{Duration, Instant};

use testbed::history::Rules;
use testbed::origin::Origin;
use testbed::process::Program;
use testbed::scratch::Scratch;

use crate::crowd::Crowd;
use crate::harness::{Proxy, room};

/// How many wait.
pub(crate) const CROWD: usize = 10_000;

/// Reached only by what is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// The bucket of every room here: many ticks a second, so that a machine under load loses no token.
pub(crate) const BURST: f64 = 20.0;

/// A room of this rate.
pub(crate) fn of_rate(rate_per_s: f64) -> String {
    room(&format!("rate_per_s = {rate_per_s:?}\nburst = {BURST}\nmax_active = 0\nabandon_after_s = 600"))
}

/// The rules of a room of one rate.
pub(crate) fn rules(rate_per_s: f64) -> Rules {
    Rules {
        rates: vec![(0, rate_per_s)],
        burst: BURST,
        max_active: 0,
        unsure_places: 0,
        blur_ms: 50,
        snapshot_ms: 2_500,
    }
}

/// Keys of all proxies of a site.
pub(crate) struct Keys(Scratch);

impl Keys {
    pub(crate) async fn make() -> Self {
        let folder = Scratch::new("keys").unwrap();
        let keygen = Program::new(env!("CARGO_BIN_EXE_waitroom-proxy")).args(["keygen"]).arg(folder.path());
        assert!(keygen.output(PATIENCE).await.unwrap().status.success());
        Self(folder)
    }

    /// The config above the rooms: these keys, and a store with more of its keys.
    pub(crate) fn with_store(&self, url: &str, more: &str) -> String {
        let folder = self.0.path().display();
        format!(
            "[tokens]\nkeys = [{{ kid = \"k1\", file = \"{folder}/k1.pem\" }}]\n\
             seal_keys = [{{ kid = \"s1\", file = \"{folder}/s1.key\" }}]\n[store]\nurl = \"{url}\"\n{more}\n"
        )
    }
}

/// A proxy on this store.
pub(crate) async fn proxy(origin: &Origin, url: &str, more: &str, rooms: &str) -> Proxy {
    Proxy::start_with(origin, &format!("[store]\nurl = \"{url}\"\n{more}"), rooms).await
}

impl Crowd {
    /// Polls, round after round, until it is as wanted.
    pub(crate) async fn until(&mut self, what: &str, proxies: &[&Proxy], done: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !done(self) {
            assert!(began.elapsed() < PATIENCE, "in vain for {what}: {} inside", self.inside());
            self.round(proxies).await;
        }
    }

    /// Polls until this many more were let in.
    pub(crate) async fn until_more_inside(&mut self, more: usize, proxies: &[&Proxy]) {
        let before = self.inside();
        self.until("more to be let in", proxies, |crowd| crowd.inside() >= before + more).await;
    }

    /// Whether somebody outside was told something that may be old.
    pub(crate) fn stale(&self) -> bool {
        self.told().any(|told| told["stale"] == true)
    }
}
