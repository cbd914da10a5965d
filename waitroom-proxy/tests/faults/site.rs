//! What the scenarios share: keys that several proxies have in common, a room, and waiting for the crowd.

use std::time::{Duration, Instant};

use testbed::history::Rules;
use testbed::origin::Origin;
use testbed::process::Program;
use testbed::redis::PrivateRedis;
use testbed::scratch::Scratch;

use crate::crowd::Crowd;
use crate::harness::{Proxy, room};

/// How many wait.
pub(crate) const CROWD: usize = 10_000;

/// Reached only by what is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// Where a room asks for no session, if it has such paths.
pub(crate) const OPEN: &str = "/open/";

/// The bucket of every room here: many ticks a second, so that a machine under load loses no token.
pub(crate) const BURST: f64 = 20.0;

/// A room of this rate.
pub(crate) fn of_rate(rate_per_s: f64) -> String {
    of_rate_and_cap(rate_per_s, 0)
}

/// A room of this rate, with so many turns and sessions at most (0: any number).
pub(crate) fn of_rate_and_cap(rate_per_s: f64, max_active: u64) -> String {
    room(&format!("rate_per_s = {rate_per_s:?}\nburst = {BURST}\nmax_active = {max_active}\nabandon_after_s = 600"))
}

/// Redis' clock, ms.
pub(crate) async fn clock_ms(redis: &PrivateRedis) -> u64 {
    let client = redis::Client::open(redis.url()).unwrap();
    let mut raw = client.get_multiplexed_async_connection().await.unwrap();
    let (seconds, micros): (u64, u64) = redis::cmd("TIME").query_async(&mut raw).await.unwrap();
    seconds * 1_000 + micros / 1_000
}

/// The rules of a room of one rate.
pub(crate) fn rules(rate_per_s: f64) -> Rules {
    Rules { rates: vec![(0, rate_per_s)], burst: BURST, max_active: 0, unsure_places: 0, blur_ms: 50 }
}

/// Keys of all proxies of a site; the first of each kind signs.
pub(crate) struct Keys {
    folder: Scratch,
    kids: Vec<(String, String)>,
}

impl Keys {
    pub(crate) async fn make() -> Self {
        let mut keys = Self { folder: Scratch::new("keys").unwrap(), kids: Vec::new() };
        keys.add("k1", "s1").await;
        keys
    }

    /// One more of each kind, behind the others.
    pub(crate) async fn add(&mut self, kid: &str, seal_kid: &str) {
        let keygen = Program::new(env!("CARGO_BIN_EXE_waitroom-proxy")).named("waitroom-proxy");
        let keygen = keygen.args(["keygen", "--kid", kid, "--seal-kid", seal_kid]).arg(self.folder.path());
        assert!(keygen.output(PATIENCE).await.unwrap().status.success());
        self.kids.push((kid.to_owned(), seal_kid.to_owned()));
    }

    /// The last ones come first.
    pub(crate) fn turn(&mut self) {
        self.kids.rotate_right(1);
    }

    /// The part `[tokens]` of a config.
    pub(crate) fn tokens(&self) -> String {
        let folder = self.folder.path().display();
        let one = |kid: &str, ending: &str| format!("{{ kid = \"{kid}\", file = \"{folder}/{kid}.{ending}\" }}");
        let signing: Vec<String> = self.kids.iter().map(|(kid, _)| one(kid, "pem")).collect();
        let sealing: Vec<String> = self.kids.iter().map(|(_, kid)| one(kid, "key")).collect();
        format!("[tokens]\nkeys = [{}]\nseal_keys = [{}]\n", signing.join(", "), sealing.join(", "))
    }

    /// The config above the rooms: these keys, and a store with more of its keys.
    pub(crate) fn with_store(&self, url: &str, more: &str) -> String {
        format!("{}[store]\nurl = \"{url}\"\n{more}\n", self.tokens())
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
